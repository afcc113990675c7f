"""Garbage in Celery's queues: it counts as a wakeup and nothing else, and no job is the worse.

Row 19 of the failure table. Whoever can write to Redis can push anything into a queue; a wakeup
carries nothing, so nothing of it is read.
"""

import base64
import json
import os
import pickle
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery

from seqd.ledger import connect
from seqd.ledger.wakeup import WAKEUP_TASK
from seqd.worker.broker import create_app
from seqd_schemas import JobState
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

ROUTE = "classify.echo"
BOMB_BYTES = 64 * 2**20
#: What inflating the bomb once would add at least; a worker may grow by other things.
MOST_GROWTH_BYTES = 32 * 2**20

#: Arguments, keywords and callbacks of a task, as Celery's second protocol sends them.
NO_ARGUMENTS: list[object] = [
    [],
    {},
    {"callbacks": None, "errbacks": None, "chain": None, "chord": None},
]


def a_message(
    body: bytes | None = None, *, content_type: str = "application/json", **headers: object
) -> bytes:
    """A message as kombu writes it, with anything in it."""
    tag = str(uuid.uuid4())
    content = json.dumps(NO_ARGUMENTS).encode() if body is None else body
    message = {
        "body": base64.b64encode(content).decode(),
        "content-encoding": "utf-8" if content_type == "application/json" else "binary",
        "content-type": content_type,
        "headers": {"lang": "py", "task": WAKEUP_TASK, "id": tag, "root_id": tag, "parent_id": None}
        | headers,
        "properties": {
            "correlation_id": tag,
            "delivery_info": {"exchange": "", "routing_key": f"wakeup.{ROUTE}"},
            "delivery_mode": 2,
            "delivery_tag": tag,
            "body_encoding": "base64",
            "priority": 0,
        },
    }
    return json.dumps(message).encode()


class Planted:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


GARBAGE = {
    "nothing": b"",
    "random bytes": bytes(range(256)) * 4,
    "json of another shape": b'{"a": 1}',
    "no object": b'["a", 1]',
    "null": b"null",
    "a number": b"9" * 5_000,
    "deep": b"[" * 100_000,
    "unknown task": a_message(task="os.system"),
    "no task": a_message(task=""),
    "arguments": a_message(json.dumps([["rm -rf /"], {"x": 1}, {}]).encode()),
    "type and value": a_message(b'[[{"__type__": "datetime", "__value__": "x"}], {}, {}]'),
    "type and value outside": b'{"__type__": "uuid", "__value__": {"hex": "x"}}',
    "unknown type and value": b'{"__type__": "bomb", "__value__": "x"}',
    "body is no base64": a_message().replace(b'"body": "', b'"body": "%%%'),
    "unknown compression": a_message(compression="application/x-nothing"),
    "unknown encoding": a_message(content_type="application/x-nothing"),
    "headers are a list": a_message().replace(b'"headers": {', b'"headers": [], "h": {'),
    "no properties": a_message().replace(b'"properties"', b'"no"'),
    "a time that is none": a_message(eta="no time", expires="never"),
    "a far time": a_message(eta="9999-01-01T00:00:00+00:00"),
}

#: A task that Celery would send when a wakeup is done, to a queue that nobody reads.
LINKED = {"task": "linked", "args": [], "kwargs": {}, "options": {"queue": "linked"}}
LINKS = {"callbacks": [LINKED], "errbacks": [LINKED], "chain": [LINKED], "chord": LINKED}

#: Values that do harm, or would, of each header that Celery writes.
HOSTILE_HEADERS: dict[str, list[object]] = {
    "lang": ["x" * 10_000, None],
    "task": ["celery.backend_cleanup", "celery.chord_unlock", "celery.map", None, 7, []],
    "id": [None, 7, [], {"a": 1}, "x" * 100_000, "a\nb"],
    "shadow": ["x" * 100_000, "a\n2026-01-01 CRITICAL seqd all is lost", 7],
    "eta": ["9999-12-31T23:59:59+14:00", "2030-01-01T00:00:00", "0001-01-01T00:00:00", 1e300],
    "expires": ["0001-01-01T00:00:00", "9999-12-31T23:59:59", "never", -1, []],
    "group": ["g", {}, 7],
    "group_index": [-1, "x", 2**70],
    "retries": [2**70, "x", -1],
    "timelimit": [[0.01, None], [None, 0.01], [0.01, 0.01], ["x", "y"], [-1, -1], 7, [[], {}]],
    "root_id": [7, [], "x" * 100_000],
    "parent_id": [7, [], "x" * 100_000],
    "argsrepr": ["x" * 100_000, 7],
    "kwargsrepr": ["x" * 100_000, 7],
    "origin": ["x" * 100_000, 7],
    "ignore_result": [False, "no"],
    "replaced_task_nesting": [2**70, "x"],
    "stamped_headers": [["a"], 7, "abc", {"a": 1}],
    "stamps": [{"a": ["b"]}, 7],
}


@pytest.fixture
def broker(cluster: Cluster) -> Iterator[redis.Redis]:
    assert cluster.settings.redis_url is not None
    with redis.Redis.from_url(cluster.settings.redis_url) as client:
        yield client


def push(cluster: Cluster, broker: redis.Redis, *messages: bytes) -> None:
    """Push messages and wait until a worker has taken them."""
    key = cluster.settings.keys.wakeup(ROUTE)
    for message in messages:
        broker.lpush(key, message)
    wait_until(lambda: broker.llen(key) == 0, "an empty queue")


def assert_that_work_goes_on(cluster: Cluster, pid: int) -> None:
    record = cluster.client().classify(["a", "b"], model="echo").wait(timeout_s=120)

    assert record.state is JobState.COMPLETED
    assert cluster.workers[0].pid == pid
    assert cluster.workers[0].wait_until_ready().pid == pid


def test_a_worker_outlives_what_is_no_wakeup(cluster: Cluster, broker: redis.Redis):
    pid = cluster.workers[0].pid

    for name, garbage in GARBAGE.items():
        push(cluster, broker, garbage)
        assert cluster.workers[0].is_up(), name

    assert_that_work_goes_on(cluster, pid)


def test_a_pickle_is_never_opened(cluster: Cluster, broker: redis.Redis, tmp_path: Path):
    pid = cluster.workers[0].pid
    planted = tmp_path / "planted"
    body = pickle.dumps([[Planted(planted)], {}, {}])

    push(
        cluster,
        broker,
        pickle.dumps(Planted(planted)),
        a_message(body, content_type="application/x-python-serialize"),
        a_message(body),
    )

    assert_that_work_goes_on(cluster, pid)
    assert not planted.exists()


def test_a_compressed_message_is_not_inflated(cluster: Cluster, broker: redis.Redis):
    pid = cluster.workers[0].pid
    assert_that_work_goes_on(cluster, pid)
    before = peak_memory_bytes(pid)
    bomb = zlib.compress(b"[" + b" " * BOMB_BYTES + b"]")

    push(cluster, broker, *[a_message(bomb, compression="application/x-gzip")] * 4)

    assert_that_work_goes_on(cluster, pid)
    assert peak_memory_bytes(pid) - before < MOST_GROWTH_BYTES


def hostile_messages() -> list[bytes]:
    """A message for each value of `HOSTILE_HEADERS`, in both protocols, and some with links."""
    pairs = [(name, value) for name, values in HOSTILE_HEADERS.items() for value in values]
    older = {"task": WAKEUP_TASK, "id": "1", "args": [], "kwargs": {}, "utc": True, **LINKS}
    return [
        *(a_message(**{name: value}) for name, value in pairs),
        *(a_message(json.dumps(older | {name: value}).encode()) for name, value in pairs),
        *(a_message(json.dumps([[], {}, {name: links}]).encode()) for name, links in LINKS.items()),
        a_message(json.dumps([[], {}, LINKS]).encode(), ignore_result=False),
        a_message().replace(b'"priority": 0', b'"priority": 9, "reply_to": "linked"'),
        a_message().replace(b'"routing_key": "wakeup.classify.echo"', b'"routing_key": "linked"'),
        a_message().replace(b'"exchange": ""', b'"exchange": "linked"'),
    ]


def test_no_header_of_a_message_does_anything(cluster: Cluster, broker: redis.Redis):
    worker = cluster.workers[0]
    pid, child = worker.pid, worker.child_pid()
    unacknowledged = f"{cluster.settings.prefix}:unacked"
    # A limit, a time or a link takes effect while a wakeup is answered, or at its end.
    job = cluster.client().classify(["a"] * 4, model="echo", parameters={"delay_ms": 250})
    written = len(worker.whole_log())

    push(cluster, broker, *hostile_messages())
    wait_until(lambda: not broker.exists(unacknowledged), "nothing is kept")

    assert job.wait(timeout_s=120).counts.succeeded == 4
    assert_that_work_goes_on(cluster, pid)
    assert worker.child_pid() == child
    assert not [key for key in broker.scan_iter() if b"linked" in key or b"celery" in key]
    assert "Traceback" not in worker.whole_log()[written:]
    assert len(worker.whole_log()) - written < 4_000


@pytest.mark.slow  # Celery looks every 10 s
def test_what_cannot_be_queued_again_is_dropped(cluster: Cluster, broker: redis.Redis):
    worker = cluster.workers[0]
    unacknowledged = f"{cluster.settings.prefix}:unacked"
    written = len(worker.whole_log())

    entries = [b"", b"[1]", b"[1, 2, 3]", b"\xff", b'[{}, "", "x"]', b'["x", {}, "wakeup.a.b"]']
    for tag, entry in enumerate(entries):
        broker.hset(unacknowledged, str(tag), entry)
        broker.zadd(f"{unacknowledged}_index", {str(tag): 1.0})

    wait_until(lambda: not broker.exists(unacknowledged), "nothing is kept")
    assert_that_work_goes_on(cluster, worker.pid)
    assert broker.llen(cluster.settings.keys.wakeup("a.b")) == 1
    assert "Traceback" not in worker.whole_log()[written:]


def test_every_header_that_celery_writes_is_among_the_hostile_ones():
    app = Celery(set_as_current=False)

    message = app.amqp.as_task_v2("1", WAKEUP_TASK)

    assert set(message.headers) == set(HOSTILE_HEADERS)
    assert set(message.body[2]) == set(LINKS)


def peak_memory_bytes(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("this system has no /proc")
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024


def test_a_worker_takes_no_orders_by_celerys_remote_control(cluster: Cluster):
    """By it whoever reaches Redis could shut workers down; each listens on a channel then."""
    (worker,) = cluster.workers
    app = create_app(str(cluster.settings.redis_url), cluster.settings)

    with connect(str(cluster.settings.redis_url)) as redis:
        listeners = redis.pubsub_numpat(), redis.pubsub_channels()
    app.control.broadcast("shutdown")
    record = cluster.client().classify(["a"], model="echo").wait(timeout_s=120)

    assert listeners == (0, [])
    assert record.counts.succeeded == 1
    assert worker.is_up()

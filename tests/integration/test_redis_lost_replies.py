"""A write is applied and its reply is lost, so that it is sent again: the state is as if once.

Each step of a job's life is taken on a ledger behind a proxy that throws replies away, and once
more without it; then all keys are compared, times aside.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from builders import (
    a_chunk,
    a_classify_job,
    a_failure,
    a_generate_job,
    a_train_job,
    a_training_result,
    an_epoch,
    inline,
    some_deltas,
    some_results,
)
from ledger_fixtures import BRIEFLY_S, Scene, open_scene
from redis_fixtures import forget_keys
from seqd.ledger import connect
from seqd.ledger.blobs import split_chunk
from seqd.ledger.submissions import BatchTemplate
from seqd.ledger.work import Finished
from seqd.settings import Settings
from seqd_schemas import ItemSuccess
from tcp_proxy import TcpProxy
from worker_fixtures import House, live_settings, wait_until

pytestmark = pytest.mark.processes

TRAINING = a_train_job()

#: Fields of a job's hash that differ between two runs: a time, and a random token.
NEVER_ALIKE = (b"event_at", b"published")
#: Such a token, too.
TOKEN = b":worker:worker-a:deltas"

Step = Callable[[], object]


def submitted(scene: Scene) -> Step:
    return lambda: scene.submit(job_id="j", chunk=a_chunk())


def submitted_with_a_key(scene: Scene) -> Step:
    job = a_classify_job(idempotency_key="mine")
    return lambda: scene.submit(job, job_id="j", chunk=a_chunk())


def submitted_inline(scene: Scene) -> Step:
    return lambda: scene.submit(a_classify_job(source=inline("a", "b")), job_id="j")


def submitted_together(scene: Scene) -> Step:
    template = BatchTemplate(a_classify_job(), version=3, unit_items=256, client="c")
    inputs = [(name, a_chunk(1)) for name in "abc"]
    return lambda: scene.ledger.submissions.submit_each(template, inputs)


def committed_together(scene: Scene) -> Step:
    submitted_together(scene)()
    claim = scene.claim()
    assert claim is not None
    done = [Finished(unit, some_results(1)) for unit in claim.units]
    return lambda: scene.ledger.work.commit_batch(done)


def appended(scene: Scene) -> Step:
    scene.submit(job_id="j", chunk=a_chunk())
    return lambda: scene.append("j", 1)


def sealed(scene: Scene) -> Step:
    scene.submit(job_id="j", chunk=a_chunk())
    return lambda: scene.ledger.submissions.seal(a_classify_job(), "j", 1)


def sealed_when_all_is_done(scene: Scene) -> Step:
    scene.submit(job_id="j", chunk=a_chunk())
    scene.commit(scene.claim_unit())
    return lambda: scene.ledger.submissions.seal(a_classify_job(), "j", 1)


def renewed(scene: Scene) -> Step:
    scene.submit_units(2)
    unit = scene.claim_unit()
    return lambda: scene.ledger.work.renew([unit])


def committed(scene: Scene) -> Step:
    scene.submit_units(2)
    unit = scene.claim_unit()
    return lambda: scene.commit(unit)


def committed_as_the_last(scene: Scene) -> Step:
    scene.submit_units(1, a_classify_job(idempotency_key="mine"))
    unit = scene.claim_unit()
    return lambda: scene.commit(unit)


def training_committed(scene: Scene) -> Step:
    scene.submit(TRAINING, version=None, unit_items=1)
    unit = scene.claim_unit()
    return lambda: scene.ledger.work.commit_training(unit, a_training_result())


def release_unit(scene: Scene) -> Step:
    scene.submit_units(2)
    unit = scene.claim_unit()
    return lambda: scene.ledger.work.release_unit(unit)


def release_after_a_crash(scene: Scene) -> Step:
    scene.submit_units(2)
    unit = scene.claim_unit()
    return lambda: scene.ledger.work.release_unit(unit, wait_s=60, crashed=True)


def split(scene: Scene) -> Step:
    scene.submit_units(2)
    unit = scene.claim_unit()
    parts = split_chunk(a_chunk())
    assert parts is not None
    return lambda: scene.ledger.work.split(unit, parts)


def released(scene: Scene) -> Step:
    scene.submit_units(3)
    scene.claim_unit()
    scene.claim_unit()
    return lambda: scene.ledger.work.release_worker("worker-a", crashed=True)


def expired(scene: Scene) -> Step:
    scene.submit_units(2)
    scene.with_settings(lease_s=BRIEFLY_S).claim_unit()
    (_, due_ms), *_ = scene.redis.zrange(scene.keys.timers(), 0, 0, withscores=True)
    scene.wait_for_clock(int(due_ms))
    return scene.ledger.work.expire


def cancelled(scene: Scene) -> Step:
    job_id = scene.submit_units(3)
    scene.commit(scene.claim_unit())
    scene.claim_unit()
    return lambda: scene.ledger.control.cancel(job_id)


def paused(scene: Scene) -> Step:
    job_id = scene.submit_units(3)
    scene.claim_unit()
    return lambda: scene.ledger.control.pause(job_id)


def resumed(scene: Scene) -> Step:
    job_id = scene.submit_units(3)
    scene.ledger.control.pause(job_id)
    return lambda: scene.ledger.control.resume(job_id)


def failed(scene: Scene) -> Step:
    scene.submit_units(3)
    unit = scene.claim_unit()
    return lambda: scene.ledger.work.fail_job(unit, a_failure())


def published_event(scene: Scene) -> Step:
    scene.submit(TRAINING, version=None, unit_items=1)
    unit = scene.claim_unit()
    return lambda: scene.ledger.work.publish(unit, an_epoch(unit.job_id))


def published_deltas(scene: Scene) -> Step:
    scene.submit(a_generate_job(stream=True), chunk=a_chunk(1))
    unit = scene.claim_unit()
    entries = [(unit, some_deltas("one ")), (unit, some_deltas("two", offset=4))]
    return lambda: scene.ledger.work.publish_deltas("worker-a", entries)


STORIES = [
    submitted,
    submitted_with_a_key,
    submitted_inline,
    submitted_together,
    appended,
    sealed,
    sealed_when_all_is_done,
    renewed,
    committed,
    committed_as_the_last,
    committed_together,
    training_committed,
    release_unit,
    release_after_a_crash,
    split,
    released,
    expired,
    cancelled,
    paused,
    resumed,
    failed,
    published_event,
    published_deltas,
]


@dataclass
class Lossy:
    """One server, seen directly and through a proxy."""

    settings: Settings
    clean: Scene
    faulty: Scene
    proxy: TcpProxy

    def snapshots(self) -> tuple[dict[str, object], dict[str, object]]:
        """All keys of the clean ledger, and of the other one."""
        redis = self.clean.redis
        prefixes = self.clean.settings.prefix, self.faulty.settings.prefix
        first, second = (dict(_keys_of(redis, prefix)) for prefix in prefixes)
        return first, second


@pytest.fixture
def lossy(any_settings: Settings) -> Iterator[Lossy]:
    assert any_settings.redis_url is not None
    behind = any_settings.model_copy(update={"prefix": f"{any_settings.prefix}-lossy"})
    with (
        TcpProxy(any_settings.redis_url) as proxy,
        connect(any_settings.redis_url) as direct,
        connect(proxy.url) as through,
    ):
        yield Lossy(
            any_settings, open_scene(direct, any_settings), open_scene(through, behind), proxy
        )
    forget_keys(any_settings.redis_url, behind.prefix)


@pytest.mark.parametrize("losses", [1, 2])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_step_whose_reply_is_lost_has_been_taken_once(lossy, story, losses):
    story(lossy.clean)()
    step = story(lossy.faulty)

    lossy.proxy.drop_next_replies(losses, to=b"EVALSHA")
    step()

    clean, faulty = lossy.snapshots()
    assert lossy.proxy.dropped == losses
    assert faulty == clean


def test_a_claim_whose_reply_is_lost_comes_back_when_its_lease_runs_out(lossy):
    scene = lossy.faulty.with_settings(lease_s=0.5)
    job_id = scene.submit_units(2)

    lossy.proxy.drop_next_replies(1, to=b"EVALSHA")
    heard_of = scene.claim_unit()

    # The first try took unit 0 and told nobody, so the second one took what was left.
    assert (heard_of.name, scene.claim()) == ("1", None)
    scene.commit(heard_of)
    assert scene.expire_due() == 1
    forgotten = scene.claim_unit()
    assert (forgotten.name, forgotten.attempt) == ("0", 2)
    scene.commit(forgotten)
    record = scene.record(job_id)
    assert (record.state, record.counts.succeeded) == ("completed", 4)


@pytest.fixture
def house_behind(proxy: TcpProxy, tmp_path: Path) -> Iterator[House]:
    house = House(live_settings(proxy, tmp_path), tmp_path)
    try:
        house.start_ready()
        yield house
    finally:
        proxy.drop_every(0)
        house.close()


def test_a_job_comes_out_once_and_in_order_though_replies_are_lost_all_the_time(
    house_behind: House, proxy: TcpProxy
) -> None:
    proxy.drop_every(40)

    job = house_behind.client().classify((f"text {n}" for n in range(2_000)), model="echo")
    results = list(job.results())

    assert proxy.dropped > 10
    assert all(isinstance(result, ItemSuccess) for result in results)
    assert [result.custom_id for result in results] == [f"row-{n}" for n in range(1, 2_001)]


@pytest.mark.parametrize("losses", [1, 2])
def test_a_worker_hears_wakeups_after_celerys_own_replies_were_lost(
    house_behind, proxy, losses, caplog
):
    """Celery takes note of a message and acknowledges it with a MULTI each."""
    client = house_behind.client()

    for _ in range(2):
        proxy.drop_next_replies(losses, to=b"MULTI")
        client.classify(["a"], model="echo").wait(timeout_s=30)
        wait_until(lambda: proxy.is_done, "the replies were lost")

    assert client.classify(["b"], model="echo").wait(timeout_s=30).counts.succeeded == 1
    # A wakeup that failed is a line, and leaves no publisher behind that fails at the next one.
    assert "Traceback" not in caplog.text


def _keys_of(redis: Redis, prefix: str) -> Iterator[tuple[str, object]]:
    for key in redis.scan_iter(f"{prefix}:*"):
        kind = redis.type(key).decode()
        yield key.decode().removeprefix(prefix), _VALUES[kind](redis, key, prefix)


def _hash(redis: Redis, key: bytes, prefix: str) -> object:
    fields = redis.hgetall(key)
    kept = {name: value for name, value in fields.items() if name not in NEVER_ALIKE}
    return {name: _timeless(value, prefix) for name, value in kept.items()}


def _zset(redis: Redis, key: bytes, prefix: str) -> object:
    rows = redis.zrange(key, 0, -1, withscores=True)
    return {member: "a time" if score > 1e12 else score for member, score in rows}


def _stream(redis: Redis, key: bytes, prefix: str) -> object:
    # How many progress events there are depends on the time that a job takes.
    bodies = [_timeless(b" ".join(row.values()), prefix) for _, row in redis.xrange(key)]
    return [body for body in bodies if b'"event":"progress"' not in body]


_VALUES: dict[str, Callable[[Redis, bytes, str], object]] = {
    "hash": _hash,
    "zset": _zset,
    "stream": _stream,
    "set": lambda redis, key, prefix: redis.smembers(key),
    "string": lambda redis, key, prefix: (
        "a token" if key.endswith(TOKEN) else _timeless(redis.get(key), prefix)
    ),
}


def _timeless(value: bytes, prefix: str) -> bytes:
    """Blank milliseconds and the prefix out."""
    return re.sub(rb"1[789]\d{11}", b"T", value).replace(prefix.encode() + b":", b"")

"""Given JSON in the inbox, when it asks for a plugin's task, then results come, or a reason."""

import json
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator

import pytest
import redis
import seqd_tasks

from inbox_builders import Producer, a_job_id
from readme_blocks import ROOT

pytestmark = pytest.mark.processes

TEXTS = ["Anna met Bert", "nothing here"]
ITEMS = [{"custom_id": f"c{n}", "text": text} for n, text in enumerate(TEXTS)]
PAIR = {"custom_id": "p", "input": {"left": "a b", "right": "b"}}
ENDED = ("completed", "failed", "cancelled", "expired", "rejected")


def a_run(model="vectors", task="embed", source="inline", items=ITEMS, **changes):
    """Return a job of a task."""
    source = {"type": source, "items": items}
    return {"kind": "run", "model": model, "task": task, "source": source} | changes


@pytest.fixture
def producer(task_cluster) -> Iterator[Producer]:
    # By itself redis-py gives a read that blocks five seconds.
    url = task_cluster.settings.redis_url
    with redis.Redis.from_url(url, socket_timeout=None) as connection:
        yield Producer(connection, task_cluster.settings.keys)


class PlainClient:
    """A program that knows the guide, and none of seqd's code."""

    def __init__(self, connection: redis.Redis, prefix: str) -> None:
        self.redis = connection
        self.prefix = prefix

    def lines(self, job: object) -> list[str]:
        """Hand a job in, follow it to its end, and return its results as they stand in Redis."""
        job_id = a_job_id()
        self.redis.xadd(f"{self.prefix}:inbox", {"id": job_id, "job": json.dumps(job)})
        key, last = f"{self.prefix}:job:{{{job_id}}}", "0"
        event = ""
        while event not in ENDED:
            reply = self.redis.xread({f"{key}:events": last}, block=120_000)
            assert reply, f"{job_id} does not end"
            last, fields = reply[0][1][-1]
            event = json.loads(fields[b"e"])["event"]
        assert event == "completed"
        return self._inflated(key).splitlines()

    def _inflated(self, key: str) -> str:
        small = self.redis.hmget(key, "results", *(f"results+{more}" for more in range(1, 8)))
        packed = b"".join(part or b"" for part in small) or self.redis.hget(f"{key}:out", "0")
        return zlib.decompress(packed).decode()


@pytest.fixture
def plain(task_cluster, producer) -> PlainClient:
    return PlainClient(producer.redis, task_cluster.settings.prefix)


@pytest.mark.parametrize(("ending", "program"), [("py", (sys.executable,)), ("mjs", ("node",))])
def test_the_programs_of_the_guide_read_vectors(plain, ending, program):
    if shutil.which(program[0]) is None:
        pytest.skip(f"{program[0]} is not installed: apt-get install nodejs")
    path = ROOT / "schemas" / "examples" / f"read_vectors.{ending}"

    told = subprocess.run(
        [*program, str(path)],
        input="\n".join(plain.lines(a_run())) + "\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    first = [seqd_tasks.embed(text).vector[:2] for text in TEXTS]
    assert told.stdout.splitlines() == [
        f"c{n} 256 {one:.4f} {other:.4f}" for n, (one, other) in enumerate(first)
    ]


def test_records_have_their_fields_under_input_and_a_bad_one_is_an_error_of_its_own(plain):
    bad = {"custom_id": "bad", "input": {"left": "a"}}

    good, wrong = plain.lines(a_run("pairs", "compare", "records", [PAIR, bad]))

    assert json.loads(good)["output"] == {"overlap": 0.5, "shared": ["b"]}
    error = json.loads(wrong)["error"]
    assert error["code"] == "invalid_input"
    assert error["message"] == (
        "The record does not fit: field 'right': Field required. Its fields: left, right, weight."
    )


NO_JOB = (
    "The field `job` is not a job: {}. Its JSON Schema is what `seqd schema` writes as "
    "job.schema.json."
)
MISSING_TASK = a_run()
del MISSING_TASK["task"]


@pytest.mark.parametrize(
    ("job", "code", "message"),
    [
        (MISSING_TASK, "invalid_request", NO_JOB.format("run.task: Field required")),
        (
            a_run("pairs", "compare"),
            "invalid_request",
            "pairs compare takes records with the fields left, right, weight, and the source has "
            'texts. Use a source of the type "records".',
        ),
        (
            a_run(source="records", items=[PAIR]),
            "invalid_request",
            "vectors embed takes texts, and the source has records. Use a source of the type "
            '"inline", whose items have a `text`.',
        ),
        (
            a_run() | {"source": {"type": "upload"}},
            "invalid_request",
            "A job in the inbox cannot have an `upload` source, since nobody would upload. "
            "Allowed: `inline`, `records`, or `file` with a path that the workers can read.",
        ),
        (
            a_run("pairs", "compare", "records", [{"custom_id": "p", "left": "a"}]),
            "invalid_request",
            NO_JOB.format(
                "run.source.records.items.0.left: there is no such field; input is missing"
            ),
        ),
    ],
)
def test_what_cannot_become_a_job_is_rejected_with_the_reason(producer, job, code, message):
    job_id = producer.add(job)

    rejection = producer.rejection_of(job_id)

    assert (rejection.code, rejection.message) == (code, message)

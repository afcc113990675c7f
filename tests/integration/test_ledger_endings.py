"""How jobs end and what is left of them, beside what `tests/model` says of it after each step."""

import inspect
import re
from dataclasses import replace
from pathlib import Path

import pytest

from builders import (
    a_catalog_entry,
    a_chunk,
    a_classify_job,
    a_failure,
    a_generate_job,
    a_train_job,
    a_worker_status,
    an_epoch,
    inline,
    some_deltas,
)
from clock_fixtures import ClockServer
from ledger_fixtures import (
    BRIEFLY_S,
    CLASSIFY,
    GENERATE,
    Environment,
    open_environment,
    publish_entries,
    queues_of,
)
from seqd.admission import Admitted
from seqd.errors import UnknownJob, WrongState
from seqd.ledger import connect
from seqd.ledger.blobs import pack, split_chunk, unpack_items
from seqd.ledger.ingests import IngestPosition
from seqd.ledger.jobs import ResultPosition
from seqd.ledger.ranges import Range, ReadUnit
from seqd.ledger.rollouts import VersionWork
from seqd.ledger.submissions import BatchTemplate
from seqd.settings import Settings
from seqd_schemas import (
    CordonAction,
    CordonRule,
    FileSource,
    JobState,
    Keys,
    ModelOrder,
    ModelPause,
    PlacementRule,
    TaskSchema,
    TenantLimits,
)

pytestmark = pytest.mark.processes


def overdue(environment: Environment, job_id: str) -> None:
    """Put a job's deadline into the past, as time would."""
    past_ms = environment.ledger.fleet.now_ms() - 1
    environment.redis.zadd(environment.keys.deadlines(), {job_id: past_ms}, xx=True)
    environment.redis.hset(environment.keys.job(job_id), "expires_at", past_ms)


def test_a_job_that_is_not_there_can_be_neither_read_nor_steered(environment: Environment) -> None:
    control = environment.ledger.control
    acts = (control.cancel, control.pause, control.resume, control.remove)

    for act in (environment.ledger.jobs.get, *acts):
        with pytest.raises(UnknownJob) as error:
            act("nowhere")
        assert str(error.value) == (
            "No job 'nowhere'. `seqd jobs list` shows those that are kept; they go with `seqd jobs "
            "rm`, when their time to live has passed, or with their Redis. Check the id, or hand "
            "the job in again, with the same idempotency key."
        )


def test_a_job_that_runs_or_that_an_open_one_continues_is_not_removed(
    environment: Environment,
) -> None:
    remove = environment.ledger.control.remove
    first = environment.submit_units(1)

    with pytest.raises(WrongState) as runs:
        remove(first)
    environment.ledger.control.cancel(first)
    retry = environment.submit(a_classify_job(continues=first), chunk=a_chunk(), sealed=True)
    with pytest.raises(WrongState) as is_needed:
        remove(first)

    assert str(runs.value) == (
        f"Job {first} is queued; only a job that has ended can be removed. Cancel it first: "
        f"seqd jobs cancel {first}"
    )
    assert str(is_needed.value) == (
        f"Job {first} is continued by {retry}, which has not ended and needs what is kept of it. "
        f"Wait for its end (seqd jobs watch {retry}), or cancel it first: seqd jobs cancel {retry}"
    )


@pytest.mark.parametrize("reads", ["its record", "its results"])
def test_a_job_that_was_not_done_in_time_says_so(environment: Environment, reads: str) -> None:
    jobs = environment.ledger.jobs
    job_id = environment.submit_units(1, a_classify_job(expires_in_s=60))
    overdue(environment, job_id)

    is_of_results = reads == "its results"
    record = jobs.results(job_id, ResultPosition(0)).record if is_of_results else jobs.get(job_id)
    failure = record.failure

    assert failure is not None
    assert failure.message == (
        "The job was not done within its expires_in_s of 60 seconds. What had finished stays "
        "readable."
    )


def test_a_job_is_out_of_time_by_the_clock_of_the_server_alone(
    clock_server: ClockServer, tmp_path: Path
) -> None:
    settings = Settings(redis_url=clock_server.url, data_dir=tmp_path)
    with connect(clock_server.url) as redis:
        environment = open_environment(redis, settings)
        jobs, limited = environment.ledger.jobs, a_classify_job(expires_in_s=60)
        read, read_by_results = (environment.submit_units(1, limited) for _ in range(2))
        clock_server.step(61)

        states = [
            jobs.get(read).state,
            jobs.results(read_by_results, ResultPosition(0)).record.state,
        ]

    assert states == [JobState.EXPIRED] * 2


def test_of_more_overdue_jobs_than_a_claim_ends_none_is_handed_out(
    environment: Environment,
) -> None:
    for _ in range(20):
        overdue(environment, environment.submit_units(1, a_classify_job(expires_in_s=60)))
    in_time = environment.submit_units(1)

    assert environment.claim_names() == [(in_time, "0")]


def test_an_upload_whose_client_went_silent_says_so(
    environment: Environment,
) -> None:
    silent = environment.submit(chunk=a_chunk())
    environment.redis.zadd(environment.keys.uploads(), {silent: 2})

    environment.ledger.control.fail_abandoned(900.0, environment.ledger.fleet.now_ms())

    record = environment.record(silent)
    assert (record.state, record.failure and record.failure.message) == (
        JobState.FAILED,
        "The client showed no sign of life for 900 s and had not said that its input was complete. "
        "Send the job again; what had finished stays readable.",
    )
    keys = environment.keys
    assert [environment.redis.zcard(key) for key in (keys.uploads(), keys.open_jobs())] == [0, 0]


def test_jobs_behind_long_lived_ones_are_forgotten_too(environment: Environment) -> None:
    # Past 128 entries Redis hands a sorted set out in pages.
    for number in range(300):
        environment.submit(a_classify_job(source=inline("good")), job_id=f"kept-{number}")
    gone = [environment.submit(a_classify_job(source=inline("good"))) for _ in range(30)]
    environment.redis.delete(*(environment.keys.job(job_id) for job_id in gone))

    for _ in range(40):
        environment.ledger.jobs.forget_expired(batch=10)

    assert environment.redis.zcard(environment.keys.jobs()) == 300


def test_a_client_that_takes_its_jobs_leaves_no_list_and_no_completion_stream(
    environment: Environment,
) -> None:
    template = BatchTemplate(a_classify_job(), Admitted(3, 2), "one")
    environment.ledger.submissions.submit_each(template, [("small", a_chunk())])
    environment.commit(environment.claim_unit())
    stream = environment.keys.completions("one")
    before = environment.redis.exists(stream), environment.redis.llen(environment.keys.small_jobs())

    environment.ledger.jobs.take_ended(["small"], client="one")

    after = environment.redis.exists(stream), environment.redis.llen(environment.keys.small_jobs())
    assert (before, after) == ((1, 1), (0, 0))


def patterns_of(keys: Keys) -> dict[str, re.Pattern[str]]:
    """Return for each method of Keys the pattern of the names that it can make."""
    # Not inspect.getmembers: on some 3.11 it trips over `__weakref__` of a slotted dataclass.
    names = [name for name in dir(keys) if not name.startswith("_") and name != "prefix"]
    patterns = {}
    for name in names:
        method = getattr(keys, name)
        marks = ["MARK"] * len(inspect.signature(method).parameters)
        patterns[name] = re.compile(re.escape(method(*marks)).replace("MARK", "[^{}]+"))
    return patterns


def end_jobs(environment: Environment) -> list[str]:
    """Have jobs of each kind end in each way."""
    work, control = environment.ledger.work, environment.ledger.control
    partly = environment.submit_units(4, a_classify_job(idempotency_key="7", expires_in_s=600))
    environment.commit(environment.claim_unit())
    environment.claim_unit()
    work.release_unit(environment.claim_unit(), wait_s=0.001, crashed=True)
    control.cancel(partly)
    training = environment.submit(a_train_job(), version=None, unit_items=1)
    unit = environment.claim_unit()
    work.publish(unit, an_epoch(training))
    work.fail_job(unit, a_failure())
    upload = environment.submit(chunk=a_chunk())
    control.fail_abandoned(0.0, environment.ledger.fleet.now_ms() + 1)
    file = environment.submit(a_classify_job(source=FileSource(path="/data/a.jsonl")))
    control.cancel(file)
    streams = environment.submit_units(2, a_generate_job(stream=True))
    for _ in range(2):
        unit = environment.claim_unit(routes=(GENERATE,))
        work.publish_deltas("worker-a", [(unit, some_deltas("one", unit=unit.name))])
        environment.commit(unit)
    return [partly, training, upload, file, streams]


def split_and_stream(environment: Environment) -> None:
    """Have a unit crash, be split, be released by an unfit worker, and write a text."""
    quick = environment.with_settings(lease_s=BRIEFLY_S)
    quick.submit_units(3)
    quick.claim_unit()
    quick.expire_due()
    unit = environment.claim_unit()
    parts = split_chunk(unpack_items(unit.blob))
    assert parts is not None
    environment.ledger.work.split(unit, parts)
    environment.ledger.work.release_unit(environment.claim_unit(), faulted_by="worker-a")
    part = environment.claim_unit()
    environment.ledger.work.publish_deltas("worker-a", [(part, some_deltas("one", unit=part.name))])


def read_ahead(environment: Environment) -> None:
    """Have a worker read the first unit of a file that another worker ingests."""
    environment.submit(a_generate_job(source=FileSource(path="/data/a.jsonl")))
    unit = environment.claim_unit(routes=(GENERATE,))
    begins = IngestPosition(
        units=0, entries=0, offset=0, line=0, file_bytes=9, modified_ns=1, checksum=0
    )
    ranges = environment.ledger.ranges
    ranges.offer(unit, [Range(begins, 1)])
    taken = ranges.take("worker-b", queues_of((GENERATE,)))
    assert taken is not None
    read = ReadUnit(begins, replace(begins, units=1, entries=2, offset=9, line=2))
    assert ranges.put(taken, "worker-b", read, pack(a_chunk()), b"") == "read"


def rule_the_fleet(environment: Environment) -> None:
    """Publish what workers say of themselves, and what operators set."""
    ledger = environment.ledger
    ledger.fleet.publish_limits(environment.settings)
    ledger.fleet.publish_worker(a_worker_status())
    task = TaskSchema(parameters={}, unit_items=1, result={}, digest="0" * 64)
    publish_entries(ledger.fleet, [a_catalog_entry(run_tasks={"embed": task})])
    ledger.fleet.take_lock("reconciler", "worker-a", 60.0)
    ledger.tenants.set_limits("default", TenantLimits(jobs=1_000, weight=2))
    rule = CordonRule(target="host:h1", action=CordonAction.CORDON, by="ops@h1", at_ms=1)
    ledger.cordons.change(add=[rule])
    ledger.backlog.note_rate("classify.imdb_lstm@3", 10, 1.0)
    placed = PlacementRule(model="topics", targets=("host:h1",), by="ops@h1", at_ms=1)
    ledger.placements.place(placed)
    ledger.audit.note("models.place", "topics")
    ledger.model_pauses.pause(ModelPause(model="topics", at_ms=1))
    order = ModelOrder(order_id="o1", action="promote", model="topics", version=2, ordered_at_ms=1)
    ledger.orders.place(order, 60.0)
    ledger.rollouts.add("topics", "0" * 16, VersionWork(2, items=1))
    ledger.failures.note_replayed(["1-1"], "again")
    environment.redis.xadd(environment.keys.inbox(), {"id": "theirs", "job": "{}"})
    (entry,) = ledger.inbox.read_new("worker-a", None)
    ledger.inbox.reject(entry, "theirs", a_failure(), None)


def test_every_key_that_the_scripts_write_is_one_that_the_schemas_name(
    environment: Environment,
) -> None:
    template = BatchTemplate(a_classify_job(), Admitted(3, 2), "c1")
    environment.ledger.submissions.submit_each(template, [("told", a_chunk())])
    environment.commit(environment.claim_unit())
    end_jobs(environment)
    owned = environment.submit(a_classify_job(expires_in_s=60), chunk=a_chunk(), owner="client-a")
    environment.append(owned, 1, owner="client-a", digest="0" * 32)
    environment.commit(environment.claim_unit(), errored=1)
    environment.commit(environment.claim_unit())
    split_and_stream(environment)
    rule_the_fleet(environment)
    environment.submit(chunk=a_chunk())
    environment.queue_wakeup(CLASSIFY)
    environment.submit_units(1, a_classify_job(priority="bulk"))
    environment.claim()
    read_ahead(environment)

    found = set(environment.redis.scan_iter(f"{environment.keys.prefix}:*"))
    environment.ledger.fleet.publish_limits(environment.with_settings(min_kept_s=0).settings)
    environment.redis.set(environment.keys.memory(), "short")
    environment.ledger.retention.evict()
    found |= set(environment.redis.scan_iter(f"{environment.keys.prefix}:*"))

    named, names = patterns_of(environment.keys), [key.decode() for key in found]
    unnamed = [key for key in names if not any(name.fullmatch(key) for name in named.values())]
    unseen = [method for method, name in named.items() if not any(map(name.fullmatch, names))]
    assert unnamed == []
    # Written by whoever waits until the disk has it all.
    assert unseen == ["durability_mark"]

"""Units under their leases: what is committed, split and released beside what `tests/model` says.

Its walks are commits, leases, splits and releases in any order, and by workers that are late. The
scenarios here are rules that a short walk may not come to.
"""

import json
import zlib

import pytest
from redis import ResponseError

from builders import (
    a_chunk,
    a_classify_job,
    a_failure,
    a_train_job,
    a_training_result,
    an_epoch,
    inline,
    some_results,
)
from ledger_fixtures import BRIEFLY_S, CLASSIFY, TRAIN, Environment
from seqd.client import JobHandle
from seqd.errors import LeaseLost
from seqd.ledger import blobs
from seqd.ledger.activity import activity_of
from seqd.ledger.blobs import split_chunk, unpack_items
from seqd.ledger.units import Death, Unit
from seqd.ledger.work import CheckpointRecord, CommitOutcome, Renewal
from seqd_schemas import Counts, DeathCause, FileSource, JobState

pytestmark = pytest.mark.processes

DAY_S = 24 * 3_600


def until_of(environment: Environment, unit: Unit) -> float:
    """Return when a unit's lease is over; 0 where it has none."""
    member = f"{unit.job_id} {unit.name}"
    return environment.redis.zscore(environment.keys.timers(), member) or 0.0


def test_results_that_do_not_match_the_unit_are_refused(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    unit = environment.claim_unit()

    with pytest.raises(ResponseError, match=r"seqd: 3 results for unit 0, which has 2 items"):
        environment.ledger.work.commit(unit, some_results(3))

    assert environment.record(job_id).counts == Counts(total=2, processing=2)
    assert environment.commit(unit) is CommitOutcome.COMPLETED


@pytest.mark.parametrize("wait_s", [0.0, 600.0], ids=["claimable", "backs off"])
def test_a_unit_that_was_released_and_is_committed_all_the_same_is_nobodys_any_more(
    environment: Environment, wait_s: float
) -> None:
    job_id = environment.submit_units(2)
    zombie = environment.claim_unit("worker-a")
    environment.ledger.work.release_unit(zombie, wait_s=wait_s)

    assert environment.commit(zombie) is CommitOutcome.COMMITTED

    assert until_of(environment, zombie) == 0
    assert environment.record(job_id).units_done == 1
    assert environment.claim_names("worker-b") == [(job_id, "1")]
    assert environment.claim("worker-b") is None


def come_back(environment: Environment, unit: Unit, way: str) -> None:
    """Have a unit come back from its worker, or be done."""
    work = environment.ledger.work
    if way == "released":
        assert work.release_unit(unit)
    elif way == "expired":
        environment.redis.zadd(environment.keys.timers(), {f"{unit.job_id} {unit.name}": 1})
        assert work.expire() == 1
    elif way == "committed":
        environment.commit(unit)
    else:
        work.release_worker("worker-a", crashed=way == "died")


@pytest.mark.parametrize(
    ("way", "unit", "attempt", "crashes"),
    [
        ("released", "0", 2, 0),
        ("drained", "0", 2, 0),
        ("died", "0", 2, 1),
        ("expired", "0", 2, 1),
        ("committed", "1", 1, 0),
    ],
)
def test_a_unit_that_comes_back_calls_a_worker_and_makes_room_in_a_job_that_had_no_more(
    environment: Environment, way: str, unit: str, attempt: int, crashes: int
) -> None:
    environment.submit_units(2, a_classify_job(max_running_units=1))
    held = environment.claim_unit("worker-a")
    assert environment.claim() is None
    environment.notified.clear()

    come_back(environment, held, way)

    assert environment.notified == ([] if way == "committed" else [CLASSIFY])
    again = environment.claim_unit("worker-b")
    assert (again.name, again.attempt, again.crashes) == (unit, attempt, crashes)
    assert environment.ledger.work.renew([held, again]) == [Renewal.LOST, Renewal.KEPT]
    assert environment.redis.exists(environment.keys.worker_leases("worker-a")) == 0


def test_units_that_were_there_when_a_worker_died_are_tried_alone(environment: Environment) -> None:
    job = a_classify_job(source=inline("good"))
    jobs = [environment.submit(job, unit_items=4) for _ in range(3)]
    assert len(environment.claim_names("worker-a")) == 3
    environment.ledger.work.release_worker("worker-a", crashed=True)
    jobs.append(environment.submit(job, unit_items=4))

    claims = [environment.claim_names("worker-b") for _ in range(4)]

    assert sorted(claims) == sorted([(job_id, "0")] for job_id in jobs)


def test_the_wait_doubles_with_each_crash_after_the_first_however_its_worker_died(
    environment: Environment,
) -> None:
    patient = environment.with_settings(backoff_s=100.0)
    patient.submit_units(1)
    waits_ms = []

    for way in ("died", "expired", "died", "expired"):
        unit, now_ms = patient.claim_unit("worker-a"), patient.ledger.fleet.now_ms()
        if way == "died":
            patient.ledger.work.release_worker("worker-a", crashed=True)
        else:
            patient.redis.zadd(patient.keys.timers(), {f"{unit.job_id} {unit.name}": 1})
            patient.ledger.work.expire()
        until_ms = until_of(patient, unit)
        waits_ms.append(until_ms - now_ms if until_ms else 0)
        if until_ms:
            assert (patient.claim(), patient.ledger.work.expire()) == (None, 0)
            patient.redis.zadd(patient.keys.timers(), {f"{unit.job_id} {unit.name}": 1})
            patient.ledger.work.expire()

    assert waits_ms == pytest.approx([0, 100_000, 200_000, 400_000], abs=2_000)


def test_who_has_lost_a_training_changes_nothing_of_it(environment: Environment) -> None:
    work, checkpoints = environment.ledger.work, environment.ledger.checkpoints
    job_id = environment.submit(a_train_job(), version=None, unit_items=1)
    zombie = environment.claim_unit("worker-a")
    work.release_worker("worker-a", crashed=True)
    current = environment.claim_unit("worker-b")
    record = CheckpointRecord("epoch-1", "0" * 64)

    with pytest.raises(LeaseLost) as lost:
        work.publish(zombie, an_epoch(job_id))
    refused = [
        work.fail_job(zombie, a_failure()),
        work.release_unit(zombie, crashed=True),
        checkpoints.commit(zombie, record),
        work.commit_training(zombie, a_training_result(version=1)),
    ]
    unchanged = environment.record(job_id).state, environment.events(job_id)

    assert str(lost.value) == f"Unit train of job {job_id} is not ours any more."
    assert refused == [False, False, [], CommitOutcome.FENCED]
    assert unchanged == (JobState.RUNNING, ["queued", "started"])
    # One that makes progress may be killed any number of times.
    assert (current.crashes, checkpoints.commit(current, record)) == (1, ["epoch-1"])
    work.release_worker("worker-b", crashed=True)
    last = environment.claim_unit("worker-c")
    assert last.crashes == 1
    assert work.commit_training(last, a_training_result(version=2)) is CommitOutcome.COMPLETED
    assert environment.record(job_id).training == a_training_result(version=2)


def test_a_paused_job_is_claimed_by_nobody_and_goes_on_where_it_was_with_a_wakeup(
    environment: Environment,
) -> None:
    control, work = environment.ledger.control, environment.ledger.work
    job_id = environment.submit_units(3)
    in_hand = environment.claim_unit()
    training = environment.submit(a_train_job(), version=None, unit_items=1)
    trains = environment.claim_unit(routes=(TRAIN,))

    for one in (job_id, training):
        control.pause(one)
    kept, outcome = work.renew([in_hand, trains]), environment.commit(in_hand)
    work.release_unit(trains)
    idle = environment.claim()
    environment.notified.clear()
    states = [control.resume(one) for one in (job_id, training, training)]

    assert kept == [Renewal.KEPT, Renewal.REVOKED]
    assert (outcome, idle) == (CommitOutcome.COMMITTED, None)
    assert states == [JobState.RUNNING] * 3
    assert environment.notified == [CLASSIFY, TRAIN]
    assert [environment.claim_unit(routes=(CLASSIFY,)).name for _ in range(2)] == ["1", "2"]
    assert environment.events(job_id) == ["queued", "started", "paused", "progress", "resumed"]
    assert environment.claim_unit(routes=(TRAIN,)).attempt == 2


def test_parts_of_a_unit_are_done_alone_and_once_and_know_how_its_worker_died(
    environment: Environment,
) -> None:
    work, death = environment.ledger.work, Death(DeathCause.SIGNAL, "It was killed.")
    job_id = environment.submit(chunk=a_chunk(4), sealed=True, unit_items=4)
    zombie = environment.claim_unit("worker-a")
    work.release_worker("worker-a", crashed=True, death=death)
    whole = environment.claim_unit("worker-b")
    waiting_bytes = environment.ledger.tenants.record("default").waiting_bytes
    environment.notified.clear()

    splits = [split(environment, unit) for unit in (zombie, whole)]
    called, parts = (
        environment.notified.copy(),
        [environment.claim_unit(), environment.claim_unit()],
    )
    activity = environment.ledger.transport.run(
        activity_of(environment.keys, environment.record(job_id))
    )
    more_bytes = sum(len(part.blob) for part in parts) - waiting_bytes
    after_split = environment.ledger.tenants.record("default").waiting_bytes - waiting_bytes
    outcomes = [
        work.commit(unit, some_results(size, first=first))
        for unit, size, first in (
            (whole, 4, 0),
            (parts[1], 2, 2),
            (parts[1], 2, 2),
            (zombie, 4, 0),
            (parts[0], 2, 0),
            (parts[1], 2, 2),
        )
    ]

    assert (splits, called) == ([False, True], [CLASSIFY])
    # Its items were tried twice before; the job's units were claimed twice and once each.
    assert [(part.name, part.attempt, part.death) for part in parts] == [
        ("0:0:2", 3, death),
        ("0:2:4", 3, death),
    ]
    assert (activity.attempts, activity.units_tried_again) == (4, 1)
    assert after_split == more_bytes
    assert outcomes == [
        "duplicate",
        "committed",
        "duplicate",
        "duplicate",
        "completed",
        "duplicate",
    ]
    record = environment.record(job_id)
    assert (record.counts, record.units_done) == (Counts(total=4, succeeded=4), 1)


def split(environment: Environment, unit: Unit) -> bool:
    parts = split_chunk(unpack_items(unit.blob))
    assert parts is not None
    return environment.ledger.work.split(unit, parts)


@pytest.mark.parametrize("row_bytes", [1_000_000, 400], ids=["one row a part", "two rows a part"])
def test_rows_of_a_split_unit_follow_each_other_each_one_stream_that_the_usual_call_reads(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, row_bytes: int
) -> None:
    monkeypatch.setattr(blobs, "RESULT_ROW_BYTES", row_bytes)  # 400: some three results
    job_id = environment.submit(chunk=a_chunk(8), sealed=True, unit_items=8)
    whole = environment.claim_unit()
    split(environment, whole)

    for part in (environment.claim_unit(), environment.claim_unit())[::-1]:
        chunk = unpack_items(part.blob)
        environment.ledger.work.commit(part, some_results(4, first=chunk.first_index))

    names = [f"item-{n}" for n in range(8)]
    rows = environment.redis.hgetall(environment.keys.output(job_id))
    assert sorted(rows) == [b"0", b"0+1", b"0+2", b"0+3"][: len(rows)]
    assert len(rows) == (2 if row_bytes > 400 else 4)
    lines = b"".join(zlib.decompress(rows[name]) for name in sorted(rows)).splitlines()
    assert [json.loads(line)["custom_id"] for line in lines] == names
    for row in rows.values():
        reader = zlib.decompressobj()
        reader.decompress(row)
        assert reader.unused_data == b""
    found = JobHandle(environment.ledger, job_id).results()
    assert [result.custom_id for result in found] == names


def test_whoever_held_a_unit_last_and_how_it_died_is_told_whatever_its_name_and_message(
    environment: Environment,
) -> None:
    death = Death(DeathCause.HANG, message='It "hung" in a\nloop.')
    job_id = environment.submit_units(2)
    environment.ledger.work.release_unit(environment.claim_unit(), faulted_by="worker a spaced")
    held = environment.claim_unit("worker a spaced")
    environment.ledger.work.release_worker("worker a spaced", crashed=True, death=death)

    again = environment.claim_unit()

    assert (again.name, again.death) == (held.name, death)
    assert again.faults is not None
    assert (again.faults.count, again.faults.worker) == (1, "worker a spaced")
    assert environment.events(job_id).count("log") == 1


def test_all_leases_of_a_worker_that_stands_still_can_be_kept_and_its_jobs_are_told_once(
    environment: Environment,
) -> None:
    job_id = environment.submit_units(3)
    held = [environment.claim_unit("worker-a") for _ in range(2)]
    other = environment.claim_unit("worker-b")
    before = [until_of(environment, unit) for unit in (*held, other)]
    longer = environment.with_settings(lease_s=600.0)

    longer.ledger.work.renew_worker("worker-a", "It stands still.")
    longer.ledger.work.renew_worker("worker-a")

    after = [until_of(environment, unit) for unit in (*held, other)]
    longer_by_ms = [end - begin for begin, end in zip(before, after, strict=True)]
    assert [more >= 500_000 for more in longer_by_ms] == [True, True, False]
    assert environment.events(job_id).count("log") == 1
    environment.ledger.work.release_worker("worker-a", crashed=False)
    assert [environment.claim_unit("worker-c").death for _ in held] == [None, None]


def test_a_lease_that_is_over_is_not_revived_for_a_worker_that_stands_still(
    environment: Environment,
) -> None:
    hasty = environment.with_settings(lease_s=BRIEFLY_S)
    hasty.submit_units(1)
    unit = hasty.claim_unit("worker-a")
    hasty.expire_due()

    hasty.ledger.work.renew_worker("worker-a")

    assert until_of(hasty, unit) == 0
    assert hasty.claim_unit("worker-b").crashes == 1


@pytest.mark.parametrize("step", ["claim", "renew", "keep"])
def test_the_list_of_what_a_worker_holds_outlives_its_leases_and_not_for_ever(
    environment: Environment, step: str
) -> None:
    environment.submit(a_classify_job(source=FileSource(path="/data/reviews.jsonl")))
    key = environment.keys.worker_leases("worker-a")
    unit = environment.claim_unit("worker-a")
    if step != "claim":
        environment.redis.expire(key, 5)

    if step == "renew":
        environment.ledger.work.renew([unit])
    elif step == "keep":
        environment.ledger.ingests.keep(unit)

    assert environment.redis.ttl(key) == DAY_S


def test_all_of_a_fleet_that_died_is_woken_in_one_look(environment: Environment) -> None:
    hasty = environment.with_settings(lease_s=BRIEFLY_S)
    for _ in range(210):
        hasty.submit(a_classify_job(source=inline("good")), unit_items=300)
    assert [len(hasty.claim_names()) for _ in range(2)] == [200, 10]
    hasty.wait_for_clock(hasty.ledger.fleet.now_ms() + 2)

    assert [hasty.ledger.work.expire() for _ in range(2)] == [210, 0]

"""Many small jobs in one step: each is a job of its own, whatever becomes of the others."""

from collections.abc import Sequence

import pytest

from builders import a_chunk, a_classify_job, some_results
from ledger_fixtures import BRIEFLY_S, CLASSIFY, Environment
from seqd.errors import IdInUse, JobDamaged, QuotaExceeded, RedisUnreachable, SeqdError
from seqd.ledger.blobs import unpack_items, unpack_results
from seqd.ledger.jobs import EndedRow
from seqd.ledger.submissions import SUBMIT_JOBS, Accepted, BatchTemplate
from seqd.ledger.units import Unit
from seqd.ledger.work import CommitOutcome, Finished, MiscountedResults
from seqd_schemas import ClassifyJob, Counts, ItemChunk, JobState

pytestmark = pytest.mark.processes

CLIENT = "client-1"


def submit_each(
    environment: Environment,
    job_ids: Sequence[str],
    job: ClassifyJob | None = None,
    chunk: ItemChunk | None = None,
) -> list[Accepted | SeqdError]:
    """Hand in a job of one item for each identifier."""
    template = BatchTemplate(job or a_classify_job(), version=3, unit_items=256, client=CLIENT)
    inputs = [(job_id, chunk or a_chunk(1)) for job_id in job_ids]
    return environment.ledger.submissions.submit_each(template, inputs)


def claim_all(environment: Environment) -> list[Unit]:
    claim = environment.claim()
    assert claim is not None, "nothing is claimable"
    return list(claim.units)


def finished(unit: Unit, results: int = 1) -> Finished:
    return Finished(unit, some_results(results), unpack_items(unit.blob))


def members(environment: Environment, *keys: str) -> list[int]:
    """Count what is left in sorted sets."""
    return [environment.redis.zcard(key) for key in keys]


def test_each_of_many_jobs_is_whole_and_known_by_itself(environment: Environment) -> None:
    job = a_classify_job(tenant="acme", priority="interactive", metadata={"shop": "north"})
    names = [f"job-{n}" for n in range(SUBMIT_JOBS + 3)]

    outcomes = submit_each(environment, names, job)

    assert outcomes == [Accepted(name, created=True) for name in names]
    for name in (names[0], names[-1]):
        record = environment.record(name)
        assert (record.state, record.counts) == ("queued", Counts(total=1, processing=1))
        assert (record.sealed, record.units, record.job) == (True, 1, job)
        assert environment.events(name) == ["queued"]
    account = environment.redis.hgetall(environment.keys.tenant("acme"))
    assert (int(account[b"jobs"]), int(account[b"items"])) == (len(names), len(names))
    assert (
        members(environment, environment.keys.jobs(), environment.keys.open_jobs())
        == [len(names)] * 2
    )
    assert set(environment.notified) == {CLASSIFY}


def test_jobs_that_are_sent_again_are_not_made_again(environment: Environment) -> None:
    submit_each(environment, ["a", "b"])

    outcomes = submit_each(environment, ["b", "c", "c"])

    created = [(outcome.job_id, outcome.created) for outcome in outcomes]  # type: ignore[union-attr]
    assert created == [("b", False), ("c", True), ("c", False)]
    assert members(environment, environment.keys.jobs()) == [3]


def test_a_refusal_of_one_job_stands_in_its_place(environment: Environment) -> None:
    submit_each(environment, ["taken"], chunk=a_chunk(1, first=7))

    outcomes = submit_each(environment, ["a", "taken", "b"])

    assert [type(outcome) for outcome in outcomes] == [Accepted, IdInUse, Accepted]
    assert environment.record("b").state is JobState.QUEUED


def test_a_quota_counts_the_jobs_of_the_same_step(environment: Environment) -> None:
    environment.redis.hset(environment.keys.limits(), "tenant_jobs", 2)

    outcomes = submit_each(environment, ["a", "b", "c", "d"])

    assert [type(outcome) for outcome in outcomes] == [Accepted] * 2 + [QuotaExceeded] * 2
    assert "has 2 open jobs; allowed: 2" in str(outcomes[3])
    assert members(environment, environment.keys.open_jobs()) == [2]


def test_what_stands_in_the_way_of_one_job_does_not_of_the_others(environment: Environment) -> None:
    environment.redis.set(environment.keys.todo("b"), "what is this?")

    outcomes = submit_each(environment, ["a", "b", "c"])

    assert [type(outcome) for outcome in outcomes] == [Accepted, JobDamaged, Accepted]
    assert str(outcomes[1]).startswith("Redis holds something else of job b: ")
    assert [environment.events(name) for name in ("a", "c")] == [["queued"]] * 2


def test_jobs_that_are_committed_together_end_each_with_its_result(
    environment: Environment,
) -> None:
    names = [f"job-{n}" for n in range(100)]
    submit_each(environment, names)
    units = claim_all(environment)

    outcomes = environment.ledger.work.commit_batch(finished(unit) for unit in units)

    assert [unit.job_id for unit in units] == names
    assert set(outcomes) == {CommitOutcome.COMPLETED}
    for name in (names[0], names[-1]):
        assert environment.labels(name, 0) == ["like"]
        assert environment.record(name).counts == Counts(total=1, succeeded=1)
        assert environment.events(name) == ["queued", "started", "completed"]
        assert environment.redis.ttl(environment.keys.job(name)) > 0
    keys = environment.keys
    assert members(environment, keys.open_jobs(), keys.timers()) == [0, 0]
    assert environment.redis.exists(keys.worker_leases("worker-a")) == 0
    account = environment.redis.hgetall(keys.tenant("default"))
    assert list(account) == [b"kept_bytes"]


def test_one_unit_with_too_many_results_keeps_no_other_from_its_commit(
    environment: Environment,
) -> None:
    submit_each(environment, ["a", "b", "c"])
    first, second, third = claim_all(environment)

    outcomes = environment.ledger.work.commit_batch(
        [finished(first), Finished(second, some_results(3)), finished(third)]
    )

    assert (outcomes[0], outcomes[2]) == (CommitOutcome.COMPLETED, CommitOutcome.COMPLETED)
    assert isinstance(outcomes[1], MiscountedResults)
    assert str(outcomes[1]) == "seqd: 3 results for unit 0, which has 1 items"


def test_a_damaged_job_is_ended_and_its_neighbours_are_committed(environment: Environment) -> None:
    submit_each(environment, ["a", "b", "c"])
    units = claim_all(environment)
    environment.redis.set(environment.keys.output("b"), "what is this?")

    outcomes = environment.ledger.work.commit_batch(finished(unit) for unit in units)

    assert outcomes == [CommitOutcome.COMPLETED, CommitOutcome.ENDED, CommitOutcome.COMPLETED]
    assert [environment.record(name).state for name in ("a", "b", "c")] == [
        "completed",
        "failed",
        "completed",
    ]


def test_what_a_claim_took_before_it_tripped_over_a_damaged_job_comes_back(
    environment: Environment,
) -> None:
    quick = environment.with_settings(lease_s=BRIEFLY_S)
    submit_each(environment, ["a", "b"])
    environment.redis.set(environment.keys.attempts("b"), "what is this?")

    quick.claim()
    woken = quick.expire_due()
    unit = environment.claim_unit()

    assert (woken, unit.job_id, unit.attempt) == (1, "a", 2)
    assert environment.record("b").state is JobState.FAILED


def test_a_client_is_told_once_of_all_its_jobs_that_a_step_has_ended(
    environment: Environment,
) -> None:
    submit_each(environment, ["a", "b"])
    environment.submit(job_id="of-somebody-else", chunk=a_chunk(1), sealed=True, unit_items=256)
    place = environment.ledger.jobs.last_completion_id(CLIENT)

    environment.ledger.work.commit_batch(finished(unit) for unit in claim_all(environment))
    place, told = environment.ledger.jobs.completions(CLIENT, place)
    submit_each(environment, ["c"])
    environment.ledger.control.cancel("c")

    assert told == ["a", "b"]
    assert environment.ledger.jobs.completions(CLIENT, place)[1] == ["c"]
    assert 0 < environment.redis.ttl(environment.keys.completions(CLIENT)) <= 3_600


def test_a_completion_stream_that_is_none_is_in_nobodys_way(environment: Environment) -> None:
    environment.redis.set(environment.keys.completions(CLIENT), "what is this?")
    submit_each(environment, ["a", "b"])

    outcomes = environment.ledger.work.commit_batch(
        finished(unit) for unit in claim_all(environment)
    )

    assert outcomes == [CommitOutcome.COMPLETED] * 2


def test_many_jobs_are_looked_at_together(environment: Environment) -> None:
    submit_each(environment, ["done", "open"])
    first, _ = claim_all(environment)
    environment.ledger.work.commit_batch([finished(first)])
    environment.submit_units(2, job_id="of-two-units")
    environment.ledger.control.cancel("of-two-units")

    done, still_open, cancelled, gone = environment.ledger.jobs.ended(
        ["done", "open", "of-two-units", "gone"]
    )

    assert (done.state, still_open) == ("completed", EndedRow(None, is_kept=True, blob=None))
    assert [result.custom_id for result in unpack_results(done.blob or b"")] == ["item-0"]
    assert (cancelled.state, cancelled.blob) == ("cancelled", None)
    assert gone == EndedRow(None, is_kept=False, blob=None)


def test_jobs_that_redis_was_away_for_have_that_as_their_outcome(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, calls = RedisUnreachable("away"), 0
    submissions = environment.ledger.submissions
    submit_batch = submissions._submit_batch

    def away_at_the_second(*arguments: object) -> list[Accepted | SeqdError]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise away
        return submit_batch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(submissions, "_submit_batch", away_at_the_second)

    outcomes = submit_each(environment, [f"job-{n}" for n in range(2 * SUBMIT_JOBS + 1)])

    assert [type(outcome) for outcome in outcomes[:SUBMIT_JOBS]] == [Accepted] * SUBMIT_JOBS
    assert outcomes[SUBMIT_JOBS:] == [away] * (SUBMIT_JOBS + 1)

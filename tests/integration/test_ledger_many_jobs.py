"""Many small jobs in one step: each is a job of its own, whatever becomes of the others."""

from collections.abc import Sequence

import pytest

from builders import a_chunk, a_classify_job, some_results
from ledger_fixtures import BRIEFLY_S, Environment
from redis_fixtures import PrivateServer
from seqd.admission import Admitted
from seqd.errors import IdInUse, QuotaExceeded, RedisUnreachable, SeqdError
from seqd.ledger.blobs import unpack_items
from seqd.ledger.submissions import SUBMIT_JOBS, Accepted, BatchTemplate
from seqd.ledger.units import Unit
from seqd.ledger.work import CommitOutcome, Finished, MiscountedResults
from seqd_schemas import ItemChunk, JobState

pytestmark = pytest.mark.processes

CLIENT = "client-1"
COMPLETED = CommitOutcome.COMPLETED

#: Redis cuts whole nodes of a hundred entries off a stream.
NODE = 100

#: What is kept of the events of all jobs, and of a client's completions.
EVENTS_KEPT, COMPLETIONS_KEPT = 10_000, 1_000

FILL = "for _ = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'filler', '') end"


def submit_each(
    environment: Environment, job_ids: Sequence[str], chunk: ItemChunk | None = None
) -> list[Accepted | SeqdError]:
    """Hand in a job of one item for each identifier."""
    template = BatchTemplate(a_classify_job(), Admitted(3, 256), CLIENT)
    inputs = [(job_id, chunk or a_chunk(1)) for job_id in job_ids]
    return environment.ledger.submissions.submit_each(template, inputs)


def claim_all(environment: Environment) -> list[Unit]:
    claim = environment.claim()
    assert claim is not None, "nothing is claimable"
    return list(claim.units)


def finished(unit: Unit) -> Finished:
    return Finished(unit, some_results(1), unpack_items(unit.blob))


def commit_all(environment: Environment, units: Sequence[Unit]) -> list[object]:
    return list(environment.ledger.work.commit_batch(finished(unit) for unit in units))


def test_what_stands_in_the_way_of_one_job_does_not_of_the_others(environment: Environment) -> None:
    submit_each(environment, ["taken"], chunk=a_chunk(1, first=7))
    environment.redis.hset(environment.keys.limits(), "tenant_jobs", 4)

    outcomes = submit_each(environment, ["a", "taken", "b", "c", "d", "e"])

    assert [type(outcome) for outcome in outcomes] == [
        *(Accepted, IdInUse, Accepted, Accepted, QuotaExceeded, QuotaExceeded)
    ]
    assert "has 4 open jobs; allowed: 4" in str(outcomes[5])
    assert [environment.events(name) for name in ("a", "b")] == [["queued"]] * 2


def test_one_unit_with_too_many_results_or_of_a_damaged_job_keeps_no_other_from_its_commit(
    environment: Environment,
) -> None:
    submit_each(environment, ["a", "many", "damaged", "b"])
    first, many, damaged, last = claim_all(environment)
    environment.redis.set(environment.keys.output("damaged"), "what is this?")

    outcomes = environment.ledger.work.commit_batch(
        [finished(first), Finished(many, some_results(3)), finished(damaged), finished(last)]
    )

    assert [outcomes[0], outcomes[2], outcomes[3]] == [COMPLETED, CommitOutcome.ENDED, COMPLETED]
    assert isinstance(outcomes[1], MiscountedResults)
    assert str(outcomes[1]) == "seqd: 3 results for unit 0, which has 1 items"
    states = [environment.record(name).state for name in ("a", "many", "damaged", "b")]
    assert states == ["completed", "running", "failed", "completed"]


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

    commit_all(environment, claim_all(environment))
    place, told = environment.ledger.jobs.completions(CLIENT, "0-0")
    submit_each(environment, ["c"])
    environment.ledger.control.cancel("c")

    assert told == ["a", "b"]
    assert environment.ledger.jobs.completions(CLIENT, place)[1] == ["c"]
    assert 0 < environment.redis.ttl(environment.keys.completions(CLIENT)) <= 3_600


@pytest.mark.parametrize("step", ["submit", "commit", "cancel"])
def test_the_streams_that_jobs_share_are_bounded_whichever_step_adds_to_them(
    environment: Environment, step: str
) -> None:
    redis, keys = environment.redis, environment.keys
    submit_each(environment, ["a", "b"])
    units = claim_all(environment)
    redis.eval(FILL, 1, keys.all_events(), EVENTS_KEPT + 500)
    redis.eval(FILL, 1, keys.completions(CLIENT), COMPLETIONS_KEPT + 500)

    if step == "submit":
        environment.submit_units(1)
    elif step == "commit":
        commit_all(environment, units)
    else:
        environment.ledger.control.cancel("a")

    assert EVENTS_KEPT <= redis.xlen(keys.all_events()) < EVENTS_KEPT + 2 * NODE
    ((_, last),) = redis.xrevrange(keys.all_events(), count=1)
    name = {"submit": "queued", "commit": "completed", "cancel": "cancelled"}[step]
    assert f'"event":"{name}"' in last[b"e"].decode()
    if step != "submit":
        assert (
            COMPLETIONS_KEPT <= redis.xlen(keys.completions(CLIENT)) < COMPLETIONS_KEPT + 2 * NODE
        )
        ((_, told),) = redis.xrevrange(keys.completions(CLIENT), count=1)
        assert told == {b"jobs": b"a b" if step == "commit" else b"a"}


def test_jobs_that_redis_was_away_for_have_that_as_their_outcome(
    environment: Environment, own_server: PrivateServer
) -> None:
    with environment.on(own_server) as there:

        def names():
            for number in range(2 * SUBMIT_JOBS + 1):
                if number == SUBMIT_JOBS + 1:
                    own_server.kill()
                yield f"job-{number}", a_chunk(1)

        template = BatchTemplate(a_classify_job(), Admitted(3, 256), CLIENT)
        outcomes = there.ledger.submissions.submit_each(template, names())

    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Accepted] * SUBMIT_JOBS + [RedisUnreachable] * (SUBMIT_JOBS + 1)

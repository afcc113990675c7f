"""Dead letters in the ledger: each failed unit and job has one, in the step in which it fails.

Which there are, of any walk of commits, ends and cancels, says `tests/model`.
"""

import pytest

from builders import a_chunk, a_classify_job, a_failure, a_train_job
from ledger_fixtures import Environment
from seqd.errors import InvalidRequest, UnknownFailure
from seqd.ledger.exchange import Taken
from seqd.ledger.job_filter import ANY_FAILURE, FailureFilter
from seqd.ledger.units import Death
from seqd.ledger.work import Finished
from seqd_schemas import (
    DeathCause,
    FailureRecord,
    FailureScope,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
)

pytestmark = pytest.mark.processes

RAISED = "The model plugin raised ValueError: no"
TRACE = "  plugin.py, line 3, in go\nValueError: no"


def letters(environment: Environment, wanted: FailureFilter = ANY_FAILURE) -> list[FailureRecord]:
    def all_of():
        taken, found = Taken(environment.ledger.failures.pages(wanted)), []
        while (record := (yield from taken.take())) is not None:
            found.append(record)
        return found

    return environment.ledger.transport.run(all_of())


def failing(code: ItemErrorCode, message: str, count: int = 2) -> list[ItemSuccess | ItemFailure]:
    error = ItemError(code=code, message=message)
    return [ItemFailure(custom_id=f"row-{n}", error=error) for n in range(1, count + 1)]


def fail_a_job(environment: Environment, **fields: object) -> None:
    job_id = environment.submit_units(1, a_classify_job(**fields))
    environment.ledger.control.fail(job_id, a_failure())


def test_a_unit_with_failed_items_leaves_one_dead_letter(environment: Environment) -> None:
    job_id = environment.submit(a_classify_job(tenant="shop"), chunk=a_chunk(10), sealed=True)
    unit = environment.claim_unit("worker-b")
    results = failing(ItemErrorCode.PLUGIN_ERROR, RAISED, 10)

    environment.ledger.work.commit_batch(
        [Finished(unit, results, a_chunk(10), tracebacks={RAISED: TRACE})]
    )

    (letter,) = letters(environment)
    assert letter == FailureRecord(
        id=letter.id,
        at_ms=int(letter.id.partition("-")[0]),
        job_id=job_id,
        tenant="shop",
        task="classify",
        model="imdb_lstm",
        version=3,
        unit="0",
        code="plugin_error",
        items=10,
        custom_ids=tuple(f"row-{n}" for n in range(1, 9)),
        message=RAISED,
        traceback=TRACE,
        worker="worker-b",
        attempts=1,
    )
    assert environment.ledger.failures.get(letter.id) == letter


def test_of_more_dead_letters_than_one_read_takes_each_is_read_and_counted_once(
    environment: Environment,
) -> None:
    job_id = environment.submit_units(1)
    failed = failing(ItemErrorCode.PLUGIN_ERROR, RAISED)
    environment.ledger.work.commit(environment.claim_unit(), failed)
    key, ledger = environment.keys.failures(), environment.ledger
    ((_, letter),) = environment.redis.xrange(key)
    with environment.redis.pipeline() as pipe:
        for _ in range(400):
            pipe.xadd(key, letter)
        pipe.execute()

    assert len({one.id for one in letters(environment)}) == len(letters(environment)) == 401
    assert ledger.failures.codes_of(job_id, 0) == {"plugin_error": 2 * 401}


def test_each_code_of_a_unit_has_its_own_dead_letter_and_undone_items_have_none(
    environment: Environment,
) -> None:
    environment.submit(chunk=a_chunk(len(ItemErrorCode)), sealed=True)
    results = [
        ItemFailure(custom_id=f"row-{n}", error=ItemError(code=code, message=f"It is {code}."))
        for n, code in enumerate(ItemErrorCode, start=1)
    ]

    environment.ledger.work.commit(environment.claim_unit(), results)

    assert {(one.code, one.items, one.message) for one in letters(environment)} == {
        (code, 1, f"It is {code}.")
        for code in ("invalid_input", "too_long", "decode_error", "plugin_error", "worker_crashed")
    }


@pytest.mark.parametrize("cause", [one for one in DeathCause if one is not DeathCause.UNKNOWN])
def test_an_item_or_a_training_that_killed_its_worker_says_how_it_died(
    environment: Environment, cause: DeathCause
) -> None:
    work = environment.ledger.work
    environment.submit_units(1)
    environment.submit(a_train_job(), version=None, sealed=True)
    for _ in range(2):
        environment.claim_unit()
    work.release_worker("worker-a", crashed=True, death=Death(cause, "It is gone."))

    for _ in range(2):
        unit = environment.claim_unit()
        if unit.name == "train":
            work.fail_job(unit, a_failure(), TRACE)
        else:
            work.commit(unit, failing(ItemErrorCode.WORKER_CRASHED, "It killed its worker."))

    of_items, of_job = sorted(letters(environment), key=lambda letter: letter.scope, reverse=True)
    if of_items.scope is FailureScope.JOB:
        of_items, of_job = of_job, of_items
    assert (of_items.cause, of_items.attempts) == (of_job.cause, of_job.attempts) == (cause, 2)
    assert (of_job.task, of_job.version, of_job.unit) == ("train", None, "")
    assert (of_job.code, of_job.message) == (a_failure().code, a_failure().message)
    assert (of_job.items, of_job.worker, of_job.traceback) == (1, "worker-a", TRACE)


def test_a_damaged_job_leaves_a_dead_letter(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    environment.redis.hset(environment.keys.job(job_id), "spec", "no JSON")
    environment.claim()

    (letter,) = letters(environment)
    assert (letter.job_id, letter.code, letter.task) == (job_id, "job_damaged", "classify")


def test_dead_letters_are_bounded_in_number_and_age_and_none_is_kept_where_the_bound_is_0(
    environment: Environment,
) -> None:
    key = environment.keys.failures()
    environment.publish_limits(max_failures=0)
    fail_a_job(environment)
    assert environment.redis.exists(key) == 0
    environment.publish_limits(max_failures=100, failures_ttl_s=600)

    for _ in range(220):
        fail_a_job(environment)

    # Redis trims whole nodes of a stream, of a hundred entries at most.
    assert 100 <= environment.ledger.failures.count() <= 200
    assert 590 < environment.redis.ttl(key) <= 600


def test_dead_letters_are_purged_with_their_notes_and_jobs_stay(environment: Environment) -> None:
    failures = environment.ledger.failures
    fail_a_job(environment)
    (letter,) = letters(environment)
    failures.note_replayed([f"{n}-0" for n in range(1, 300)], "of others that are gone")
    failures.note_replayed([letter.id], "again")
    notes = environment.redis.hgetall(environment.keys.failures_replayed())
    noted = letters(environment)[0].replayed_by

    removed = failures.purge([letter.id, "1-1"])

    assert (notes, noted) == ({letter.id.encode(): b"again"}, "again")
    assert removed == 1
    assert environment.ledger.jobs.exists(letter.job_id)
    assert environment.redis.exists(environment.keys.failures_replayed()) == 0
    with pytest.raises(UnknownFailure, match=f"There is no dead letter {letter.id}"):
        failures.get(letter.id)


def test_notes_on_dead_letters_that_are_gone_stay_bounded(environment: Environment) -> None:
    redis, keys, kept, per_call = environment.redis, environment.keys, 3_000, 200
    ids = [f"{number}-0" for number in range(1, 7_001)]
    with redis.pipeline() as pipe:
        for one in ids[:kept]:
            pipe.xadd(keys.failures(), {"f": "{}"}, id=one)
        pipe.hset(keys.failures_replayed(), mapping=dict.fromkeys(ids, "old"))
        pipe.execute()

    for call in range(30):
        first = 10_000 + call * per_call
        gone = [f"{first + number}-0" for number in range(per_call)]
        environment.ledger.failures.note_replayed(gone, "new")

    # 200 come in each call, and of a thousand notes those that are on nothing go.
    assert kept <= redis.hlen(keys.failures_replayed()) < 2 * kept


def test_filters_select_dead_letters_and_pages_have_all(environment: Environment) -> None:
    for number in range(250):
        fail_a_job(environment, tenant=f"t{number % 2}")
    every = letters(environment)

    assert len({one.id for one in every}) == 250
    assert [one.at_ms for one in every] == sorted((one.at_ms for one in every), reverse=True)
    assert len(letters(environment, FailureFilter(tenant="t1"))) == 125
    assert letters(environment, FailureFilter(model="markov")) == []
    middle = every[100].at_ms
    later = letters(environment, FailureFilter(since_ms=middle))
    earlier = letters(environment, FailureFilter(until_ms=middle))
    assert len(later) + len(earlier) == 250
    assert min(one.at_ms for one in later) >= middle > max(one.at_ms for one in earlier)


@pytest.mark.parametrize("failure_id", [f"{2**64}-0", f"1-{2**64}", "1", "-1-0"])
def test_what_no_stream_has_as_an_id_is_refused_in_words(
    environment: Environment, failure_id: str
) -> None:
    with pytest.raises(InvalidRequest, match=r"allowed: MILLISECONDS-NUMBER"):
        environment.ledger.failures.get(failure_id)

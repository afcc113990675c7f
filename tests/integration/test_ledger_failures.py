"""Dead letters in the ledger: each failed unit and job has one, in the step in which it fails."""

import pytest

from builders import a_chunk, a_classify_job, a_failure, a_train_job
from ledger_fixtures import Environment
from seqd.errors import InvalidRequest, UnknownFailure
from seqd.ledger.exchange import Taken
from seqd.ledger.failure_filter import ANY_FAILURE, FailureFilter
from seqd.ledger.units import Death
from seqd.ledger.work import CommitOutcome, Finished
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


def test_a_unit_with_failed_items_leaves_one_dead_letter(environment: Environment) -> None:
    job_id = environment.submit(a_classify_job(tenant="shop"), chunk=a_chunk(10), sealed=True)
    unit = environment.claim_unit("worker-b")
    results = failing(ItemErrorCode.PLUGIN_ERROR, "The model plugin raised ValueError: no", 10)
    traces = {
        "The model plugin raised ValueError: no": "  plugin.py, line 3, in go\nValueError: no"
    }

    environment.ledger.work.commit_batch([Finished(unit, results, a_chunk(10), tracebacks=traces)])

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
        message="The model plugin raised ValueError: no",
        traceback="  plugin.py, line 3, in go\nValueError: no",
        worker="worker-b",
        attempts=1,
    )
    assert environment.ledger.failures.get(letter.id) == letter


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
def test_an_item_that_killed_its_worker_says_how_it_died(
    environment: Environment, cause: DeathCause
) -> None:
    environment.submit_units(1)
    environment.claim_unit()
    environment.ledger.work.release_worker(
        "worker-a", crashed=True, death=Death(cause, "It is gone.")
    )

    environment.ledger.work.commit(
        environment.claim_unit(), failing(ItemErrorCode.WORKER_CRASHED, "It killed its worker.")
    )

    (letter,) = letters(environment)
    assert (letter.cause, letter.attempts) == (cause, 2)


def test_a_job_that_a_worker_fails_leaves_a_dead_letter(environment: Environment) -> None:
    environment.submit_units(2)
    unit = environment.claim_unit()

    environment.ledger.work.fail_job(unit, a_failure(), "  plugin.py, line 3, in load")

    (letter,) = letters(environment)
    assert letter.scope is FailureScope.JOB
    assert (letter.code, letter.message) == (a_failure().code, a_failure().message)
    assert (letter.items, letter.unit, letter.worker) == (4, "", "worker-a")
    assert letter.traceback == "  plugin.py, line 3, in load"


def test_a_training_that_fails_after_a_hang_says_so(environment: Environment) -> None:
    environment.submit(a_train_job(), version=None, sealed=True)
    environment.claim_unit()
    death = Death(DeathCause.HANG, "It stood still.")
    environment.ledger.work.release_worker("worker-a", crashed=True, death=death)

    environment.ledger.work.fail_job(environment.claim_unit(), a_failure())

    (letter,) = letters(environment)
    assert (letter.task, letter.version, letter.cause) == ("train", None, DeathCause.HANG)


def test_a_damaged_job_leaves_a_dead_letter(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    environment.redis.hset(environment.keys.job(job_id), "spec", "no JSON")
    environment.claim()

    (letter,) = letters(environment)
    assert (letter.job_id, letter.code, letter.task) == (job_id, "job_damaged", "classify")


def test_dead_letters_are_bounded_in_number(environment: Environment) -> None:
    environment.ledger.fleet.publish_limits(
        environment.settings.model_copy(update={"max_failures": 100})
    )
    for _ in range(400):
        environment.ledger.control.fail(environment.submit_units(1), a_failure())

    # Redis trims whole nodes of a stream, of a hundred entries at most.
    assert 100 <= environment.ledger.failures.count() <= 200


def test_no_dead_letter_is_kept_where_the_bound_is_0(environment: Environment) -> None:
    environment.ledger.fleet.publish_limits(
        environment.settings.model_copy(update={"max_failures": 0})
    )

    environment.ledger.control.fail(environment.submit_units(1), a_failure())

    assert environment.redis.exists(environment.keys.failures()) == 0


def test_dead_letters_have_a_time_to_live(environment: Environment) -> None:
    environment.ledger.fleet.publish_limits(
        environment.settings.model_copy(update={"failures_ttl_s": 600})
    )

    environment.ledger.control.fail(environment.submit_units(1), a_failure())

    assert 590 < environment.redis.ttl(environment.keys.failures()) <= 600


def test_an_entry_from_the_far_future_hides_none_that_come_later(environment: Environment) -> None:
    environment.redis.xadd(environment.keys.failures(), {"f": "{}"}, id=f"{10**18}-0")
    environment.ledger.control.fail(environment.submit_units(1), a_failure())

    assert [one.at_ms for one in letters(environment)] == [2**53]


def test_an_entry_that_nobody_can_read_is_left_out(
    environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    environment.redis.xadd(environment.keys.failures(), {"f": b"\xff{"})
    environment.redis.xadd(environment.keys.failures(), {"other": "x"})
    environment.ledger.control.fail(environment.submit_units(1), a_failure())

    assert len(letters(environment)) == 1
    assert "was left out" in caplog.text


def test_dead_letters_are_purged_and_jobs_stay(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    environment.ledger.control.fail(job_id, a_failure())
    (letter,) = letters(environment)
    environment.ledger.failures.note_replayed([letter.id], "again")
    assert letters(environment)[0].replayed_by == "again"

    removed = environment.ledger.failures.purge([letter.id, "1-1"])

    assert removed == 1
    assert environment.ledger.jobs.exists(job_id)
    assert environment.redis.exists(environment.keys.failures_replayed()) == 0
    with pytest.raises(UnknownFailure, match=f"There is no dead letter {letter.id}"):
        environment.ledger.failures.get(letter.id)


def test_filters_select_dead_letters_and_pages_have_all(environment: Environment) -> None:
    for number in range(250):
        environment.ledger.control.fail(
            environment.submit_units(1, a_classify_job(tenant=f"t{number % 2}")), a_failure()
        )
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


@pytest.mark.parametrize("spoil", ["number", "stream"])
def test_no_damage_to_what_bounds_dead_letters_costs_a_result(
    environment: Environment, spoil: str
) -> None:
    job_id = environment.submit(chunk=a_chunk(2), sealed=True)
    unit, keys = environment.claim_unit(), environment.keys
    if spoil == "number":
        environment.redis.hset(keys.limits(), "failures_ttl_s", "1.5")
    else:
        environment.redis.set(keys.failures(), "written by hand")

    outcome = environment.ledger.work.commit(unit, failing(ItemErrorCode.PLUGIN_ERROR, "No."))

    assert outcome is CommitOutcome.COMPLETED
    counts = environment.record(job_id).counts
    assert (counts.errored, counts.total) == (2, 2)
    assert len(letters(environment)) == 1


def test_a_key_of_dead_letters_that_somebody_has_written_over_has_none(
    environment: Environment,
) -> None:
    environment.redis.set(environment.keys.failures(), "written by hand")

    assert environment.ledger.failures.count() == 0
    assert letters(environment) == []
    with pytest.raises(UnknownFailure):
        environment.ledger.failures.get("1-0")


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


@pytest.mark.parametrize("failure_id", [f"{2**64}-0", f"1-{2**64}", "1", "-1-0"])
def test_what_no_stream_has_as_an_id_is_refused_in_words(
    environment: Environment, failure_id: str
) -> None:
    with pytest.raises(InvalidRequest, match=r"allowed: MILLISECONDS-NUMBER"):
        environment.ledger.failures.get(failure_id)


@pytest.mark.parametrize("written", [{}, {"replayed": b"\xff"}])
def test_notes_that_somebody_has_written_by_hand_hide_no_dead_letter(
    environment: Environment, written: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    environment.submit(chunk=a_chunk(2), sealed=True)
    environment.ledger.work.commit(
        environment.claim_unit(), failing(ItemErrorCode.PLUGIN_ERROR, "No.")
    )
    (letter,) = letters(environment)
    key = environment.keys.failures_replayed()
    if written:
        environment.redis.hset(key, letter.id, written["replayed"])
    else:
        environment.redis.set(key, "no hash")

    (found,) = letters(environment)

    assert (found.id, found.replayed_by) == (letter.id, "\ufffd" if written else None)
    told = f"the key {key} of dead letters has a value of another type than seqd writes"
    assert (told in caplog.text) != bool(written)

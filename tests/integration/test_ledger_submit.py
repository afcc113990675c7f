"""Jobs come into the ledger whole and once; what is refused says why, and leaves nothing.

What a request or a unit of input becomes in any order of steps says `tests/model`. Here are what
it does not draw: uploaded training sets, messages, bounds of bytes, and a Redis without room.
"""

import pytest

from builders import a_chunk, a_classify_job, a_text_chunk, a_train_job, inline
from ledger_fixtures import TRAIN, Environment
from seqd.admission import Admitted
from seqd.errors import IdempotencyConflict, QuotaExceeded, RedisFull, UploadLost
from seqd.ledger.blobs import unpack_items
from seqd.ledger.submissions import Accepted
from seqd_schemas import Counts, UploadSource

pytestmark = [pytest.mark.processes, pytest.mark.smoke]


def account(environment: Environment) -> dict[str, int]:
    """Return what of the tenant is open and waits."""
    found = environment.ledger.tenants.record("default")
    return {"jobs": found.open_jobs, "items": found.waiting_items, "bytes": found.waiting_bytes}


def test_inline_items_become_the_only_unit_and_leave_the_request(environment: Environment) -> None:
    job_id = environment.submit(a_classify_job(source=inline("good", "bad")))

    record = environment.record(job_id)

    assert (record.units, record.sealed, record.counts.total) == (1, True, 2)
    assert record.job.source == UploadSource(expected_items=2)
    assert unpack_items(environment.claim_unit().blob).items == inline("good", "bad").items


@pytest.mark.parametrize(
    ("job_id", "key", "said"),
    [("second", "7", "idempotency key '7'"), ("first", None, "identifier 'first'")],
)
def test_another_request_under_a_key_or_an_identifier_in_use_is_refused(
    environment: Environment, job_id: str, key: str | None, said: str
) -> None:
    good, bad = (
        a_classify_job(source=inline(text), idempotency_key=key) for text in ("good", "bad")
    )
    submit = environment.ledger.submissions.submit
    environment.submit(good, job_id="first")

    again = submit(good, Admitted(3, 2), job_id=job_id)
    with pytest.raises(IdempotencyConflict) as error:
        environment.submit(bad, job_id=job_id)

    assert again == Accepted("first", created=False)
    assert str(error.value) == (
        f"The {said} already stands for job first, which asks for something else. Send the same "
        "request again, or choose another one."
    )


def test_an_upload_waits_for_workers_that_are_behind_but_one_unit_passes_however_large(
    environment: Environment,
) -> None:
    small = environment.with_settings(max_pending_bytes=1)
    job_id = small.submit()

    outcomes = [small.append(job_id, 0)]
    environment.redis.zadd(environment.keys.uploads(), {job_id: 1})
    outcomes.append(small.append(job_id, 1))
    # Whoever waits for workers is not silent.
    small.ledger.control.fail_abandoned(900.0, small.ledger.fleet.now_ms())
    small.commit(small.claim_unit())
    outcomes.append(small.append(job_id, 1))

    assert outcomes == ["added", "full", "added"]


def test_a_seal_with_the_wrong_number_of_units_is_refused(environment: Environment) -> None:
    job_id = environment.submit(chunk=a_chunk())

    with pytest.raises(UploadLost) as refused:
        environment.ledger.submissions.seal(a_classify_job(), job_id, 2)

    assert str(refused.value) == (
        f"Redis has lost units of job {job_id} in front of unit 2, which it had acknowledged: it "
        "crashed before they were on its disk. Hand the job in again; what was done stays readable."
    )
    assert not environment.record(job_id).sealed


def test_a_training_set_is_one_unit_once_it_is_sealed_is_charged_and_goes_with_the_job(
    environment: Environment,
) -> None:
    job = a_train_job(source=UploadSource())
    job_id = environment.submit(job, version=None, unit_items=1)
    submissions = environment.ledger.submissions
    for number in range(2):
        submissions.append(job, job_id, number, a_text_chunk())
    early, charged = environment.claim(), account(environment)

    submissions.seal(job, job_id, 2)
    sealed, notified = account(environment), environment.notified
    unit = environment.claim_unit()
    counts, chunks = environment.record(job_id).counts, environment.ledger.jobs.input_units(job_id)
    environment.complete_training(unit)

    assert (early, notified, unit.name) == (None, [TRAIN], "train")
    assert (counts, chunks) == (Counts(total=1, processing=1), 2)
    assert (charged["jobs"], charged["items"], charged["bytes"] > 0) == (1, 0, True)
    assert sealed == charged | {"items": 1}
    assert account(environment) == {"jobs": 0, "items": 0, "bytes": 0}
    assert environment.ledger.jobs.input_units(job_id) == 0


def test_a_training_set_that_does_not_fit_is_too_large(environment: Environment) -> None:
    small = environment.with_settings(max_pending_bytes=70)
    job = a_train_job(source=UploadSource())
    job_id = small.submit(job, unit_items=1)
    append = small.ledger.submissions.append

    outcomes = [append(job, job_id, unit, a_text_chunk(2)) for unit in range(2)]

    assert outcomes == ["added", "too_large"]


def test_a_tenant_with_as_many_bytes_waiting_as_it_may_have_is_refused_more(
    environment: Environment,
) -> None:
    environment.publish_limits(max_tenant_bytes=64 * 1024)
    environment.redis.hset(environment.keys.tenant("default"), mapping={"bytes": 65_530, "jobs": 1})

    with pytest.raises(QuotaExceeded, match="has 65,530 bytes of input waiting; allowed: 65,536"):
        environment.submit_units(1)


def test_new_work_is_refused_before_redis_is_full_and_when_it_is_with_the_time_to_wait(
    environment: Environment,
) -> None:
    job_id = environment.submit(chunk=a_chunk())
    used = int(environment.redis.info("memory")["used_memory"])
    environment.publish_limits(max_memory_share=0.8)

    with environment.full_redis(int(used * 1.1)):
        with pytest.raises(RedisFull) as refused:
            environment.submit_units(1)
        waits = environment.append(job_id, 1)
    with environment.full_redis(), pytest.raises(RedisFull) as full:
        environment.submit_units(1)

    assert str(refused.value) == (
        "Redis has used up the share of its maxmemory that new jobs may take "
        "(SEQD_MAX_MEMORY_SHARE of the workers). Nothing was written. Raise maxmemory, wait until "
        "old jobs have outlived their results_ttl_s, or try again in 30 s."
    )
    assert refused.value.retry_after_s == full.value.retry_after_s == 30.0
    assert (waits, environment.append(job_id, 1)) == ("short", "added")

"""Jobs come into the ledger whole, once, and in numbered units."""

import pytest

from builders import a_chunk, a_classify_job, a_generate_job, a_text_chunk, a_train_job, inline
from ledger_fixtures import CLASSIFY, TRAIN, Environment
from seqd.errors import IdempotencyConflict, UploadLost
from seqd.ledger.blobs import unpack_items
from seqd.ledger.submissions import Accepted
from seqd_schemas import ClassifyJob, Counts, FileSource, JobState, Queued, UploadSource

pytestmark = [pytest.mark.processes, pytest.mark.smoke]


def submit_again(environment: Environment, job: ClassifyJob, job_id: str) -> Accepted:
    return environment.ledger.submissions.submit(job, job_id=job_id, version=3, unit_items=2)


def test_a_job_comes_in_with_its_first_unit_in_one_step(environment: Environment) -> None:
    job = a_classify_job(metadata={"shop": "north"}, tenant="acme", priority="bulk")

    job_id = environment.submit(job, chunk=a_chunk(2), unit_items=2)

    record = environment.record(job_id)
    assert record.state is JobState.QUEUED
    assert record.counts == Counts(total=2, processing=2)
    assert (record.units, record.units_done, record.sealed) == (1, 0, False)
    assert (record.kind, record.model, record.version) == ("classify", "imdb_lstm", 3)
    assert (record.tenant, record.priority) == ("acme", "bulk")
    assert record.job == job
    assert environment.notified == [CLASSIFY]


def test_a_job_that_comes_in_is_announced_once_with_its_counts(environment: Environment) -> None:
    job_id = environment.submit(chunk=a_chunk(2))
    environment.submit(job_id=job_id, chunk=a_chunk(2))

    events = environment.ledger.jobs.events(job_id, longest_wait_s=0)

    assert [type(event) for event in events] == [Queued]
    assert events[0].counts == Counts(total=2, processing=2)
    assert events[0].at_ms == environment.record(job_id).created_at_ms


def test_a_job_handed_in_twice_is_one_job(environment: Environment) -> None:
    job = a_classify_job(source=inline("good", "bad"))
    first = submit_again(environment, job, "mine")

    second = submit_again(environment, job, "mine")

    assert (first, second) == (Accepted("mine", created=True), Accepted("mine", created=False))
    assert environment.record("mine").counts.total == 2
    assert environment.notified == [CLASSIFY]


def test_an_idempotency_key_stands_for_its_job_whatever_identifier_comes_with_it(
    environment: Environment,
) -> None:
    job = a_classify_job(source=inline("good"), idempotency_key="order 7")
    submit_again(environment, job, "first")

    second = submit_again(environment, job, "second")

    assert second == Accepted("first", created=False)
    assert [record.job_id for record in environment.ledger.jobs.newest(10)] == ["first"]


def test_two_tenants_can_use_the_same_idempotency_key(environment: Environment) -> None:
    submit_again(environment, a_classify_job(source=inline("good"), idempotency_key="7"), "first")
    other = a_classify_job(source=inline("good"), idempotency_key="7", tenant="acme")

    second = submit_again(environment, other, "second")

    assert second == Accepted("second", created=True)


def test_an_idempotency_key_lives_as_long_as_its_job(environment: Environment) -> None:
    job = a_classify_job(source=inline("good"), idempotency_key="7", results_ttl_s=60)
    submit_again(environment, job, "first")
    key = environment.keys.idempotency("default", "7")
    while_open_s = environment.redis.ttl(key)

    environment.ledger.control.cancel("first")

    assert while_open_s == -1  # no time to live: the job may run for longer than 60 s
    assert environment.redis.ttl(key) == environment.redis.ttl(environment.keys.job("first")) == 60


def test_an_idempotency_key_is_free_again_when_its_job_is_gone(environment: Environment) -> None:
    submit_again(environment, a_classify_job(source=inline("good"), idempotency_key="7"), "first")
    environment.redis.delete(environment.keys.job("first"))

    again = submit_again(
        environment, a_classify_job(source=inline("bad"), idempotency_key="7"), "second"
    )

    assert again == Accepted("second", created=True)


def test_another_request_under_an_idempotency_key_is_refused(environment: Environment) -> None:
    submit_again(environment, a_classify_job(source=inline("good"), idempotency_key="7"), "first")

    with pytest.raises(IdempotencyConflict) as error:
        submit_again(
            environment, a_classify_job(source=inline("bad"), idempotency_key="7"), "second"
        )

    assert str(error.value) == (
        "The idempotency key '7' already stands for job first, which asks for something else. "
        "Send the same request again, or choose another one."
    )


def test_another_request_under_an_identifier_is_refused(environment: Environment) -> None:
    submit_again(environment, a_classify_job(source=inline("good")), "first")

    with pytest.raises(IdempotencyConflict) as error:
        submit_again(
            environment, a_classify_job(source=inline("bad"), idempotency_key="7"), "first"
        )

    assert str(error.value) == (
        "The identifier 'first' already stands for job first, which asks for something else. "
        "Send the same request again, or choose another one."
    )


def test_inline_items_become_the_only_unit_and_leave_the_request(environment: Environment) -> None:
    job_id = environment.submit(a_classify_job(source=inline("good", "bad")))

    record = environment.record(job_id)

    assert (record.units, record.sealed, record.counts.total) == (1, True, 2)
    assert record.job.source == UploadSource(expected_items=2)
    chunk = unpack_items(environment.claim_unit().blob)
    assert chunk.items == inline("good", "bad").items


def test_a_file_makes_an_ingest_that_a_worker_can_claim(environment: Environment) -> None:
    job_id = environment.submit(a_classify_job(source=FileSource(path="/data/reviews.jsonl")))

    unit = environment.claim_unit()

    assert (unit.job_id, unit.name, unit.blob) == (job_id, "ingest", b"")
    assert environment.record(job_id).counts == Counts()
    assert not environment.record(job_id).sealed
    assert (
        environment.redis.zcard(environment.keys.uploads()) == 0
    )  # nobody uploads, nobody is missed


def test_a_training_is_one_unit_of_its_own(environment: Environment) -> None:
    job_id = environment.submit(a_train_job(), version=None, unit_items=1)

    record = environment.record(job_id)

    assert (record.sealed, record.units, record.counts.total) == (True, 1, 1)
    assert environment.notified == [TRAIN]
    assert environment.claim_unit().name == "train"


def test_an_upload_is_missed_when_its_client_goes_away(environment: Environment) -> None:
    job_id = environment.submit(chunk=a_chunk())

    assert environment.redis.zrange(environment.keys.uploads(), 0, -1) == [job_id.encode()]
    assert environment.redis.zrange(environment.keys.open_jobs(), 0, -1) == [job_id.encode()]


def test_a_job_that_is_sealed_without_items_is_completed_at_once(environment: Environment) -> None:
    job_id = environment.submit(sealed=True)

    assert environment.record(job_id).state is JobState.COMPLETED
    assert environment.events(job_id) == ["queued", "completed"]


def test_no_wakeup_is_sent_where_one_waits(environment: Environment) -> None:
    environment.queue_wakeup(CLASSIFY)

    environment.submit(chunk=a_chunk())

    assert environment.notified == []


def test_units_are_added_in_order(environment: Environment) -> None:
    job_id = environment.submit(chunk=a_chunk())

    outcomes = [environment.append(job_id, 1), environment.append(job_id, 2)]

    assert outcomes == ["added", "added"]
    assert environment.record(job_id).units == 3
    assert environment.record(job_id).counts == Counts(total=6, processing=6)


def test_a_unit_sent_twice_is_added_once(environment: Environment) -> None:
    job_id = environment.submit(chunk=a_chunk())
    environment.append(job_id, 1)

    assert environment.append(job_id, 1) == "added"

    assert (environment.record(job_id).units, environment.record(job_id).counts.total) == (2, 4)


def test_a_unit_that_would_leave_a_gap_is_refused(environment: Environment) -> None:
    job_id = environment.submit(chunk=a_chunk())

    assert environment.append(job_id, 3) == "behind"

    assert environment.record(job_id).units == 1


def test_an_upload_that_is_ahead_of_the_workers_has_to_wait(environment: Environment) -> None:
    small = environment.with_settings(max_pending_bytes=100)
    job_id = small.submit(chunk=a_chunk())

    while_waiting = small.append(job_id, 1)
    small.commit(small.claim_unit())
    afterwards = small.append(job_id, 1)

    assert (while_waiting, afterwards) == ("full", "added")
    assert environment.record(job_id).units == 2


def test_one_unit_passes_however_large_it_is(environment: Environment) -> None:
    small = environment.with_settings(max_pending_bytes=1)
    job_id = small.submit()

    assert small.append(job_id, 0) == "added"


def test_a_training_set_that_does_not_fit_is_too_large(environment: Environment) -> None:
    small = environment.with_settings(max_pending_bytes=70)
    job = a_train_job(source=UploadSource())
    job_id = small.submit(job, unit_items=1)
    submissions = small.ledger.submissions

    outcomes = [submissions.append(job, job_id, unit, a_text_chunk(2)) for unit in range(2)]

    assert outcomes == ["added", "too_large"]


def test_a_job_that_has_ended_takes_no_more_units(environment: Environment) -> None:
    cancelled = environment.submit(chunk=a_chunk())
    environment.ledger.control.cancel(cancelled)
    sealed = environment.submit(chunk=a_chunk(), sealed=True)

    assert environment.append(cancelled, 1) == "ended"
    assert environment.append(sealed, 1) == "ended"
    assert environment.append("never-was", 0) == "ended"
    assert environment.redis.keys(f"{environment.keys.job('never-was')}*") == []


def test_a_job_is_completed_by_its_seal_when_all_is_done(environment: Environment) -> None:
    job = a_classify_job()
    job_id = environment.submit(job, chunk=a_chunk())
    environment.commit(environment.claim_unit())

    sealed = environment.ledger.submissions.seal(job, job_id, 1)

    assert sealed
    assert environment.record(job_id).state is JobState.COMPLETED
    assert environment.events(job_id)[-1] == "completed"


def test_a_seal_sent_twice_changes_nothing(environment: Environment) -> None:
    job = a_classify_job()
    job_id = environment.submit(job, chunk=a_chunk())
    environment.ledger.submissions.seal(job, job_id, 1)
    before = environment.record(job_id)

    assert environment.ledger.submissions.seal(job, job_id, 1)

    assert environment.record(job_id) == before
    assert environment.redis.zcard(environment.keys.uploads()) == 0


def test_a_seal_with_the_wrong_number_of_units_is_refused(environment: Environment) -> None:
    job = a_classify_job()
    job_id = environment.submit(job, chunk=a_chunk())

    with pytest.raises(UploadLost) as refused:
        environment.ledger.submissions.seal(job, job_id, 2)

    assert str(refused.value) == (
        f"Redis has lost units of job {job_id} in front of unit 2, which it had acknowledged: it "
        "crashed before they were on its disk. Hand the job in again; what was done stays readable."
    )

    assert not environment.record(job_id).sealed


def test_a_seal_comes_too_late_for_a_job_that_has_ended(environment: Environment) -> None:
    job = a_classify_job()
    job_id = environment.submit(job, chunk=a_chunk())
    environment.ledger.control.cancel(job_id)

    assert not environment.ledger.submissions.seal(job, job_id, 1)


def test_only_the_ingest_that_holds_the_lease_appends_and_seals(environment: Environment) -> None:
    job = a_generate_job(source=FileSource(path="/data/prompts.txt"))
    job_id = environment.submit(job)
    zombie = environment.claim_unit()
    environment.ledger.work.release_worker("worker-a", crashed=True)
    current = environment.claim_unit("worker-b")
    append, seal = environment.ledger.submissions.append, environment.ledger.submissions.seal

    added = [
        append(job, job_id, 0, a_chunk(), ingest_attempt=zombie.attempt),
        append(job, job_id, 0, a_chunk(), ingest_attempt=current.attempt),
    ]
    outcomes = [
        seal(job, job_id, 1, ingest_attempt=zombie.attempt),
        seal(job, job_id, 1, ingest_attempt=current.attempt),
    ]

    assert added == ["ended", "added"]
    assert outcomes == [False, True]
    assert environment.record(job_id).sealed
    assert environment.ledger.work.renew([current]) == [False]


def test_a_training_set_becomes_one_unit_when_it_is_sealed(environment: Environment) -> None:
    job = a_train_job(source=UploadSource())
    job_id = environment.submit(job, unit_items=1)
    submissions = environment.ledger.submissions
    submissions.append(job, job_id, 0, a_text_chunk())
    submissions.append(job, job_id, 1, a_text_chunk())
    early = environment.claim()

    submissions.seal(job, job_id, 2)

    assert early is None
    assert environment.record(job_id).counts == Counts(total=1, processing=1)
    assert environment.notified == [TRAIN]
    assert environment.claim_unit().name == "train"
    assert environment.ledger.jobs.input_units(job_id) == 2

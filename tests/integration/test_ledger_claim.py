"""Workers get the work whose turn it is, each unit one worker at a time."""

import zlib

import pytest

from builders import a_chunk, a_classify_job, a_generate_job, a_train_job, inline
from ledger_fixtures import CLASSIFY, GENERATE, ROUTES, TRAIN, Environment, queues_of
from seqd.ledger.blobs import json_of, unpack_items
from seqd_schemas import FileSource, Item, ItemChunk, JobState, Priority, UploadSource, queue_of

pytestmark = pytest.mark.processes


def submit_one_item_jobs(environment: Environment, count: int, **changes: object) -> list[str]:
    """Hand in like jobs of one item each."""
    job = a_classify_job(**{"source": inline("good")} | changes)
    return [environment.submit(job, unit_items=4) for _ in range(count)]


def test_the_lowest_unit_goes_first(environment: Environment) -> None:
    environment.submit_units(12)

    names = [environment.claim_unit().name for _ in range(12)]

    assert names == [str(number) for number in range(12)]


def test_a_unit_is_with_one_worker_at_a_time(environment: Environment) -> None:
    environment.submit_units(1)

    assert environment.claim_unit("worker-a").name == "0"
    assert environment.claim("worker-b") is None


def test_a_claim_hands_over_the_request_the_version_and_the_input(environment: Environment) -> None:
    job = a_classify_job(parameters={"threshold": 0.5})
    job_id = environment.submit(job, version=4, chunk=a_chunk(2), sealed=True)

    claim = environment.claim()

    assert claim is not None
    assert (claim.job, claim.version) == (job, 4)
    assert claim.units[0].job_id == job_id
    assert unpack_items(claim.units[0].blob) == a_chunk(2)


def test_each_start_of_a_unit_has_a_higher_number(environment: Environment) -> None:
    environment.submit_units(1)
    attempts = []

    for _ in range(3):
        unit = environment.claim_unit()
        attempts.append(unit.attempt)
        environment.ledger.work.release_unit(unit)

    assert attempts == [1, 2, 3]


def test_a_worker_gets_nothing_that_it_cannot_run(environment: Environment) -> None:
    job_id = environment.submit_units(1, a_generate_job())

    assert environment.claim(routes=(CLASSIFY, TRAIN)) is None
    assert environment.claim_unit(routes=(GENERATE,)).job_id == job_id


def test_a_worker_gets_nothing_that_runs_on_a_version_it_cannot_load(
    environment: Environment,
) -> None:
    new = environment.submit(chunk=a_chunk(), sealed=True, version=4)
    old = environment.submit(chunk=a_chunk(), sealed=True, version=3)

    work = environment.ledger.work
    claims = [work.claim("worker-a", [CLASSIFY, queue_of(CLASSIFY, 3)]) for _ in range(2)]

    assert [claim.units[0].job_id for claim in claims if claim] == [old]
    assert environment.claim_unit("worker-b").job_id == new


def test_a_workers_route_is_notified_once_for_all_of_its_queues(environment: Environment) -> None:
    for version in (2, 3, 4):
        environment.submit(chunk=a_chunk(), sealed=True, version=version)
    environment.notified.clear()

    environment.ledger.work.notify_where_due([queue_of(CLASSIFY, number) for number in (2, 3)])
    environment.ledger.work.notify_where_due([queue_of(CLASSIFY, 5)])

    assert environment.notified == [CLASSIFY]


def test_interactive_work_goes_before_normal_and_normal_before_bulk(
    environment: Environment,
) -> None:
    jobs = {
        priority: environment.submit_units(1, a_classify_job(priority=priority))
        for priority in (Priority.BULK, Priority.NORMAL, Priority.INTERACTIVE)
    }

    claimed = [environment.claim_unit().job_id for _ in range(3)]

    assert claimed == [jobs[Priority.INTERACTIVE], jobs[Priority.NORMAL], jobs[Priority.BULK]]


def test_two_like_jobs_alternate(environment: Environment) -> None:
    first, second = environment.submit_units(3), environment.submit_units(3)

    claimed = [environment.claim_unit().job_id for _ in range(6)]

    assert claimed == [first, second] * 3


def test_unlike_jobs_of_a_tenant_take_turns(environment: Environment) -> None:
    like = [environment.submit_units(2) for _ in range(2)]
    unlike = environment.submit_units(2, a_classify_job(parameters={"threshold": 0.5}))

    claimed = [environment.claim_unit().job_id for _ in range(6)]

    assert sorted(claimed[:3]) == sorted(claimed[3:]) == sorted([*like, unlike])


def test_a_tenant_with_many_jobs_gets_no_larger_share_than_one_with_a_single_job(
    environment: Environment,
) -> None:
    many = [environment.submit_units(4, a_classify_job(tenant="many")) for _ in range(5)]
    single = environment.submit_units(4, a_classify_job(tenant="single"))

    claimed = [environment.claim_unit().job_id for _ in range(8)]

    assert claimed.count(single) == 4
    assert len(set(claimed) & set(many)) == 4  # its own jobs take turns among themselves


def test_a_tenant_that_was_away_has_saved_up_no_share(environment: Environment) -> None:
    environment.submit_units(20, a_classify_job(tenant="busy"))
    for _ in range(10):
        environment.claim_unit()
    late = environment.submit_units(10, a_classify_job(tenant="late"))

    claimed = [environment.claim_unit().job_id for _ in range(8)]

    assert 3 <= claimed.count(late) <= 5


def test_models_alternate(environment: Environment) -> None:
    reviews = environment.submit_units(2, a_classify_job())
    prompts = environment.submit_units(2, a_generate_job())

    claimed = [environment.claim_unit().job_id for _ in range(4)]

    assert claimed == [reviews, prompts, reviews, prompts]


def test_a_job_that_comes_late_is_not_kept_waiting_by_a_long_one(environment: Environment) -> None:
    environment.submit_units(10)
    environment.claim_unit()
    late = environment.submit_units(1)

    claimed = [environment.claim_unit().job_id for _ in range(2)]

    assert late in claimed


def test_like_jobs_of_one_item_come_together_until_a_unit_is_full(environment: Environment) -> None:
    jobs = submit_one_item_jobs(environment, 6)

    first, second = environment.claim_names(), environment.claim_names()

    assert first == [(job_id, "0") for job_id in jobs[:4]]
    assert second == [(job_id, "0") for job_id in jobs[4:]]


def test_a_unit_that_does_not_fit_any_more_waits_for_the_next_claim(
    environment: Environment,
) -> None:
    small = environment.submit(chunk=a_chunk(1), sealed=True, unit_items=4)
    large = environment.submit(chunk=a_chunk(4), sealed=True, unit_items=4)

    assert environment.claim_names() == [(small, "0")]
    assert environment.claim_names() == [(large, "0")]


@pytest.mark.parametrize(
    "other",
    [
        {"parameters": {"threshold": 0.5}},
        {"priority": Priority.BULK},
        {"model": "imdb_gru"},
        {"schema_version": 2, "min_score": 0.0},
        {"schema_version": 2, "label_map": {"neg": "negative"}},
    ],
)
def test_unlike_jobs_do_not_come_together(
    environment: Environment, other: dict[str, object]
) -> None:
    submit_one_item_jobs(environment, 1)
    submit_one_item_jobs(environment, 1, **other)

    claim = environment.claim(routes=(*ROUTES, "classify.imdb_gru"))

    assert claim is not None
    assert len(claim.units) == 1


def test_jobs_on_different_versions_do_not_come_together(environment: Environment) -> None:
    job = a_classify_job(source=inline("good"))
    environment.submit(job, version=1, unit_items=4)
    environment.submit(job, version=2, unit_items=4)

    claims = [environment.claim(), environment.claim()]

    assert [(claim.version, len(claim.units)) for claim in claims if claim] == [(1, 1), (2, 1)]


def test_jobs_that_name_different_labels_do_not_come_together(environment: Environment) -> None:
    for label in ("production", "candidate"):
        job = a_classify_job(source=inline("good"), model=f"imdb_lstm@{label}")
        environment.submit(job, version=None, unit_items=4)

    claims = [environment.claim(), environment.claim()]

    models = [(claim.job.model, len(claim.units)) for claim in claims if claim]
    assert models == [("imdb_lstm@production", 1), ("imdb_lstm@candidate", 1)]


def test_a_unit_that_was_there_when_a_worker_died_is_tried_alone(environment: Environment) -> None:
    jobs = submit_one_item_jobs(environment, 3)
    environment.claim()
    environment.ledger.work.release_worker("worker-a", crashed=True)
    fresh = submit_one_item_jobs(environment, 1)

    claims = [environment.claim_names("worker-b") for _ in range(4)]

    assert sorted(claims) == sorted([(job_id, "0")] for job_id in jobs + fresh)


def a_chunk_of_one(text: str) -> ItemChunk:
    return a_chunk().model_copy(update={"items": (Item(custom_id="long", text=text),)})


#: As text that is pasted a thousand times, and as noise, which hardly compresses.
LONG_TEXTS = {
    "repeated": "a great film " * 70_000,
    "noise": "".join(f"{number * 2654435761 % 2**32:08x}" for number in range(115_000)),
}


@pytest.mark.parametrize("text", LONG_TEXTS.values(), ids=LONG_TEXTS)
def test_the_input_of_a_claim_inflates_to_no_more_than_a_worker_takes(
    environment: Environment, text: str
) -> None:
    chunk = a_chunk_of_one(text)
    for _ in range(20):
        environment.submit(chunk=chunk, sealed=True, unit_items=100)

    claim = environment.claim()

    assert claim is not None
    most, each = environment.settings.max_claim_bytes, len(json_of(chunk))
    assert len(claim.units) == most // each == 18


def test_an_operator_may_let_a_worker_take_less_at_once(environment: Environment) -> None:
    for _ in range(3):
        chunk = a_chunk_of_one(LONG_TEXTS["repeated"][: 512 * 1024])
        environment.submit(chunk=chunk, sealed=True, unit_items=100)

    small = environment.with_settings(max_claim_bytes=1024 * 1024 + 200)

    assert [len(small.claim_names()) for _ in range(2)] == [2, 1]


def test_a_unit_that_is_larger_than_a_claim_may_be_comes_alone(environment: Environment) -> None:
    small_worker = environment.with_settings(max_claim_bytes=1024 * 1024)
    items = tuple(Item(custom_id=str(n), text="x" * 1024 * 1024) for n in range(2))
    large, small = a_chunk().model_copy(update={"items": items}), a_chunk(1)
    jobs = [
        environment.submit(chunk=chunk, sealed=True, unit_items=100)
        for chunk in (large, small, large)
    ]

    claims = [small_worker.claim_names() for _ in range(3)]

    assert claims == [[(job_id, "0")] for job_id in jobs]


def test_a_unit_that_does_not_state_what_it_inflates_to_comes_alone(
    environment: Environment,
) -> None:
    jobs = submit_one_item_jobs(environment, 3)
    foreign = zlib.compress(json_of(a_chunk_of_one("short")))
    environment.redis.hset(environment.keys.input(jobs[1]), "0", foreign)

    claims = [environment.claim_names() for _ in range(2)]

    assert claims == [[(jobs[0], "0"), (jobs[2], "0")], [(jobs[1], "0")]]


def test_a_unit_that_states_less_than_it_has_counts_by_its_own_bytes(
    environment: Environment,
) -> None:
    small_worker = environment.with_settings(max_claim_bytes=1024 * 1024)
    jobs = submit_one_item_jobs(environment, 3)
    for job_id in jobs:
        environment.redis.hset(environment.keys.input(job_id), "0", b"\x48" + bytes(400 * 1024))

    assert [len(small_worker.claim_names()) for _ in range(2)] == [2, 1]


def test_many_small_jobs_come_in_claims_of_200(environment: Environment) -> None:
    job = a_classify_job(source=inline("good"))
    for _ in range(257):
        environment.submit(job, unit_items=65_536)

    assert [len(environment.claim_names()) for _ in range(3)] == [200, 57, 0]


def test_an_ingest_is_never_taken_together_with_items(environment: Environment) -> None:
    before = submit_one_item_jobs(environment, 1)
    reads = environment.submit(a_classify_job(source=FileSource(path="/data/x.txt")), unit_items=4)
    behind = submit_one_item_jobs(environment, 1)

    claims = [environment.claim_names() for _ in range(2)]

    assert claims == [[(job_id, "0") for job_id in before + behind], [(reads, "ingest")]]


def test_trainings_are_taken_one_at_a_time(environment: Environment) -> None:
    jobs = [environment.submit(a_train_job(), version=None, unit_items=1) for _ in range(2)]

    assert [environment.claim_unit().job_id for _ in range(2)] == jobs


def test_an_ingest_waits_while_enough_units_are_claimable(environment: Environment) -> None:
    job = a_classify_job(source=FileSource(path="/data/reviews.jsonl"))
    job_id = environment.submit(job)
    ingest = environment.claim_unit()
    for unit in range(12):
        environment.append(job_id, unit, job=job)
    environment.ledger.work.release_unit(ingest)

    claimed = [environment.claim_unit().name for _ in range(7)]

    # Twelve units, of which eight are still there when it is time to read on.
    assert claimed == ["0", "1", "2", "3", "4", "ingest", "5"]


def test_a_job_is_started_once_by_the_worker_that_is_first(environment: Environment) -> None:
    job_id = environment.submit_units(2)

    first, second = environment.claim_unit("worker-a"), environment.claim_unit("worker-b")

    assert (first.started_job, second.started_job) == (True, False)
    assert environment.record(job_id).state is JobState.RUNNING
    started = [
        event for event in environment.ledger.jobs.events(job_id) if event.event == "started"
    ]
    assert [event.worker for event in started] == ["worker-a"]
    assert started[0].at_ms == environment.record(job_id).started_at_ms


def test_a_worker_is_called_when_work_is_left_and_no_wakeup_waits(environment: Environment) -> None:
    environment.submit_units(2)
    environment.notified.clear()

    environment.claim()

    assert environment.notified == [CLASSIFY]


def test_nobody_is_called_when_no_work_is_left(environment: Environment) -> None:
    environment.submit_units(1)
    environment.notified.clear()

    environment.claim()
    environment.claim()

    assert environment.notified == []


def test_nobody_is_called_when_a_wakeup_hangs(environment: Environment) -> None:
    environment.submit_units(2)
    environment.notified.clear()
    environment.queue_wakeup(CLASSIFY)

    environment.claim()

    assert environment.notified == []


def test_forgotten_work_is_notified_for(environment: Environment) -> None:
    environment.submit_units(1)
    environment.submit(a_generate_job(source=UploadSource()))
    environment.notified.clear()

    environment.ledger.work.notify_where_due(queues_of(ROUTES))

    assert environment.notified == [CLASSIFY]


def test_no_wakeup_is_sent_for_a_job_that_was_cancelled(environment: Environment) -> None:
    job_id = environment.submit_units(2)
    environment.ledger.control.cancel(job_id)
    environment.notified.clear()

    environment.ledger.work.notify_where_due(queues_of(ROUTES))

    assert environment.notified == []

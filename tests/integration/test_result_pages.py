"""Results by page and by name: what is read, what is waited for, and what is refused."""

import pytest

from builders import a_chunk, a_classify_job, a_train_job, some_results
from ledger_fixtures import Environment
from seqd.client import Job, JobFailed, JobHandle
from seqd.errors import InvalidRequest, UnknownItem
from seqd.ledger.blobs import unpack_items
from seqd_schemas import Failure
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes

LIMIT_S = 120.0


def names(*numbers: int) -> list[str]:
    return [f"item-{number}" for number in numbers]


def read(job: Job, **options: object) -> list[str]:
    """Return the names of the results of a page."""
    return [result.custom_id for result in job.results(**options)]  # type: ignore[arg-type]


def completed_job(environment: Environment, sizes: list[int], unit_items: int) -> JobHandle:
    """Run a job whose units have so many items each."""
    job, first = a_classify_job(), sizes[0]
    job_id = environment.submit(job, chunk=a_chunk(first), unit_items=unit_items)
    for unit, size in enumerate(sizes[1:], start=1):
        chunk = a_chunk(size, first=first)
        environment.ledger.submissions.append(job, job_id, unit, chunk)
        first += size
    environment.ledger.submissions.seal(job, job_id, len(sizes))
    for _ in sizes:
        unit = environment.claim_unit()
        chunk = unpack_items(unit.blob)
        results = some_results(len(chunk.items), first=chunk.first_index)
        environment.ledger.work.commit(unit, results, chunk)
    return environment.handle(job_id)


def begun_job(environment: Environment, *done: int, errored: int = -1) -> JobHandle:
    """Begin a job of three units of two items, of which some are done, one with an error."""
    job_id = environment.submit_units(3)
    units = [environment.claim_unit() for _ in range(3)]
    for number in done:
        environment.commit(units[number], errored=int(number == errored))
    return environment.handle(job_id)


def test_a_page_does_not_read_what_is_in_front_of_it(environment: Environment) -> None:
    job = completed_job(environment, [4, 4, 4, 2], 4)
    environment.redis.hset(environment.keys.output(job.job_id), "0", b"no results")

    page = read(job, offset=9, limit=3)

    assert page == names(9, 10, 11)


def test_a_page_of_a_failed_job_raises_nothing_and_the_rest_without_a_limit_does(
    environment: Environment,
) -> None:
    job = environment.handle(environment.submit_units(2))
    failure = Failure(code="internal", message="made to fail")
    environment.ledger.control.fail(job.job_id, failure)

    assert read(job, offset=1, limit=10) == names(1, 2, 3)
    with pytest.raises(JobFailed, match="made to fail"):
        read(job, offset=1)
    with pytest.raises(JobFailed, match="made to fail"):
        list(job.errors())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"offset": -1}, "offset is -1; allowed: a whole number from 0 on."),
        ({"limit": 1.5}, "limit is 1.5; allowed: a whole number from 0 on, or None for no limit."),
        (
            {"page": 1},
            "There is no option 'page'. Known options: limit, no_worker_timeout_s, offset, "
            "on_waiting, wait.",
        ),
    ],
)
def test_a_page_that_there_cannot_be_is_refused_at_once(
    environment: Environment, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        environment.handle("none").results(**options)  # type: ignore[arg-type]

    assert str(raised.value) == message


def test_a_result_is_found_by_its_name(environment: Environment) -> None:
    job = completed_job(environment, [4, 4, 1], 4)
    early = environment.handle(environment.submit_units(1))

    assert job.result("item-6").custom_id == "item-6"
    with pytest.raises(UnknownItem) as unknown:
        job.result("item-9")
    with pytest.raises(UnknownItem) as not_yet:
        early.result("item-0", wait=False)

    assert unknown.value.code == "unknown_item"
    assert str(unknown.value) == (
        f"Job {job.job_id} has no item 'item-9' among its 9. An item that was given no custom_id "
        "is named by its position: row-1, row-2 …"
    )
    assert str(not_yet.value) == (
        f"Job {early.job_id} has no result of an item 'item-0' yet: it is queued, with 0 of 2 "
        "items done."
    )


def test_errors_are_read_up_to_the_last_one(environment: Environment) -> None:
    job = begun_job(environment, 0, 1, 2, errored=1)
    environment.redis.hset(environment.keys.output(job.job_id), "2", b"no results")

    assert [failure.custom_id for failure in job.errors()] == names(3)


def test_a_training_has_no_results_by_page_nor_errors(environment: Environment) -> None:
    job = environment.handle(environment.submit(a_train_job(), version=None))

    for reading in (
        lambda: list(job.results(limit=1)),
        lambda: list(job.errors()),
        lambda: job.result("row-1"),
    ):
        with pytest.raises(InvalidRequest, match="is a training: it has no items"):
            reading()


def test_an_unnamed_item_is_looked_up_at_its_place_while_the_job_runs(cluster: Cluster) -> None:
    texts = [f"text {number}" for number in range(40)]

    job = cluster.client().classify(texts, model="echo")

    assert job.result("row-33").unwrap().label == "text 32"
    with pytest.raises(UnknownItem):
        job.result("row-41")

"""A retry with corrected texts: what is sent again, in which place, and what is refused."""

import asyncio

import pytest

from async_builders import an_async_client
from seqd.client import Client, Job
from seqd.errors import InvalidInput, InvalidRequest, SeqdError, UnknownItem
from seqd_schemas import Classification, Generation, ItemSuccess
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes

#: Longest that anything here may take.
LIMIT_S = 120.0

#: Units of eight: items that fail, and entries that never were readable, among others that do not.
TEXTS: list[object] = [
    *("a", "bad", "c", None, "e", "f", "g", "h"),
    *("i", None, "bad", "l", "m", "n", "o", "bad"),
    *("q", ""),
]
FAILED = ["row-2", "row-4", "row-10", "row-11", "row-16", "row-18"]


@pytest.fixture
def client(cluster: Cluster) -> Client:
    return cluster.client()


@pytest.fixture
def first(client: Client) -> Job[Classification]:
    """A job that has ended with failures."""
    job = client.classify(TEXTS, model="echo")  # type: ignore[arg-type]
    job.wait(timeout_s=LIMIT_S)
    assert [failure.custom_id for failure in job.errors()] == FAILED
    return job


def shown(job: Job[Classification]) -> list[str]:
    """Return the labels of the merged results, or what they have instead."""
    return [
        one.output.label if isinstance(one, ItemSuccess) else one.error.code.value
        for one in job.merged_results()
    ]


def test_corrected_texts_stand_in_their_places_also_of_what_never_was_readable(
    client: Client, first: Job[Classification]
) -> None:
    again = client.retry(first, items=dict(zip(FAILED[::-1], "rpkjdb", strict=True)))

    assert again.wait(timeout_s=LIMIT_S).counts.succeeded == 6
    assert shown(first) == list("abcdefghijklmnopqr")
    assert [result.custom_id for result in again.results()] == FAILED


def test_a_retry_writes_the_texts_that_an_undisturbed_job_would_have(
    cluster: Cluster, client: Client
) -> None:
    operator = cluster.operator()
    asked: dict[str, object] = {"length": 24, "seed": 7}
    undisturbed = client.generate(["same"] * 70, model="echo", parameters=asked)
    prompts: list[object] = ["same", "bad", "same", None, *["same"] * 66]
    first = client.generate(prompts, model="echo", parameters=asked)  # type: ignore[arg-type]
    first.wait(timeout_s=LIMIT_S)
    operator.pause_model("echo")
    try:
        cancelled = client.generate(["same"] * 70, model="echo", parameters=asked)
        cancelled.close()
        cancelled.cancel()
        between = client.retry(cancelled)
        between.close()
        between.cancel()
    finally:
        operator.resume_model("echo")

    client.retry(first, items={"row-2": "same", "row-4": "same"}).wait(timeout_s=LIMIT_S)
    client.retry(between, items={"row-70": "same"}).wait(timeout_s=LIMIT_S)

    written = texts_of(undisturbed)
    assert len(set(written)) == 70
    assert texts_of(first) == written
    assert texts_of(cancelled) == written


def texts_of(job: Job[Generation]) -> list[str]:
    return [one.output.samples[0].text for one in job.merged_results() if one.ok]


def test_texts_that_can_correct_nothing_are_refused_before_anything_is_sent(
    client: Client, first: Job[Classification]
) -> None:
    refused: list[tuple[object, type[SeqdError], str]] = [
        (
            {"row-2": "b", "row-99": "x"},
            UnknownItem,
            f"Job {first.job_id} has no item 'row-99', whose text is to be corrected. `errors()` "
            "gives those that failed. Nothing was sent.",
        ),
        (
            {"row-1": "x"},
            InvalidRequest,
            f"Item 'row-1' of job {first.job_id} has an output; allowed: items with an error, "
            "which `errors()` gives. Leave it out, or hand it in as a new job. Nothing was sent.",
        ),
        (
            {"row-2": ""},
            InvalidInput,
            "the new text of item 'row-2': text is empty. Nothing was sent.",
        ),
        (
            ["b"],
            InvalidRequest,
            "The corrected items are one list; allowed: a mapping of custom_id to text.",
        ),
    ]

    for items, kind, message in refused:
        with pytest.raises(kind) as raised:
            client.retry(first, items=items)  # type: ignore[arg-type]
        assert str(raised.value) == message

    assert first.record().continued_by is None


def test_a_task_retries_with_corrected_texts(cluster: Cluster) -> None:
    async def use() -> None:
        async with asyncio.timeout(LIMIT_S), an_async_client(cluster) as client:
            job = await client.classify(["a", "bad"], model="echo")
            await job.wait()
            again = await client.retry(job, items={"row-2": "b"})
            await again.wait()
            merged = [result async for result in job.merged_results()]
            assert [result.unwrap().label for result in merged] == ["a", "b"]

    asyncio.run(use())

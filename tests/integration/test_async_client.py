"""The client of asyncio, on a real server with a real worker."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from seqd.client import AsyncClient, AsyncJobHandle
from seqd_schemas import ItemSuccess, JobState
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes

#: Longest that anything here may take.
LIMIT_S = 30.0


def a_client(cluster: Cluster, **settings: object) -> AsyncClient:
    return AsyncClient(settings=cluster.settings.model_copy(update=settings))


async def labels_of(job: AsyncJobHandle) -> list[str]:
    return [one.output.label async for one in job.results() if isinstance(one, ItemSuccess)]


def test_results_come_in_input_order_and_the_job_is_completed(cluster: Cluster) -> None:
    texts = [f"text {number}" for number in range(50)]

    async def use() -> tuple[list[str], JobState]:
        async with asyncio.timeout(LIMIT_S), a_client(cluster) as client:
            job = await client.classify(texts, model="echo")
            return await labels_of(job), (await job.wait()).state

    assert asyncio.run(use()) == (texts, JobState.COMPLETED)


def test_items_of_an_asynchronous_iterable_are_read_lazily(cluster: Cluster) -> None:
    async def texts() -> AsyncIterator[str]:
        for number in range(5_000):
            yield f"text {number}"

    async def use() -> list[str]:
        async with asyncio.timeout(LIMIT_S), a_client(cluster) as client:
            return await labels_of(await client.classify(texts(), model="echo"))

    assert asyncio.run(use()) == [f"text {number}" for number in range(5_000)]


def test_a_thousand_tasks_wait_for_jobs_of_their_own(cluster: Cluster) -> None:
    async def use() -> list[str]:
        async with asyncio.timeout(LIMIT_S), a_client(cluster) as client:

            async def label_of(text: str) -> str:
                job = await client.classify([text], model="echo")
                await job.wait()
                (label,) = await labels_of(job)
                return label

            return await asyncio.gather(*(label_of(f"text {number}") for number in range(1_000)))

    assert asyncio.run(use()) == [f"text {number}" for number in range(1_000)]


def test_a_handle_of_another_client_follows_the_job_to_its_end(cluster: Cluster) -> None:
    async def use() -> list[str]:
        async with (
            asyncio.timeout(LIMIT_S),
            a_client(cluster) as sender,
            a_client(cluster) as other,
        ):
            job = await sender.classify(["a", "b"], model="echo")
            return [event.event async for event in other.job(job.job_id).events()]

    events = asyncio.run(use())
    assert (events[0], events[-1]) == ("queued", "completed")

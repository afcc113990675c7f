"""The client of asyncio, on a real server with a real worker."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from seqd.client import AsyncClient, AsyncJobHandle
from seqd.ledger.exchange import LOOK_S, command
from seqd_schemas import ItemSuccess, JobState
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes

#: Longest that anything here may take: a thousand jobs take 4 s on an idle core.
LIMIT_S = 100.0


def a_client(cluster: Cluster, **settings: object) -> AsyncClient:
    return AsyncClient(settings=cluster.settings.model_copy(update=settings))


async def commands_of(client: AsyncClient) -> int:
    """How many commands the server has run so far, for clients and workers alike."""
    return int((await client._redis.info("stats"))["total_commands_processed"])


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


@pytest.mark.slow
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


def test_whoever_waits_for_a_job_that_has_ended_hears_it_at_once_each_time(
    cluster: Cluster,
) -> None:
    async def use() -> tuple[list[JobState], float]:
        async with asyncio.timeout(LIMIT_S), a_client(cluster) as client:
            job = await client.classify(["a"], model="echo", parameters={"delay_ms": 50.0})
            await job.wait()
            began = asyncio.get_running_loop().time()
            records = [await job.wait() for _ in range(3)]
            records += await asyncio.gather(*(job.wait() for _ in range(3)))
            took_s = asyncio.get_running_loop().time() - began
            return [record.state for record in records], took_s

    states, took_s = asyncio.run(use())
    assert states == [JobState.COMPLETED] * 6
    assert took_s < LOOK_S  # after which whoever hears nothing looks at its job


def test_a_job_that_runs_though_its_end_was_announced_is_waited_for_without_haste(
    cluster: Cluster,
) -> None:
    async def use() -> tuple[JobState, list[str], int, float]:
        async with asyncio.timeout(LIMIT_S), a_client(cluster) as client:
            job = await client.classify(["a"], model="echo", parameters={"delay_ms": 1_000.0})
            began = asyncio.get_running_loop().time()
            assert job.steps._announced is not None
            job.steps._announced.has_ended = True  # by a primary that is lost with the end it knew
            before = await commands_of(client)
            record, labels = await asyncio.gather(job.wait(), labels_of(job))
            took_s = asyncio.get_running_loop().time() - began
            return record.state, labels, await commands_of(client) - before, took_s

    state, labels, commands, took_s = asyncio.run(use())
    assert (state, labels) == (JobState.COMPLETED, ["a"])
    # Measured 300, of which the worker sends 140 a second, whatever it does.
    assert commands < 300 + 200 * took_s


def test_a_command_is_read_by_its_options(cluster: Cluster) -> None:
    key = cluster.settings.keys.job("scores")

    async def use() -> object:
        async with asyncio.timeout(LIMIT_S), a_client(cluster) as client:
            transport = client._transport
            await transport.run(command("ZADD", key, 2, "a"))
            try:
                asked = command("ZRANGE", key, 0, -1, "WITHSCORES", withscores=True)
                return await transport.run(asked)
            finally:
                await transport.run(command("DEL", key))

    assert asyncio.run(use()) == [(b"a", 2.0)]

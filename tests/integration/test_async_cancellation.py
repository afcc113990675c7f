"""Tasks that are cancelled at any await: no reply is left for the next command, nothing leaks."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from redis.asyncio.connection import AbstractConnection

from async_builders import LOOPS, an_async_client, run
from seqd.client import AsyncClient, AsyncJobHandle
from seqd.errors import ClientMisused, JobCancelled
from seqd.ledger.async_redis import MAX_CONNECTIONS
from seqd_schemas import JobState
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes

#: Moments at which a call is cancelled, in seconds after its begin: most take a few milliseconds.
LATEST_S = 0.006
CANCELS = 250

Call = Callable[[AsyncClient, AsyncJobHandle], Awaitable[object]]


async def texts(count: int) -> AsyncIterator[str]:
    for number in range(count):
        if number % 50 == 0:
            await asyncio.sleep(0)
        yield f"text {number}"


async def results(client: AsyncClient, job: AsyncJobHandle) -> object:
    return [result async for result in job.results()]


async def events(client: AsyncClient, job: AsyncJobHandle) -> object:
    return [event async for event in job.events()]


async def stream(client: AsyncClient, job: AsyncJobHandle) -> object:
    written = await client.generate(["a", "b"], model="echo", stream=True)
    return [delta async for delta in written.stream()]


async def upload(client: AsyncClient, job: AsyncJobHandle) -> object:
    return await (await client.classify(texts(300), model="echo")).wait()


async def many(client: AsyncClient, job: AsyncJobHandle) -> object:
    jobs = await client.classify_each(["a", "b", "c"], model="echo")
    return [ended async for ended in client.as_completed(jobs)]


CALLS: dict[str, Call] = {
    "record": lambda client, job: job.record(),
    "jobs": lambda client, job: client.jobs(5),
    "workers": lambda client, job: client.workers(),
    "wait": lambda client, job: job.wait(),
    "classify": lambda client, job: client.classify(["a"], model="echo", durable=True),
    "results": results,
    "events": events,
    "stream": stream,
    "upload": upload,
    "many": many,
}


@pytest.mark.parametrize("loop", LOOPS)
def test_calls_that_are_cancelled_at_random_leave_all_others_their_own_replies(
    cluster: Cluster, loop: str
) -> None:
    chance = random.Random(17)

    async def cancelled(call: Call, client: AsyncClient, job: AsyncJobHandle) -> None:
        task = asyncio.ensure_future(call(client, job))
        await asyncio.sleep(chance.uniform(0, LATEST_S))
        for _ in range(chance.choice((1, 1, 2))):  # the second comes as it cleans up
            task.cancel()
            await asyncio.sleep(0)
        with suppress(asyncio.CancelledError):
            await task

    async def look(jobs: list[AsyncJobHandle], is_over: asyncio.Event) -> int:
        looks = 0
        while not is_over.is_set():
            job = chance.choice(jobs)
            assert (await job.record()).job_id == job.job_id
            looks += 1
        return looks

    async def use() -> tuple[int, list[AbstractConnection], list[str]]:
        async with an_async_client(cluster) as client:
            jobs = [await client.classify([f"look {number}"], model="echo") for number in range(10)]
            is_over = asyncio.Event()
            looking = [asyncio.create_task(look(jobs, is_over)) for _ in range(4)]
            calls = [chance.choice(list(CALLS.values())) for _ in range(CANCELS)]
            await asyncio.gather(*(cancelled(call, client, jobs[0]) for call in calls[:100]))
            for call in calls[100:]:
                await cancelled(call, client, jobs[0])
            is_over.set()
            looks = sum(await asyncio.gather(*looking))
            pool = client._redis.connection_pool
            # All turns come back: more than there are connections work side by side.
            last = [
                client.classify([f"last {n}"], model="echo") for n in range(3 * MAX_CONNECTIONS)
            ]
            labels = [
                one.output.label
                for job in await asyncio.gather(*last)
                async for one in job.results()
            ]
            return looks, [*pool._available_connections, *pool._in_use_connections], labels

    looks, connections, labels = run(use(), loop, 60)

    assert looks > 20
    assert len(connections) <= MAX_CONNECTIONS
    assert not any(one.is_connected for one in connections)
    assert labels == [f"last {number}" for number in range(3 * MAX_CONNECTIONS)]


def test_a_cancelled_wait_leaves_the_job_alone_and_another_one_goes_on(
    cluster: Cluster, cure: Path
) -> None:
    async def use() -> tuple[bool, JobState]:
        async with an_async_client(cluster) as client:
            job = await client.classify(["held"], model="echo")
            first, second = asyncio.create_task(job.wait()), asyncio.create_task(job.wait())
            await asyncio.sleep(0.1)
            first.cancel()
            with suppress(asyncio.CancelledError):
                await first
            cure.touch()
            return first.cancelled(), (await second).state

    assert run(use()) == (True, JobState.COMPLETED)


def test_a_time_limit_of_asyncio_ends_a_wait(cluster: Cluster) -> None:
    async def use() -> str:
        async with an_async_client(cluster) as client:
            job = await client.classify(["held"], model="echo")
            try:
                async with asyncio.timeout(0.3):
                    await job.wait()
            except TimeoutError:
                await job.cancel()
                with pytest.raises(JobCancelled):
                    await job.wait()
                return "in time"
            return "too late"

    assert run(use(), limit_s=10) == "in time"


READERS = {
    "events": lambda job: job.events(),
    "results": lambda job: job.results(),
    "stream": lambda job: job.stream(),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("reader", READERS)
def test_an_iterator_that_another_task_closes_ends_at_once(
    cluster: Cluster, reader: str, loop: str
) -> None:
    async def use() -> tuple[float, bool]:
        async with an_async_client(cluster) as client:
            writing = {"delay_ms": 3_000.0, "length": 100}
            job = await client.generate(["a"], model="echo", stream=True, parameters=writing)
            values = READERS[reader](job)

            async def read() -> None:
                async for _ in values:
                    pass

            reading = asyncio.create_task(read())
            await asyncio.sleep(0.3)
            began = asyncio.get_running_loop().time()
            await values.aclose()
            await reading
            took_s = asyncio.get_running_loop().time() - began
            await job.cancel()
            return took_s, reading.cancelled()

    took_s, was_cancelled = run(use(), loop)

    assert took_s < 0.5
    assert not was_cancelled


def test_two_tasks_cannot_read_one_iterator(cluster: Cluster) -> None:
    async def use() -> None:
        async with an_async_client(cluster) as client:
            job = await client.classify(["held"], model="echo")
            events = job.results()
            reading = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0.1)
            try:
                with pytest.raises(ClientMisused) as error:
                    await anext(events)
            finally:
                await job.cancel()
            assert str(error.value) == (
                "Another task waits for a value of this iterator. Let one task read it, or give "
                "each an iterator of its own."
            )
            await reading

    run(use())


def test_a_task_that_is_cancelled_as_its_iterator_is_closed_is_cancelled(cluster: Cluster) -> None:
    async def use() -> bool:
        async with an_async_client(cluster) as client:
            job = await client.classify(["held"], model="echo")
            values = job.results()

            async def read() -> None:
                async for _ in values:
                    pass

            reading = asyncio.create_task(read())
            await asyncio.sleep(0.2)
            await values.aclose()
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
            await job.cancel()
            return reading.cancelled()

    assert run(use())

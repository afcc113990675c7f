"""Tasks that are cancelled at any await: no reply is left for the next command, nothing leaks."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from redis import Redis

from async_builders import LOOPS, an_async_client, run
from ledger_fixtures import Environment
from seqd.client import AsyncClient, AsyncJobHandle
from seqd.errors import ClientMisused
from seqd_schemas import JobState
from tcp_proxy import TcpProxy
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

#: Moments at which a call is cancelled, in seconds after its begin: most take a few milliseconds.
LATEST_S = 0.006
CANCELS = 250

#: More than a client has connections.
MANY = 60

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


CALLS: list[Call] = [
    lambda client, job: job.record(),
    lambda client, job: client.jobs(5),
    lambda client, job: client.workers(),
    lambda client, job: job.wait(),
    lambda client, job: client.classify(["a"], model="echo", durable=True),
    *(results, events, stream, upload, many),
]


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

    async def use() -> tuple[int, list[str]]:
        async with an_async_client(cluster) as client:
            jobs = [await client.classify([f"look {number}"], model="echo") for number in range(10)]
            is_over = asyncio.Event()
            looking = [asyncio.create_task(look(jobs, is_over)) for _ in range(4)]
            calls = [chance.choice(CALLS) for _ in range(CANCELS)]
            await asyncio.gather(*(cancelled(call, client, jobs[0]) for call in calls[:100]))
            for call in calls[100:]:
                await cancelled(call, client, jobs[0])
            is_over.set()
            looks = sum(await asyncio.gather(*looking))
            # All turns come back: more than there are connections work side by side.
            last = [client.classify([f"last {n}"], model="echo") for n in range(MANY)]
            labels = [
                one.output.label
                for job in await asyncio.gather(*last)
                async for one in job.results()
            ]
            return looks, labels

    with Redis.from_url(str(cluster.settings.redis_url)) as admin:
        before = {one["id"] for one in admin.client_list()}
        looks, labels = run(use(), loop, 120)

        def is_ours(connection: dict[str, str]) -> bool:
            sockets = psutil.Process().net_connections("tcp")
            return int(connection["addr"].rpartition(":")[2]) in {one.laddr.port for one in sockets}

        # The worker, which is a process of its own, may have made some anew.
        def left() -> int:
            made = [one for one in admin.client_list() if one["id"] not in before]
            return sum(is_ours(one) for one in made)

        wait_until(lambda: left() == 0, "the client's connections are closed")

    assert looks > 20
    assert labels == [f"last {number}" for number in range(MANY)]


def test_a_call_that_is_cancelled_while_all_connections_are_in_use_ends(
    environment: Environment,
) -> None:
    job_id = environment.submit_units(1)

    async def use() -> tuple[list[bool], set[str]]:
        changed = {"redis_url": proxy.url, "redis_timeout_s": 3.0}
        settings = environment.settings.model_copy(update=changed)
        async with AsyncClient(settings=settings) as client:
            job = client.job(job_id)
            await asyncio.gather(*(job.record() for _ in range(MANY)))
            proxy.freeze()  # what is open; the calls on it are made again on new connections
            calls = [asyncio.create_task(job.record()) for _ in range(MANY)]
            for _ in range(TURNS):
                await asyncio.sleep(0)
            for call in calls[MANY // 2 :]:
                call.cancel()
            await asyncio.wait(calls)
            cancelled = [call.cancelled() for call in calls]
            return cancelled, {call.result().job_id for call in calls if not call.cancelled()}

    with TcpProxy(environment.settings.redis_url) as proxy:
        cancelled, read = run(use())

    assert cancelled == [number >= MANY // 2 for number in range(MANY)]
    assert read == {job_id}


def test_a_cancelled_wait_leaves_the_job_alone_and_another_one_goes_on(
    cluster: Cluster, cure: Path
) -> None:
    async def use() -> tuple[bool, JobState]:
        async with an_async_client(cluster) as client:
            job = await client.classify(["held"], model="echo")
            first, second = asyncio.create_task(job.wait()), asyncio.create_task(job.wait())
            for _ in range(TURNS):
                await asyncio.sleep(0)
            first.cancel()
            with suppress(asyncio.CancelledError):
                await first
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await job.wait()
            cure.touch()
            return first.cancelled(), (await second).state

    assert run(use()) == (True, JobState.COMPLETED)


READERS = {
    "events": lambda job: job.events(),
    "results": lambda job: job.results(),
    "stream": lambda job: job.stream(),
}

#: Turns of the event loop after which a read has sent its commands and has their first replies.
TURNS = 30


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("reader", READERS)
def test_an_iterator_that_another_task_closes_ends_at_once(
    cluster: Cluster, reader: str, loop: str
) -> None:
    async def read(values: AsyncIterator[object]) -> None:
        async for _ in values:
            pass

    async def use() -> list[asyncio.Task[None]]:
        async with an_async_client(cluster) as client:
            # The shared worker hears of the cancel at the end of a step.
            writing = {"delay_ms": 2_000.0, "length": 10_000}
            prompts = iter(["a"])  # which are uploaded
            job = await client.generate(prompts, model="echo", stream=True, parameters=writing)
            assert (await job.record()).job.stream
            readings = []
            for turns in range(TURNS):
                values = READERS[reader](job)
                readings.append(asyncio.create_task(read(values)))
                for _ in range(turns):
                    await asyncio.sleep(0)
                await values.aclose()
                await readings[-1]  # long before the job has anything to give
            await job.cancel()
            return readings

    assert not any(reading.cancelled() for reading in run(use(), loop))


def test_two_tasks_cannot_read_one_iterator_and_one_that_is_cancelled_stays_so(
    cluster: Cluster, cure: Path
) -> None:
    async def use() -> bool:
        async with an_async_client(cluster) as client:
            job = await client.classify(["held"], model="echo")
            values = job.results()
            reading = asyncio.ensure_future(anext(values))
            await asyncio.sleep(0)
            with pytest.raises(ClientMisused) as error:
                await anext(values)
            assert str(error.value) == (
                "Another task waits for a value of this iterator. Let one task read it, or give "
                "each an iterator of its own."
            )
            await values.aclose()
            reading.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await reading
            await job.cancel()
            return reading.cancelled()

    assert run(use())

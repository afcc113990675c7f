"""Many tasks that wait: one connection, a bounded load on Redis, bounded memory."""

import asyncio
import time
import tracemalloc
from dataclasses import dataclass

import pytest
import redis

from async_builders import an_async_client, run
from seqd.client import AsyncClient, AsyncJobHandle
from seqd.ledger.async_transport import LOOKS_A_SECOND, MAX_CONNECTIONS
from worker_fixtures import Cluster

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]

TASKS = 400
WATCHED_S = 5.0
LONGEST_WATCH_S = 60.0


@dataclass
class Watch:
    """What a server did in a while."""

    connections: int = 0
    blocked: int = 0
    commands_a_second: float = 0.0
    cpu_share: float = 0.0


async def watched(cluster: Cluster) -> Watch:
    """Watch the server for a while, as the client does no more than to wait."""
    assert cluster.settings.redis_url is not None
    watch = Watch()
    with redis.Redis.from_url(cluster.settings.redis_url) as admin:
        own_id = str(admin.client_id())

        def figures() -> tuple[int, float]:
            stats, cpu = admin.info("stats"), admin.info("cpu")
            seconds = cpu["used_cpu_user"] + cpu["used_cpu_sys"]
            return stats["total_commands_processed"], seconds

        began, (commands, cpu_s) = time.monotonic(), figures()
        # A listener reads again each time that somebody asks for another stream.
        while time.monotonic() - began < (WATCHED_S if watch.blocked else LONGEST_WATCH_S):
            await asyncio.sleep(0.1)
            others = [one for one in admin.client_list() if one["id"] != own_id]
            watch.connections = max(watch.connections, len(others))
            watch.blocked = max(watch.blocked, sum("b" in one["flags"] for one in others))
        took_s, (later, later_s) = time.monotonic() - began, figures()
        watch.commands_a_second = (later - commands) / took_s
        watch.cpu_share = (later_s - cpu_s) / took_s
    return watch


async def all_wait(client: AsyncClient, tasks: int) -> None:
    """Wait until so many tasks wait for news."""
    transport, begun_s = client._transport, time.monotonic()
    # On a busy machine some queue for a connection all the time, to look at their jobs.
    while transport.driver.waiting < tasks or (
        transport._turns.locked() and time.monotonic() - begun_s < LONGEST_WATCH_S
    ):
        await asyncio.sleep(0.1)


async def results_of(job: AsyncJobHandle) -> list[object]:
    return [result async for result in job.results()]


def test_many_jobs_are_waited_for_by_one_connection(private_cluster: Cluster) -> None:
    private_cluster.publish_catalog()

    async def use() -> tuple[Watch, float]:
        async with an_async_client(private_cluster) as client:
            jobs = []
            for first in range(0, TASKS, 200):
                texts = [f"text {number}" for number in range(first, first + 200)]
                jobs += await client.classify_each(texts, model="echo")
            # A half waits for the end, the other for results.
            tracemalloc.start()
            waits = [asyncio.create_task(job.wait()) for job in jobs[::2]]
            waits += [asyncio.create_task(results_of(job)) for job in jobs[1::2]]
            await all_wait(client, TASKS)
            bytes_each = tracemalloc.get_traced_memory()[0] / TASKS
            tracemalloc.stop()
            watch = await watched(private_cluster)
            private_cluster.start()
            await asyncio.gather(*waits)
            return watch, bytes_each

    watch, bytes_each = run(use(), limit_s=280)
    print(f"{watch}, {bytes_each / 1024:.1f} KiB a waiting task")

    assert watch.connections <= MAX_CONNECTIONS
    assert watch.blocked == 1
    # A look is two reads, one of them by a script, whose own commands the server counts, too: about
    # ten, and as many looks as tasks would be four times that.
    assert watch.commands_a_second < 15 * LOOKS_A_SECOND
    assert watch.cpu_share < 0.2
    assert bytes_each < 32 * 1024

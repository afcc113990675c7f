"""An asynchronous client whose Redis goes away, hangs, is full or no Redis: as one that blocks."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from async_builders import an_async_client, run
from integration.test_client_outage import a_web_server
from redis_fixtures import PrivateServer
from sentinel_fixtures import SentinelGroup
from seqd.client import AsyncClient, AsyncJobHandle
from seqd.errors import InvalidSettings, JobOutOfReach, RedisFull, RedisRefused, RedisUnreachable
from seqd.local.redis_binaries import find_server_binaries
from seqd_schemas import Completed, JobRecord, JobState
from tcp_proxy import TcpProxy
from tls_fixtures import TlsProxy
from worker_fixtures import Cluster, live_settings

pytestmark = pytest.mark.processes

TEXTS = [f"text {number}" for number in range(120)]
IDS = [f"row-{number}" for number in range(1, 121)]
PACE = {"delay_ms": 10.0}
WRITING = {"delay_ms": 50.0, "length": 100}

#: Longer than a connection is tried again for by itself.
AWAY_S = 4.0


@pytest.fixture
def cluster_on(private_server: PrivateServer, tmp_path: Path) -> Iterator[Cluster]:
    own = Cluster(live_settings(private_server, tmp_path), tmp_path)
    try:
        yield own
    finally:
        own.close()


async def cut_off(server: PrivateServer, proxy: TcpProxy) -> None:
    proxy.refuse()
    await asyncio.sleep(AWAY_S)
    proxy.accept()


async def crash(server: PrivateServer, proxy: TcpProxy) -> None:
    server.kill()
    await asyncio.sleep(AWAY_S)
    server.start()


async def freeze(server: PrivateServer, proxy: TcpProxy) -> None:
    server.freeze()
    await asyncio.sleep(AWAY_S)
    server.thaw()


async def lose_replies(server: PrivateServer, proxy: TcpProxy) -> None:
    proxy.drop_every(7)
    await asyncio.sleep(2)
    proxy.drop_every(0)


@pytest.mark.slow
@pytest.mark.parametrize("outage", [cut_off, crash, freeze, lose_replies])
def test_whoever_reads_goes_on_where_it_was_after_an_outage(
    cluster_on: Cluster,
    private_server: PrivateServer,
    proxy: TcpProxy,
    outage: Callable[[PrivateServer, TcpProxy], Awaitable[None]],
) -> None:
    cluster_on.start_ready()

    async def use() -> None:
        async with an_async_client(cluster_on, redis_url=proxy.url) as client:
            many = await client.classify_each(
                TEXTS[:40], model="echo", parameters={"delay_ms": 30.0}
            )
            bulk = await client.classify(TEXTS, model="echo", parameters=PACE)
            written = await client.generate(
                ["a", "b"], model="echo", parameters=WRITING, stream=True
            )

            async def listed(values: object) -> list[object]:
                return [value async for value in values]  # type: ignore[attr-defined]

            reads = asyncio.gather(
                listed(bulk.results()),
                listed(bulk.events()),
                bulk.wait(),
                listed(client.as_completed(many)),
                listed(written.stream()),
            )
            while (await bulk.record()).units_done < 1:
                await asyncio.sleep(0.02)
            await outage(private_server, proxy)
            results, events, record, ended, deltas = await reads

            assert [result.custom_id for result in results] == IDS
            ids = [tuple(map(int, (event.id or "").split("-"))) for event in events]
            assert ids == sorted(set(ids))
            assert isinstance(events[-1], Completed)
            assert record.counts.succeeded == len(TEXTS)
            assert sorted(job.job_id for job in ended) == sorted(job.job_id for job in many)
            whole = {one.custom_id: one.finished.text for one in deltas if one.finished}
            parts = dict.fromkeys(whole, "")
            for delta in deltas:
                parts[delta.custom_id] += delta.text
            assert len(whole) == 2
            assert parts == whole

    run(use(), limit_s=90)


def test_a_job_that_is_sent_in_an_outage_is_made_once(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    cluster_on.publish_catalog()

    async def use() -> tuple[str, list[str]]:
        async with an_async_client(cluster_on) as client:
            await client.catalog()
            private_server.kill()
            sent = asyncio.create_task(client.classify(["a"], model="echo"))
            await asyncio.sleep(0.7)
            assert not sent.done()
            private_server.start()
            job = await sent
            return job.job_id, [record.job_id for record in await client.jobs()]

    job_id, kept = run(use())
    assert kept == [job_id]


async def results(client: AsyncClient, job: AsyncJobHandle) -> object:
    return [one async for one in job.results()]


async def events(client: AsyncClient, job: AsyncJobHandle) -> object:
    return [one async for one in job.events()]


async def as_completed(client: AsyncClient, job: AsyncJobHandle) -> object:
    return [one async for one in client.as_completed([job])]


READERS: dict[str, Callable[[AsyncClient, AsyncJobHandle], Awaitable[object]]] = {
    "record": lambda client, job: job.record(),
    "wait": lambda client, job: job.wait(),
    "results": results,
    "events": events,
    "as_completed": as_completed,
}


@pytest.mark.parametrize(
    "reader",
    [
        pytest.param(name, marks=[] if name in ("results", "wait") else pytest.mark.slow)
        for name in READERS
    ],
)
def test_who_has_waited_for_long_enough_hears_how_to_go_on(
    cluster_on: Cluster, private_server: PrivateServer, reader: str
) -> None:
    cluster_on.publish_catalog()

    async def use() -> tuple[str, JobOutOfReach, float]:
        async with an_async_client(cluster_on, outage_s=1.0) as client:
            job = await client.classify(["a"], model="echo")
            private_server.kill()
            began = time.monotonic()
            with pytest.raises(JobOutOfReach) as error:
                await READERS[reader](client, job)
            return job.job_id, error.value, time.monotonic() - began

    job_id, error, took_s = run(use())

    assert 1.0 <= took_s < 10.0  # and not for as long as by default
    assert error.job_id == job_id
    assert type(error.__context__) is RedisUnreachable
    assert str(error).startswith(f"Redis at 127.0.0.1:{private_server.port} has been away for ")
    assert str(error).endswith(
        f" Job {job_id} goes on by itself. Watch it: seqd jobs watch {job_id}. Its results: "
        f"seqd jobs results {job_id}"
    )


def test_many_more_tasks_than_connections_hear_of_a_lasting_outage_together(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    cluster_on.publish_catalog()

    async def use() -> tuple[int, float]:
        async with an_async_client(cluster_on, outage_s=1.0) as client:
            job = await client.classify(["a"], model="echo")
            private_server.kill()
            began = time.monotonic()
            ends = await asyncio.gather(*(job.record() for _ in range(500)), return_exceptions=True)
            told = sum(isinstance(end, JobOutOfReach) for end in ends)
            return told, time.monotonic() - began

    told, took_s = run(use())
    assert told == 500
    assert took_s < 6.0


@pytest.mark.parametrize(
    ("is_frozen", "is_connected"),
    [
        pytest.param(False, True, id="killed"),
        pytest.param(True, True, id="frozen", marks=pytest.mark.slow),
        pytest.param(True, False, id="frozen before it is connected", marks=pytest.mark.slow),
    ],
)
def test_a_wait_ends_in_time_though_redis_is_away(
    cluster_on: Cluster, private_server: PrivateServer, is_frozen: bool, is_connected: bool
) -> None:
    cluster_on.publish_catalog()

    async def use() -> tuple[str, list[BaseException], float]:
        async with an_async_client(cluster_on) as client:
            job = await client.classify(["a"], model="echo")
            if is_connected:
                await asyncio.gather(*(job.record() for _ in range(50)))
            (private_server.freeze if is_frozen else private_server.kill)()
            began = time.monotonic()
            ends = await asyncio.gather(
                *(job.wait(timeout_s=1.0) for _ in range(50)), return_exceptions=True
            )
            took_s = time.monotonic() - began
            (private_server.thaw if is_frozen else private_server.start)()
            return job.job_id, ends, took_s

    job_id, ends, took_s = run(use(), limit_s=40)

    assert all(isinstance(end, TimeoutError) for end in ends)
    assert str(ends[0]).startswith(f"Job {job_id} could not be looked at after 1 s: ")
    assert took_s < 5.0


#: Turns of the event loop after which a call has sent its command on a connection that is there.
TURNS = 12


@pytest.mark.parametrize("is_connected", [True, False], ids=["connected", "not connected"])
def test_a_call_that_is_cancelled_while_redis_hangs_ends_at_once(
    cluster_on: Cluster, private_server: PrivateServer, is_connected: bool
) -> None:
    """At whatever moment: before Python 3.12 a cancel was lost as the write ended."""
    cluster_on.publish_catalog()

    async def use() -> list[asyncio.Task[JobRecord]]:
        async with an_async_client(cluster_on) as client:
            job = await client.classify(["a"], model="echo")
            if is_connected:
                await asyncio.gather(*(job.record() for _ in range(50)))
            private_server.freeze()
            late = []
            try:
                for turns in range(TURNS):
                    call = asyncio.create_task(job.record())
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    call.cancel()
                    if not (await asyncio.wait({call}, timeout=3.0))[0]:
                        late.append(call)
            finally:
                private_server.thaw()
            return late

    assert run(use(), limit_s=60) == []


@pytest.mark.slow
def test_a_text_whose_time_is_over_before_redis_answers_holds_no_other_to_its_time(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    cluster_on.start_ready()

    async def use() -> tuple[str, float, str, list[JobRecord]]:
        async with an_async_client(cluster_on) as client:
            await client.predict("before", model="echo")
            private_server.freeze()
            try:
                began = time.monotonic()
                first = asyncio.create_task(client.predict("a", model="echo", timeout_s=0.2))
                await asyncio.sleep(0)  # it has asked first
                second = asyncio.create_task(client.predict("b", model="echo"))
                with pytest.raises(TimeoutError) as error:
                    await first
                took_s = time.monotonic() - began
                assert not second.done()
            finally:
                private_server.thaw()
            label = (await second).label
        return str(error.value), took_s, label, cluster_on.client().open_jobs()

    said, took_s, label, left = run(use())

    assert said == (
        "There is no answer after 0.2 s: Redis does not answer in time. The job is cancelled and "
        "removed once it does."
    )
    assert took_s < 3.0
    assert label == "b"
    assert left == []


def test_a_wait_goes_on_though_redis_is_full(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    """It waits for events of another client's job, which no wake-up can be written for."""
    cluster_on.publish_catalog()

    async def use() -> tuple[JobState, str]:
        async with an_async_client(cluster_on) as client, an_async_client(cluster_on) as other:
            jobs = [await client.classify(["a"], model="echo") for _ in range(2)]
            first = asyncio.create_task(other.job(jobs[0].job_id).wait())
            await asyncio.sleep(0.1)
            with Redis.from_url(private_server.url) as admin:
                admin.config_set("maxmemory", 1)
                with pytest.raises(RedisFull):
                    await client.classify(["b"], model="echo")
                second = asyncio.create_task(other.job(jobs[1].job_id).wait())
                await asyncio.sleep(0.5)
                assert not first.done() and not second.done()
                admin.config_set("maxmemory", 0)
            for job in jobs:
                await job.cancel()
            ends = await asyncio.gather(first, second, return_exceptions=True)
            return (await jobs[1].record()).state, type(ends[1]).__name__

    assert run(use()) == (JobState.CANCELLED, "JobCancelled")


def test_many_jobs_that_a_replica_refuses_are_made_once_when_it_is_a_primary(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    cluster_on.publish_catalog()

    async def use() -> tuple[list[str], list[str]]:
        async with an_async_client(cluster_on) as client:
            await client.catalog()
            with Redis.from_url(private_server.url) as admin:
                admin.execute_command("REPLICAOF", "127.0.0.1", "1")
                sent = asyncio.create_task(client.classify_each(TEXTS[:100], model="echo"))
                await asyncio.sleep(0.7)
                assert not sent.done()
                admin.execute_command("REPLICAOF", "NO", "ONE")
            jobs = await sent
            kept = await client.jobs(limit=200)
            return sorted(one.job_id for one in kept), sorted(job.job_id for job in jobs)

    kept, sent = run(use())
    assert kept == sent


def test_a_server_that_never_answered_is_not_waited_for() -> None:
    async def use() -> None:
        async with AsyncClient("redis://127.0.0.1:1/0") as client:
            with pytest.raises(RedisUnreachable, match=r"No answer from Redis at 127\.0\.0\.1:1"):
                await client.catalog()

    run(use(), limit_s=10)


def test_an_address_at_which_something_else_answers_is_named_at_once() -> None:
    async def use(port: int) -> str:
        async with AsyncClient(f"redis://127.0.0.1:{port}/0") as client:
            with pytest.raises(InvalidSettings) as refusal:
                await client.catalog()
            return str(refusal.value)

    with a_web_server() as port:
        said = run(use(port))

    assert said == (
        f"What answers at 127.0.0.1:{port} is not Redis: it sent b'HTTP/1.1 400 Bad Request'. Set "
        "SEQD_REDIS_URL to the host and port of Redis."
    )


def test_a_wrong_password_is_told_at_once(private_server: PrivateServer) -> None:
    async def use() -> str:
        async with AsyncClient(f"redis://:wrong@127.0.0.1:{private_server.port}/0") as client:
            with pytest.raises(RedisRefused) as refusal:
                await client.catalog()
            return str(refusal.value)

    assert run(use()).startswith(
        f"Redis at 127.0.0.1:{private_server.port} refused the user or password: "
    )


def test_a_server_of_a_cluster_is_refused_with_one_sentence(tmp_path: Path) -> None:
    server = PrivateServer(find_server_binaries()[0], tmp_path, ("cluster-enabled yes",))
    try:
        server.start()
        cluster = Cluster(live_settings(server, tmp_path), tmp_path)

        async def use() -> str:
            async with an_async_client(cluster) as client:
                with pytest.raises(InvalidSettings) as refusal:
                    await client.classify(["a text"], model="echo")
                return str(refusal.value)

        said = run(use())
    finally:
        server.stop()
    assert said.startswith(f"Redis at 127.0.0.1:{server.port} is one of a Redis Cluster, which ")


def test_a_server_is_reached_over_tls_and_by_a_trusted_certificate_only(
    cluster_on: Cluster, private_server: PrivateServer, tls_proxy: TlsProxy, authority_file: Path
) -> None:
    cluster_on.publish_catalog()
    url = tls_proxy.url_of(private_server.url)

    async def use() -> tuple[JobState, str]:
        async with an_async_client(
            cluster_on, redis_url=url, redis_ca_file=authority_file
        ) as client:
            job = await client.classify(["a"], model="echo")
            waiting = asyncio.create_task(job.wait())
            await asyncio.sleep(0.1)
            tls_proxy.cut()
            state = await job.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        async with an_async_client(cluster_on, redis_url=url) as client:
            with pytest.raises(RedisRefused) as refusal:
                await client.catalog()
            return state, str(refusal.value)

    state, said = run(use())
    assert state is JobState.CANCELLED
    assert said.startswith(
        f"Redis at 127.0.0.1:{tls_proxy.port} has a certificate of an unknown authority: "
    )


def test_a_server_is_reached_by_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    server = PrivateServer(find_server_binaries()[0], tmp_path, (f"unixsocket {path}",))
    try:
        server.start()
        cluster = Cluster(live_settings(server, tmp_path), tmp_path)
        cluster.publish_catalog()
        url = f"unix://:{server.password}@{path}"

        async def use() -> JobState:
            async with an_async_client(cluster, redis_url=url) as client:
                job = await client.classify(["a"], model="echo")
                return await job.cancel()

        assert run(use()) is JobState.CANCELLED
    finally:
        server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("hangs", [False, True], ids=["killed", "hangs"])
def test_a_client_follows_the_primary_in_a_failover(
    sentinels: SentinelGroup, tmp_path: Path, hangs: bool
) -> None:
    cluster = Cluster(live_settings(sentinels, tmp_path), tmp_path)
    cluster.publish_catalog()

    async def use() -> tuple[JobState, JobState]:
        async with an_async_client(cluster, redis_timeout_s=3.0) as client:
            job = await client.classify(["a"], model="echo", durable=True)
            await asyncio.to_thread(sentinels.wait_until_replicated)
            waiting = asyncio.create_task(job.wait())
            following = asyncio.create_task(client.job(job.job_id).wait())
            await asyncio.sleep(0.2)
            former = sentinels.primary()
            (former.freeze if hangs else former.kill)()
            await asyncio.to_thread(sentinels.wait_for_failover, former)
            after = await client.classify(["b"], model="echo")
            if hangs:
                former.thaw()
            states = (await after.cancel(), await job.cancel())
            await asyncio.gather(waiting, following, return_exceptions=True)
            return states

    assert run(use(), limit_s=90) == (JobState.CANCELLED, JobState.CANCELLED)

"""A client whose Redis goes away: it waits, goes on where it was, or says how to go on.

Both faces are asked the same, most of it side by side in one outage: see `Face`.
"""

import asyncio
import logging
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Event, Thread
from typing import TypeVar, cast

import pytest
from redis import Redis

from async_builders import FACES, Face, an_async_client, both_of, face_of, faces, run
from cli_builders import clean_environment
from redis_fixtures import PrivateServer
from sentinel_fixtures import SentinelGroup
from seqd.client import Client, JobHandle
from seqd.errors import (
    InvalidSettings,
    JobOutOfReach,
    RedisFull,
    RedisRefused,
    RedisUnreachable,
    SeqdError,
)
from seqd_schemas import Completed, JobRecord, JobState
from tcp_proxy import TcpProxy
from worker_fixtures import Cluster, live_settings, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

T = TypeVar("T")

TEXTS = [f"text {number}" for number in range(1_200)]
IDS = [f"row-{number}" for number in range(1, 1_201)]
PACE = {"delay_ms": 10.0}
PROMPTS = ["a", "b"]
WRITING = {"delay_ms": 50.0, "length": 100}


def wait_until_told(
    caplog: pytest.LogCaptureFixture, count: int, what: str = "; waiting for it"
) -> None:
    """Wait until so many clients have said that Redis is away and that they wait for it."""

    def told() -> int:
        return sum(what in message for message in caplog.messages)

    wait_until(lambda: told() >= count, f"{count} clients say {what!r}")


async def wait_until_listening(admin: Redis) -> None:
    """Wait until a client waits for what a server has to tell."""

    def listens() -> bool:
        return int(admin.info("clients")["blocked_clients"]) > 0

    await asyncio.to_thread(wait_until, listens, "somebody listens")


def has_called(admin: Redis, command: str) -> bool:
    return f"cmdstat_{command}" in admin.info("commandstats")


def test_whoever_reads_goes_on_where_it_was_after_an_outage(
    private_cluster: Cluster,
    private_server: PrivateServer,
    proxy: TcpProxy,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "seqd.ledger.outage")
    private_cluster.start_ready()
    observer = private_cluster.client()
    with (
        both_of(private_cluster, redis_url=proxy.url, redis_timeout_s=3.0) as both,
        ThreadPoolExecutor(10) as pool,
    ):
        client = both[0].client
        many = client.classify_each(TEXTS[:40], model="echo", parameters={"delay_ms": 30.0})
        bulk = client.classify(TEXTS, model="echo", parameters=PACE)
        written = client.generate(PROMPTS, model="echo", parameters=WRITING, stream=True)
        wait_until(lambda: bulk.record().sealed, "all of it is sent")

        def job_of(face: Face, job: JobHandle) -> JobHandle:
            return face.client.job(job.job_id)

        def ended_of(face: Face) -> list[str]:
            jobs = [job_of(face, job) for job in many]
            return sorted(one.job_id for one in face.all_of(lambda: face.client.as_completed(jobs)))

        reads = [
            (
                pool.submit(face.all_of, job_of(face, bulk).results),
                pool.submit(face.all_of, job_of(face, bulk).events),
                pool.submit(face.do, job_of(face, bulk).wait),
                pool.submit(ended_of, face),
                pool.submit(face.all_of, job_of(face, written).stream),
            )
            for face in both
        ]

        def wait_for_progress() -> None:
            done = observer.job(bulk.job_id).record().units_done
            wait_until(lambda: bulk.record().units_done > done, "the job goes on")

        wait_for_progress()
        for begin, end in (
            (proxy.refuse, proxy.accept),
            (private_server.kill, private_server.start),
            (private_server.freeze, private_server.thaw),
        ):
            caplog.clear()
            begin()
            wait_until_told(caplog, len(both))
            end()
            # Of an outage that goes on in the next one nothing more is told.
            wait_until_told(caplog, len(both), " is back after ")
            wait_for_progress()
        proxy.drop_every(7)
        for _ in range(5):
            wait_for_progress()
        assert not observer.job(bulk.job_id).record().state.is_terminal
        proxy.drop_every(0)

    for results, events, record, ended, texts in reads:
        assert [result.custom_id for result in results.result()] == IDS
        ids = [tuple(map(int, (event.id or "").split("-"))) for event in events.result()]
        assert ids == sorted(set(ids))
        assert isinstance(events.result()[-1], Completed)
        assert record.result().counts.succeeded == len(TEXTS)
        assert ended.result() == sorted(job.job_id for job in many)
        whole = {one.custom_id: one.finished.text for one in texts.result() if one.finished}
        parts = dict.fromkeys(whole, "")
        for delta in texts.result():
            parts[delta.custom_id] += delta.text
        assert len(whole) == len(PROMPTS)
        assert parts == whole


def test_jobs_that_are_sent_in_an_outage_are_made_once(
    private_cluster: Cluster, private_server: PrivateServer, caplog: pytest.LogCaptureFixture
) -> None:
    private_cluster.publish_catalog()
    with (
        both_of(private_cluster) as both,
        ThreadPoolExecutor(2) as pool,
        Redis.from_url(private_server.url) as redis,
    ):
        for face in both:
            face.do(face.client.catalog)
        private_server.kill()
        sent = [
            pool.submit(face.do, lambda face=face: face.client.classify(["a"], model="echo"))
            for face in both
        ]
        wait_until_told(caplog, 2)
        assert not any(one.done() for one in sent)
        private_server.start()
        jobs = [one.result(timeout=60).job_id for one in sent]

        assert sorted(record.job_id for record in both[0].client.jobs()) == sorted(jobs)

        # A replica answers, and takes no writes until it is a primary.
        caplog.clear()
        redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        each = [
            pool.submit(
                face.do, lambda face=face: face.client.classify_each(TEXTS[:100], model="echo")
            )
            for face in both
        ]
        wait_until_told(caplog, 2)
        assert not any(one.done() for one in each)
        redis.execute_command("REPLICAOF", "NO", "ONE")
        jobs += [job.job_id for one in each for job in one.result(timeout=60)]

        kept = [record.job_id for record in both[0].client.jobs(limit=500)]
        assert sorted(kept) == sorted(jobs)


READERS: dict[str, Callable[[Client, JobHandle], object]] = {
    "record": lambda client, job: job.record(),
    "wait": lambda client, job: job.wait(),
    "results": lambda client, job: job.results(),
    "events": lambda client, job: job.events(),
    "as_completed": lambda client, job: client.as_completed([job]),
}


def test_an_iterator_that_is_closed_in_an_outage_does_not_wait_for_its_end(
    private_cluster: Cluster, private_server: PrivateServer, caplog: pytest.LogCaptureFixture
) -> None:
    private_cluster.publish_catalog()
    with private_cluster.client() as client, ThreadPoolExecutor(1) as pool:
        results = client.classify(["a"], model="echo").results()
        read = pool.submit(list, results)
        private_server.kill()
        wait_until_told(caplog, 1)

        results.close()

        assert read.result(30) == []  # an outage is waited for for 60 s


@faces
def test_who_has_waited_for_long_enough_hears_how_to_go_on(
    private_cluster: Cluster,
    private_server: PrivateServer,
    face: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    private_cluster.publish_catalog()
    address = f"127.0.0.1:{private_server.port}"

    def heard(client: Face, job: JobHandle, name: str) -> JobOutOfReach:
        with pytest.raises(JobOutOfReach) as error:
            client.all_of(lambda: READERS[name](client.client, job))  # type: ignore[arg-type]
        return error.value

    with (
        face_of(private_cluster, face, outage_s=0.0) as hasty,
        face_of(private_cluster, face) as bounded,
        face_of(private_cluster, face, outage_s=1.0) as one,
        face_of(private_cluster, face, outage_s=1.0) as other,
        ThreadPoolExecutor(len(READERS)) as pool,
    ):
        jobs = {
            client: client.do(lambda client=client: client.client.classify(["a"], model="echo"))
            for client in (hasty, bounded, one, other)
        }
        private_server.kill()

        heard(hasty, jobs[hasty], "wait")

        assert not any("for 0 s at most" in message for message in caplog.messages)

        told = [pool.submit(heard, one, jobs[one], name) for name in READERS]
        for error in (each.result() for each in told):
            assert error.job_id == jobs[one].job_id
            assert type(error.__context__) is RedisUnreachable
            (away_s,) = re.findall(r" has been away for (\d+) s: ", str(error))
            assert 1 <= int(away_s) < 60  # which it is by default
            assert str(error).startswith(f"Redis at {address} has been away for {away_s} s: Error ")
            assert str(error).endswith(
                " Try again when it is back, or set SEQD_REDIS_URL to a server that runs. Job "
                f"{error.job_id} goes on by itself. Watch it: seqd jobs watch {error.job_id}. Its "
                f"results: seqd jobs results {error.job_id}"
            )
            if face == "blocking":
                assert f" s: Error 111 connecting to {address}. Connection refused. " in str(error)

        # By then it has not been away for as long as an outage may last.
        job = jobs[bounded]
        with pytest.raises(
            TimeoutError, match=f"Job {job.job_id} could not be looked at after 1 s: "
        ):
            bounded.do(lambda: job.wait(timeout_s=1.0))
        with pytest.raises(TimeoutError, match=r"1 of 1 jobs have not ended after 1 s"):
            bounded.all_of(lambda: bounded.client.as_completed([job], timeout_s=1.0))

        if face == "async":  # many more tasks than connections hear of it together
            record = jobs[other].record

            async def many() -> list[object]:
                calls = (cast(Awaitable[object], record()) for _ in range(500))
                return await asyncio.gather(*calls, return_exceptions=True)

            ends = cast(list[object], other.do(many))
            assert {type(end) for end in ends} == {JobOutOfReach} and len(ends) == 500


#: Turns of the event loop after which a call has sent its command on a connection that is there.
TURNS = 12


@pytest.mark.parametrize("is_connected", [True, False], ids=["connected", "not connected"])
def test_waits_and_calls_that_are_cancelled_end_in_time_though_redis_hangs(
    private_cluster: Cluster, private_server: PrivateServer, is_connected: bool
) -> None:
    """A call is cancelled at any moment: before Python 3.12 that was lost as the write ended."""
    private_cluster.publish_catalog()

    async def use() -> tuple[str, list[asyncio.Task[JobRecord]], list[object]]:
        async with an_async_client(private_cluster) as client:
            job = await client.classify(["a"], model="echo")
            if is_connected:
                await asyncio.gather(*(job.record() for _ in range(50)))
            private_server.freeze()
            calls = []
            try:
                for turns in range(TURNS):
                    call = asyncio.create_task(job.record())
                    calls.append(call)
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    call.cancel()
                await asyncio.wait(calls)
                ends = await asyncio.gather(
                    *(job.wait(timeout_s=1.0) for _ in range(50)), return_exceptions=True
                )
            finally:
                private_server.thaw()
            return job.job_id, calls, list[object](ends)

    job_id, calls, ends = run(use(), limit_s=120)

    assert all(call.cancelled() for call in calls)
    assert all(isinstance(end, TimeoutError) for end in ends)
    assert str(ends[0]).startswith(f"Job {job_id} could not be looked at after 1 s: ")


def test_a_text_whose_time_is_over_before_redis_answers_holds_no_other_to_its_time(
    private_cluster: Cluster, private_server: PrivateServer
) -> None:
    private_cluster.start_ready()

    async def use() -> tuple[str, str, list[JobRecord]]:
        async with an_async_client(private_cluster) as client:
            await client.predict("before", model="echo")
            private_server.freeze()
            try:
                first = asyncio.create_task(client.predict("a", model="echo", timeout_s=0.2))
                await asyncio.sleep(0)  # it has asked first
                second = asyncio.create_task(client.predict("b", model="echo"))
                with pytest.raises(TimeoutError) as error:
                    await first
                assert not second.done()
            finally:
                private_server.thaw()
            label = (await second).label
        return str(error.value), label, private_cluster.client().open_jobs()

    said, label, left = run(use())

    assert said == (
        "There is no answer after 0.2 s: Redis does not answer in time. The job is cancelled and "
        "removed once it does."
    )
    assert label == "b"
    assert left == []


def test_a_wait_goes_on_though_redis_is_full(
    private_cluster: Cluster, private_server: PrivateServer
) -> None:
    """It waits for events of another client's job, which no wake-up can be written for."""
    private_cluster.publish_catalog()

    async def use() -> tuple[JobState, str]:
        async with (
            an_async_client(private_cluster) as client,
            an_async_client(private_cluster) as other,
        ):
            jobs = [await client.classify(["a"], model="echo") for _ in range(2)]
            first = asyncio.create_task(other.job(jobs[0].job_id).wait())
            with Redis.from_url(private_server.url) as admin:
                await wait_until_listening(admin)
                admin.config_set("maxmemory", 1)
                with pytest.raises(RedisFull):
                    await client.classify(["b"], model="echo")
                admin.config_resetstat()
                second = asyncio.create_task(other.job(jobs[1].job_id).wait())
                listens = partial(has_called, admin, "xread")
                await asyncio.to_thread(wait_until, listens, "both are listened for")
                assert not first.done() and not second.done()
                admin.config_set("maxmemory", 0)
            for job in jobs:
                await job.cancel()
            ends = await asyncio.gather(first, second, return_exceptions=True)
            return (await jobs[1].record()).state, type(ends[1]).__name__

    assert run(use()) == (JobState.CANCELLED, "JobCancelled")


def test_an_upload_waits_while_redis_is_full_however_long_and_says_so_once(
    private_cluster: Cluster, private_server: PrivateServer, caplog: pytest.LogCaptureFixture
) -> None:
    private_cluster.publish_catalog()
    is_full = Event()
    with Redis.from_url(private_server.url) as admin:

        def draw() -> Iterator[str]:
            yield from TEXTS[:600]  # more than a unit
            admin.config_set("maxmemory", 1)
            admin.config_resetstat()
            is_full.set()
            yield from TEXTS[600:]

        def refusals() -> int:
            # Of a script, Redis 6.2 does not count an error by its own code.
            return sum(int(row["count"]) for row in admin.info("errorstats").values())

        job = private_cluster.client(outage_s=0).classify(draw(), model="echo")
        assert is_full.wait(60.0)
        wait_until(lambda: refusals() >= 6, "it has been tried again and again")
        admin.config_set("maxmemory", 0)
        wait_until(lambda: job.record().sealed, "all of it is sent")

    reason = f"Redis at 127.0.0.1:{private_server.port} has reached its maxmemory."
    assert caplog.messages == [
        f"job={job.job_id}: its upload waits for room: {reason} See: seqd doctor"
    ]
    assert job.record().counts.total == len(TEXTS)


@contextmanager
def a_web_server(port: int = 0) -> Iterator[int]:
    """A web server on a port, which it yields: it answers as one does to what is not HTTP."""

    class Answer(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    class Server(ThreadingTCPServer):
        allow_reuse_address = True

    with Server(("127.0.0.1", port), Answer) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


@faces
def test_an_address_at_which_no_redis_can_be_used_is_told_of_at_once(
    private_server: PrivateServer, face: str, caplog: pytest.LogCaptureFixture
) -> None:
    def refusal(url: str) -> SeqdError:
        with Face(FACES[face](url)) as client, pytest.raises(SeqdError) as refusal:
            client.do(client.client.catalog)
        return refusal.value

    never, port = refusal("redis://127.0.0.1:1/0"), private_server.port
    wrong = refusal(f"redis://:wrong@127.0.0.1:{port}/0")
    missing = refusal(f"{private_server.url.removesuffix('/0')}/99")
    with a_web_server() as other_port:
        other = refusal(f"redis://127.0.0.1:{other_port}/0")

    assert type(never) is RedisUnreachable
    assert str(never).startswith("No answer from Redis at 127.0.0.1:1")
    assert type(wrong) is RedisRefused
    assert str(wrong).startswith(f"Redis at 127.0.0.1:{port} refused the user or password: ")
    assert type(missing) is InvalidSettings
    assert str(missing).startswith(f"Redis at 127.0.0.1:{port} has no database 99. Set ")
    assert type(other) is InvalidSettings
    assert str(other) == (
        f'What answers at 127.0.0.1:{other_port} is not Redis (Protocol error, got "H" as reply '
        "type byte). Set SEQD_REDIS_URL to the host and port of Redis."
    )
    assert not any("waiting for it" in message for message in caplog.messages)


def test_an_outage_in_which_something_else_has_the_address_is_waited_for(
    private_cluster: Cluster, private_server: PrivateServer
) -> None:
    private_cluster.publish_catalog()
    client = private_cluster.client()
    before = client.catalog()
    private_server.kill()

    with ThreadPoolExecutor(1) as threads:
        with a_web_server(private_server.port):
            asked = threads.submit(client.catalog)
            with pytest.raises(TimeoutError):
                asked.result(timeout=1.0)
        private_server.start()

        assert asked.result(timeout=60) == before


def test_a_client_of_asyncio_follows_the_primary_in_a_failover(
    sentinels: SentinelGroup, tmp_path: Path
) -> None:
    cluster = Cluster(live_settings(sentinels, tmp_path), tmp_path)
    cluster.publish_catalog()

    async def use() -> tuple[JobState, JobState]:
        async with an_async_client(cluster, redis_timeout_s=3.0) as client:
            job = await client.classify(["a"], model="echo", durable=True)
            await asyncio.gather(*(job.record() for _ in range(4)))  # connections that lie idle
            await asyncio.to_thread(sentinels.wait_until_replicated)
            waiting = asyncio.create_task(job.wait())
            following = asyncio.create_task(client.job(job.job_id).wait())
            former = sentinels.primary()
            await wait_until_listening(former.client())
            former.freeze()
            await asyncio.to_thread(sentinels.wait_for_failover, former)
            after = await client.classify(["b"], model="echo")
            former.thaw()  # it answers, and takes itself for the primary yet
            await asyncio.gather(*(after.record() for _ in range(4)))
            states = (await after.cancel(), await job.cancel())
            await asyncio.gather(waiting, following, return_exceptions=True)
            return states

    assert run(use(), limit_s=90) == (JobState.CANCELLED, JobState.CANCELLED)


def environment_of(cluster: Cluster, **variables: str) -> dict[str, str]:
    settings = cluster.settings
    assert settings.redis_url is not None
    ours = {"SEQD_REDIS_URL": settings.redis_url, "SEQD_PREFIX": settings.prefix}
    return clean_environment(**ours, **variables)


def classifying(cluster: Cluster, **variables: str) -> "subprocess.Popen[str]":
    """A command that waits for a job which no worker does."""
    texts = [part for text in TEXTS[:20] for part in ("--text", text)]
    return subprocess.Popen(
        [sys.executable, "-m", "seqd", "classify", *texts, "--model", "echo"],
        env=environment_of(cluster, **variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def its_job(client: Client, server: PrivateServer) -> str:
    """Wait until the command has sent all of its job, and waits for the answers; the job's id."""
    wait_until(lambda: [job.sealed for job in client.jobs()] == [True], "the job is sent")
    with Redis.from_url(server.url) as redis:

        def reads() -> bool:
            return any(one["cmd"] == "xread" and "b" in one["flags"] for one in redis.client_list())

        wait_until(reads, "the command waits for what is new of its job")
    return client.jobs()[0].job_id


def test_a_command_that_gives_up_or_is_interrupted_names_its_job_and_how_to_go_on(
    private_cluster: Cluster, private_server: PrivateServer
) -> None:
    private_cluster.publish_catalog()
    command = classifying(private_cluster, SEQD_OUTAGE_S="1")
    job_id = its_job(private_cluster.client(), private_server)
    private_server.kill()

    _, err = command.communicate(timeout=60)
    private_server.start()

    assert command.returncode == 75
    waiting, error = err.strip().splitlines()[-2:]
    assert waiting.endswith("; waiting for it, for 1 s at most (SEQD_OUTAGE_S)")
    assert error.startswith("error[job_out_of_reach]: Redis at ")
    assert error.endswith(
        f" Job {job_id} goes on by itself. Watch it: seqd jobs watch {job_id}. Its results: "
        f"seqd jobs results {job_id}"
    )
    assert "Traceback" not in err
    job = private_cluster.client().job(job_id)
    assert job.record().state is JobState.QUEUED

    job.cancel()
    job.remove()
    command = classifying(private_cluster)
    job_id = its_job(private_cluster.client(), private_server)
    private_server.kill()
    assert command.stderr is not None
    said = next(line for line in command.stderr if "waiting for it" in line)
    command.send_signal(signal.SIGINT)
    _, err = command.communicate(timeout=45)  # and not after the 60 s of an outage

    assert said
    assert command.returncode == 130
    assert f"Job {job_id} may still run: Redis at " in err
    assert err.strip().endswith(
        f"Watch it: seqd jobs watch {job_id}. Cancel it: seqd jobs cancel {job_id}"
    )
    assert "Traceback" not in err

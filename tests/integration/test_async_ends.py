"""How an asynchronous client ends: in order, by an error, with its loop; and where it cannot be."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from async_builders import LOOPS, an_async_client, run
from checkout import python_path
from seqd.client import AsyncClient, Client
from seqd.errors import ClientMisused, IdempotencyConflict
from seqd.ledger.redis import connect
from seqd_schemas import JobState
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes


async def texts(count: int, *, then_hangs: bool = False) -> AsyncIterator[str]:
    for number in range(count):
        yield f"text {number}"
    if then_hangs:
        await asyncio.sleep(600)


def state_of(cluster: Cluster, job_id: str) -> tuple[JobState, str]:
    record = cluster.client().job(job_id).record()
    return record.state, record.failure.message if record.failure else ""


@pytest.mark.parametrize("loop", LOOPS)
def test_leaving_the_block_waits_until_the_input_is_complete(cluster: Cluster, loop: str) -> None:
    async def use() -> str:
        async with an_async_client(cluster) as client:
            return (await client.classify(texts(2_000), model="echo")).job_id

    job_id = run(use(), loop)
    record = cluster.client().job(job_id).wait(timeout_s=20)
    assert record.counts.succeeded == 2_000


def test_uploaded_returns_when_the_ledger_has_all_of_the_input(cluster: Cluster) -> None:
    read: list[str] = []

    def noted(count: int) -> Iterator[str]:
        for number in range(count):
            read.append(text := f"text {number}")
            yield text

    async def use() -> tuple[int, int, bool]:
        async with an_async_client(cluster) as client:
            job = await client.classify(noted(2_000), model="echo")
            at_first = len(read)
            await job.uploaded()
            return at_first, len(read), (await job.record()).sealed

    at_first, at_last, is_sealed = run(use())
    assert at_first < at_last == 2_000
    assert is_sealed

    read.clear()
    job = cluster.client().classify(noted(2_000), model="echo")
    job.uploaded()
    assert len(read) == 2_000
    assert job.record().sealed


def test_uploaded_raises_what_the_input_has_raised(cluster: Cluster) -> None:
    def failing() -> Iterator[str]:
        yield from (f"text {number}" for number in range(40))
        raise OSError("the disk has gone")

    async def use() -> None:
        async with an_async_client(cluster) as client:
            job = await client.classify(failing(), model="echo")
            await job.uploaded()

    with pytest.raises(OSError, match="the disk has gone"):
        run(use())
    with pytest.raises(OSError, match="the disk has gone"):
        cluster.client().classify(failing(), model="echo").uploaded()


def test_who_is_cancelled_in_uploaded_takes_the_input_along(cluster: Cluster) -> None:
    async def use() -> str:
        async with an_async_client(cluster) as client:
            job = await client.classify(texts(40, then_hangs=True), model="echo")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await job.uploaded()
            return job.job_id

    state, message = state_of(cluster, run(use()))

    assert state is JobState.FAILED
    assert message.startswith("The input broke off after unit ")


@pytest.mark.parametrize("loop", LOOPS)
def test_leaving_the_block_by_an_error_fails_the_job_at_once(cluster: Cluster, loop: str) -> None:
    async def use() -> tuple[str, float]:
        job_id, began = "", 0.0
        with pytest.raises(ZeroDivisionError):
            async with an_async_client(cluster) as client:
                job = await client.classify(texts(40, then_hangs=True), model="echo")
                job_id, began = job.job_id, asyncio.get_running_loop().time()
                raise ZeroDivisionError("the caller's own")
        return job_id, asyncio.get_running_loop().time() - began

    job_id, took_s = run(use(), loop)

    state, message = state_of(cluster, job_id)
    assert state is JobState.FAILED
    assert message.startswith("The input broke off after unit ")
    assert message.endswith("ZeroDivisionError: the caller's own")
    assert took_s < 3.0  # the iterable is not waited for


def test_a_generator_that_is_left_half_way_is_closed(cluster: Cluster) -> None:
    closed = []

    async def watched() -> AsyncIterator[str]:
        try:
            async for text in texts(40, then_hangs=True):
                yield text
        finally:
            closed.append(True)

    async def use() -> None:
        async with an_async_client(cluster) as client:
            job = await client.classify(watched(), model="echo")
            await job.cancel()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(use())
    assert closed == [True]


def test_an_iterable_that_fails_half_way_fails_the_job_and_is_raised_in_who_waits(
    cluster: Cluster,
) -> None:
    async def failing() -> AsyncIterator[str]:
        async for text in texts(40):
            yield text
        raise OSError("the disk has gone")

    async def use() -> str:
        async with an_async_client(cluster) as client:
            job = await client.classify(failing(), model="echo")
            with pytest.raises(OSError, match="the disk has gone"):
                await job.wait()
            with pytest.raises(OSError, match="the disk has gone"):
                async for _ in job.results():
                    pass
            return job.job_id

    state, message = state_of(cluster, run(use()))
    assert state is JobState.FAILED
    assert message.endswith("OSError: the disk has gone")


def test_a_closed_client_says_so_also_to_those_that_wait(cluster: Cluster) -> None:
    said = "This AsyncClient is closed. Make another one."

    async def use() -> None:
        client = an_async_client(cluster)
        job = await client.classify(["a"], model="echo", parameters={"delay_ms": 3_000.0})
        waits = [
            asyncio.create_task(job.wait()),
            asyncio.create_task(client.job(job.job_id).wait()),
            asyncio.ensure_future(anext(job.results())),
            asyncio.ensure_future(anext(client.as_completed([job]))),
        ]
        await asyncio.sleep(0.3)
        await client.aclose()
        await client.aclose()
        ends = await asyncio.gather(*waits, return_exceptions=True)
        assert [(type(end), str(end)) for end in ends] == [(ClientMisused, said)] * 4
        with pytest.raises(ClientMisused, match="closed"):
            await client.catalog()
        cluster.client().job(job.job_id).cancel()

    run(use(), limit_s=10)


def test_a_client_of_another_loop_says_so(cluster: Cluster) -> None:
    client = an_async_client(cluster)

    async def use() -> None:
        await client.catalog()

    async def close() -> None:
        await client.aclose()

    with asyncio.Runner() as first:
        first.run(use())
        with asyncio.Runner() as second, pytest.raises(ClientMisused) as error:
            second.run(use())
        told = []

        def in_a_thread() -> None:
            with pytest.raises(ClientMisused) as refusal:
                asyncio.run(use())
            told.append(str(refusal.value))

        thread = threading.Thread(target=in_a_thread)
        thread.start()
        thread.join()
        first.run(close())

    assert str(error.value) == (
        "This AsyncClient was used in another event loop before. Make one client for each loop, "
        "in a coroutine that runs there."
    )
    assert told == [str(error.value)]


PROGRAM = """
import asyncio, os, sys
from seqd.client import AsyncClient, Client

async def texts():
    for number in range(40):
        yield f"text {number}"
    await asyncio.sleep(600)

async def half():
    async with AsyncClient() as client:
        job = await client.classify(["a"], model="echo")
        waits = [asyncio.create_task(job.wait()) for _ in range(5)]
        events = job.events()
        await anext(events)
        raise SystemExit(3)

async def unclosed():
    client = AsyncClient()
    job = await client.classify(texts(), model="echo")
    print(job.job_id, flush=True)
    asyncio.create_task(job.wait())
    await asyncio.sleep(0.1)
    await client.aclose() if "close" in sys.argv else None

async def interrupted():
    async with AsyncClient() as client:
        job = await client.classify(texts(), model="echo")
        print(job.job_id, flush=True)
        await job.wait()

asyncio.run(globals()[sys.argv[1]]())
"""


def program(cluster: Cluster, *arguments: str) -> "subprocess.Popen[str]":
    settings = cluster.settings
    assert settings.redis_url is not None
    variables = {
        **os.environ,
        "PYTHONPATH": python_path(),
        "SEQD_REDIS_URL": settings.redis_url,
        "SEQD_PREFIX": settings.prefix,
    }
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM, *arguments]
    return subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def assert_clean(err: str) -> None:
    for sign in ("destroyed", "unclosed", "ResourceWarning", "was never awaited"):
        assert sign not in err, err


@pytest.mark.slow
def test_a_program_that_leaves_by_an_error_warns_of_nothing(cluster: Cluster) -> None:
    ended = program(cluster, "half")
    _, err = ended.communicate(timeout=60)

    assert ended.returncode == 3
    assert_clean(err)


def test_a_program_that_is_interrupted_fails_its_job_and_warns_of_nothing(
    cluster: Cluster,
) -> None:
    ended = program(cluster, "interrupted")
    assert ended.stdout is not None
    job_id = ended.stdout.readline().strip()
    ended.send_signal(signal.SIGINT)
    _, err = ended.communicate(timeout=60)

    assert err.strip().splitlines()[-1] == "KeyboardInterrupt"
    assert_clean(err)
    assert state_of(cluster, job_id)[0] is JobState.FAILED


@pytest.mark.slow
def test_a_program_whose_loop_ends_before_its_upload_fails_the_job(cluster: Cluster) -> None:
    ended = program(cluster, "unclosed")
    assert ended.stdout is not None
    job_id = ended.stdout.readline().strip()
    _, err = ended.communicate(timeout=60)

    assert "destroyed" not in err
    state, message = state_of(cluster, job_id)
    assert state is JobState.FAILED
    assert message.endswith(": its upload was cancelled.")


def test_who_is_cancelled_as_the_client_closes_fails_the_job(cluster: Cluster) -> None:
    async def use() -> str:
        client = an_async_client(cluster)
        job = await client.classify(texts(40, then_hangs=True), model="echo")
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0.2)
        assert not closing.done()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        return job.job_id

    state, message = state_of(cluster, run(use()))
    assert state is JobState.FAILED
    assert message.endswith(": its upload was cancelled.")


def test_a_conflict_that_nobody_was_told_of_is_raised_at_the_end(cluster: Cluster) -> None:
    async def use() -> None:
        async with an_async_client(cluster) as first, an_async_client(cluster) as second:
            job = await first.classify(
                texts(40, then_hangs=True), model="echo", idempotency_key="ends"
            )
            others = [f"other {number}" for number in range(41)]
            await second.classify(others, model="echo", idempotency_key="ends")
            with pytest.raises(IdempotencyConflict):
                await second.aclose()
            await job.cancel()

    run(use())


def test_a_process_that_was_forked_leaves_the_upload_to_its_parent(cluster: Cluster) -> None:
    release = threading.Event()

    def items() -> Iterator[str]:
        yield from (f"text {number}" for number in range(40))
        release.wait(20)

    with Client(settings=cluster.settings) as client:
        job = client.classify(items(), model="echo")
        pid = os.fork()
        if pid == 0:  # the child leaves the block by an error, and must not end the job
            signal.alarm(30)  # ends a child that waits for ever
            code = 1
            try:
                client.__exit__(ValueError, ValueError("the child's"), None)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        release.set()

        assert status == 0
        assert job.wait(timeout_s=20).counts.succeeded == 40


def test_a_process_that_was_forked_while_a_connection_is_made_makes_its_own(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = connect(str(cluster.settings.redis_url))
    is_making, is_forked = threading.Event(), threading.Event()
    make = redis.connection_pool.make_connection

    def make_slowly() -> object:  # redis-py holds the pool's lock meanwhile
        is_making.set()
        is_forked.wait(20)
        return make()

    monkeypatch.setattr(redis.connection_pool, "make_connection", make_slowly)
    thread = threading.Thread(target=redis.ping)
    thread.start()
    assert is_making.wait(20)
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)  # ends a child that waits for ever
        code = 1
        try:
            code = 0 if redis.ping() else 1
            redis.close()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    is_forked.set()
    thread.join(20)

    assert status == 0
    assert redis.ping()
    redis.close()


def test_an_asynchronous_client_that_was_forked_says_so(cluster: Cluster, tmp_path: Path) -> None:
    said = tmp_path / "said"

    async def use() -> int:
        async with an_async_client(cluster) as client:
            await client.catalog()
            pid = os.fork()
            if pid == 0:
                try:
                    await client.catalog()
                except ClientMisused as error:
                    said.write_text(str(error))
                finally:
                    os._exit(0)
            os.waitpid(pid, 0)
            return pid

    pid = run(use())

    assert said.read_text() == (
        f"This AsyncClient was made in process {os.getpid()}, and process {pid} was forked from "
        "that one. Make a client in each process."
    )


def test_an_iterator_of_a_client_that_blocks_is_closed_by_another_thread(cluster: Cluster) -> None:
    client = cluster.client()
    job = client.classify(["a"], model="echo", parameters={"delay_ms": 3_000.0})
    streams = [job.events(), job.results(), client.as_completed([job])]
    threads = [threading.Thread(target=list, args=(stream,)) for stream in streams]
    for thread in threads:
        thread.start()
    threading.Event().wait(0.3)

    for stream in streams:
        stream.close()
    for thread in threads:
        thread.join(2.5)

    assert not any(thread.is_alive() for thread in threads)
    assert [list(stream) for stream in streams] == [[], [], []]
    job.cancel()


def test_events_end_in_time_on_both_faces(cluster: Cluster) -> None:
    client = cluster.client()
    job = client.classify(["a"], model="echo", parameters={"delay_ms": 3_000.0})
    said = f"Job {job.job_id} is running, and has no news."
    wait_until(lambda: job.record().state is JobState.RUNNING, "it runs")

    with pytest.raises(TimeoutError) as error:
        list(job.events(timeout_s=0.3))

    async def use() -> str:
        async with an_async_client(cluster) as other:
            with pytest.raises(TimeoutError) as refusal:
                async for _ in other.job(job.job_id).events(timeout_s=0.3):
                    pass
            return str(refusal.value)

    assert (str(error.value), run(use())) == (said, said)
    job.cancel()


def test_items_of_a_wrong_type_become_errors_in_their_places(cluster: Cluster) -> None:
    async def odd() -> AsyncIterator[object]:
        for value in ("good", 7, None, {"text": "fine"}, {"other": "x"}):
            yield value

    async def use(client: AsyncClient) -> list[tuple[str, str]]:
        async with client:
            job = await client.classify(odd(), model="echo")  # type: ignore[arg-type]
            return [(one.custom_id, one.status) async for one in job.results()]

    assert [status for _, status in run(use(an_async_client(cluster)))] == [
        "succeeded",
        "errored",
        "errored",
        "succeeded",
        "errored",
    ]

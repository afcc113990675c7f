"""How a client ends: in order, by an error, in a fork, with its loop, and beside who uses it."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Barrier, Event

import pytest

from async_builders import LOOPS, an_async_client, face_of, faces, run
from checkout import python_path
from seqd.client import Client, JobHandle
from seqd.errors import ClientMisused, JobFailed, NotAllowed
from seqd.ledger import connect
from seqd_schemas import JobState, TenantLimits
from worker_fixtures import Cluster, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]


async def texts(count: int, hangs: asyncio.Event | None = None) -> AsyncIterator[str]:
    """Yield texts; then set `hangs`, if there is one, and yield no more for ever."""
    for number in range(count):
        yield f"text {number}"
    if hangs is not None:
        hangs.set()
        await asyncio.Event().wait()


class Watched:
    """An endless input that knows whether it was closed."""

    is_closed = False

    async def texts(self) -> AsyncIterator[str]:
        try:
            async for text in texts(40, asyncio.Event()):
                yield text
        finally:
            self.is_closed = True


def state_of(cluster: Cluster, job_id: str) -> tuple[JobState, str]:
    record = cluster.client().job(job_id).record()
    return record.state, record.failure.message if record.failure else ""


@faces
def test_all_of_an_input_is_in_the_ledger_after_uploaded_and_after_the_block(
    cluster: Cluster, face: str
) -> None:
    read: list[str] = []

    def noted() -> Iterator[str]:
        for number in range(2_000):
            read.append(text := f"text {number}")
            yield text

    with face_of(cluster, face) as asked:
        job = asked.do(lambda: asked.client.classify(noted(), model="echo"))
        asked.do(job.uploaded)
        assert len(read) == 2_000
        assert asked.do(job.record).sealed
        left = asked.do(lambda: asked.client.classify(noted(), model="echo"))

    assert len(read) == 4_000
    assert cluster.client().job(left.job_id).wait(timeout_s=120).counts.succeeded == 2_000


@faces
def test_what_the_callers_iterable_raises_fails_the_job_and_is_raised_again(
    cluster: Cluster, face: str
) -> None:
    def failing() -> Iterator[str]:
        yield from (f"text {number}" for number in range(100))
        raise OSError("the disk is gone")

    async def failing_later() -> AsyncIterator[str]:
        for text in (f"text {number}" for number in range(100)):
            yield text
        raise OSError("the disk is gone")

    with face_of(cluster, face) as asked:
        items = failing() if face == "blocking" else failing_later()
        job = asked.do(lambda: asked.client.classify(items, model="echo"))  # type: ignore[arg-type]
        for call in (job.uploaded, job.wait, job.results):
            with pytest.raises(OSError, match="the disk is gone"):
                asked.all_of(call)  # type: ignore[arg-type]

    said = "The input broke off after unit 12: OSError: the disk is gone"
    assert state_of(cluster, job.job_id) == (JobState.FAILED, said)
    # Who has not sent it is given its results, each once, and then the reason.
    seen = list[str]()
    with pytest.raises(JobFailed) as raised:
        for result in cluster.client().job(job.job_id).results():
            seen.append(result.custom_id)
    assert raised.value.failure.code == "upload_failed"
    assert len(set(seen)) == len(seen) == 96


@faces
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ZeroDivisionError("the caller's own"), "ZeroDivisionError: the caller's own"),
        (KeyboardInterrupt(), "its sender was interrupted."),
    ],
    ids=["error", "interrupt"],
)
def test_leaving_the_block_by_an_error_fails_the_job_and_does_not_wait_for_its_input(
    cluster: Cluster, face: str, error: BaseException, reason: str
) -> None:
    endless = (f"text {number}" for number in count())
    hanging = Watched()

    with pytest.raises(type(error)), face_of(cluster, face) as asked:
        items = endless if face == "blocking" else hanging.texts()
        job = asked.do(lambda: asked.client.classify(items, model="echo"))  # type: ignore[arg-type]
        raise error

    state, message = state_of(cluster, job.job_id)
    assert state is JobState.FAILED
    assert re.fullmatch(rf"The input broke off after unit \d+: {reason}", message)
    assert hanging.is_closed is (face == "async")


def test_who_leaves_the_block_by_an_error_after_closing_the_client_gets_that_error(
    cluster: Cluster,
) -> None:
    with pytest.raises(ZeroDivisionError), Client(settings=cluster.settings) as client:
        client.classify((f"text {number}" for number in range(2_000)), model="echo")
        client.close()
        raise ZeroDivisionError


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("end", ["uploaded", "aclose"])
def test_who_is_cancelled_while_an_input_is_sent_fails_the_job(
    cluster: Cluster, end: str, loop: str
) -> None:
    async def use() -> str:
        client = an_async_client(cluster)
        hangs = asyncio.Event()
        job = await client.classify(texts(40, hangs), model="echo")
        ending = asyncio.create_task(job.uploaded() if end == "uploaded" else client.aclose())
        await asyncio.sleep(0)  # else it may be cancelled before it has begun
        await hangs.wait()
        assert not ending.done()
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        await client.aclose()
        return job.job_id

    state, message = state_of(cluster, run(use(), loop))

    assert state is JobState.FAILED
    assert message.startswith("The input broke off after unit ")


def test_a_generator_is_closed_whose_job_is_refused(cluster: Cluster) -> None:
    watched = Watched()

    async def use() -> bool:
        cluster.operator().set_tenant("none", TenantLimits(jobs=0))
        async with an_async_client(cluster) as client:
            given = watched.texts()
            with pytest.raises(NotAllowed):
                await client.classify(given, model="echo", tenant="none")
            return watched.is_closed

    assert run(use())


def test_an_upload_goes_on_to_its_end_as_a_client_is_closed(cluster: Cluster) -> None:
    client = Client(settings=cluster.settings)
    is_asked, may_go_on = Event(), Event()

    def draw() -> Iterator[str]:
        yield from (f"text {number}" for number in range(1_500))
        is_asked.set()
        may_go_on.wait(120)
        yield from (f"text {number}" for number in range(500))

    job = client.classify(draw(), model="echo")
    with ThreadPoolExecutor(2) as threads:
        assert is_asked.wait(120)
        reader = threads.submit(lambda: list(client.job(job.job_id).results()))
        closing = threads.submit(client.close)
        may_go_on.set()
        closing.result(120)

        end = reader.exception(120)
        assert end is None or isinstance(end, ClientMisused)

    assert cluster.client().job(job.job_id).wait(timeout_s=120).counts.succeeded == 2_000


def test_an_upload_that_waits_for_room_is_let_go_at_once(empty_cluster: Cluster) -> None:
    empty_cluster.publish_catalog()  # no worker, so nothing makes room
    many = (f"text {number}" for number in count())
    job = empty_cluster.client(max_pending_bytes=1).classify(many, model="echo")

    job.let_go(600.0)  # longer than a test may take

    assert not job.record().sealed
    job.cancel()


#: What a service's threads, or tasks, may be in.
USES: dict[str, Callable[[Client, JobHandle[object]], object]] = {
    "results": lambda client, job: client.job(job.job_id).results(),
    "events": lambda client, job: client.job(job.job_id).events(),
    "wait": lambda client, job: client.job(job.job_id).wait(),
    "own wait": lambda client, job: job.wait(),
    "as_completed": lambda client, job: client.as_completed([client.job(job.job_id)]),
}


@faces
def test_who_uses_a_client_as_it_is_closed_is_told_so(
    cluster: Cluster, cure: Path, face: str
) -> None:
    name = "Client" if face == "blocking" else "AsyncClient"
    asked = face_of(cluster, face)
    job = asked.do(lambda: asked.client.classify(["held"], model="echo"))
    # Each reads twice, so that a connection of the pool is taken by one that was there before.
    uses = [*USES.values()] * 2
    begun = Barrier(len(uses) + 1)

    def end_of(use: Callable[[Client, JobHandle[object]], object]) -> BaseException | None:
        begun.wait()
        try:
            asked.all_of(lambda: use(asked.client, job))  # type: ignore[arg-type, return-value]
        except Exception as error:  # noqa: BLE001 - of which kind it is, is what is asked
            return error
        return None

    with ThreadPoolExecutor(len(uses)) as threads:
        ends = [threads.submit(end_of, use) for use in uses]
        begun.wait()
        # All of them have asked once it has answered some times more than there are of them.
        for _ in range(5 * len(uses)):
            asked.do(asked.client.tenants)

        asked.do(asked.client.close if face == "blocking" else asked.client.aclose)  # type: ignore[attr-defined]

        found = [(type(end.result(120)), str(end.result())) for end in ends]
    with pytest.raises(ClientMisused, match="closed"):
        asked.do(asked.client.catalog)
    with asked:
        pass  # it is closed twice
    cluster.client().job(job.job_id).cancel()
    assert found == [(ClientMisused, f"This {name} is closed. Make another one.")] * len(uses)


def test_an_iterator_of_a_client_that_blocks_is_closed_by_another_thread(
    cluster: Cluster, cure: Path
) -> None:
    client = cluster.client()
    job = client.classify(["held"], model="echo")
    streams = [job.events(), job.results(), client.as_completed([job])]
    with ThreadPoolExecutor(len(streams)) as threads:
        reads = [threads.submit(list, stream) for stream in streams]
        wait_until(lambda: job.record().state is JobState.RUNNING, "the job is held")

        for stream in streams:
            stream.close()

        ended = [read.result(120) for read in reads]
    assert ended[1:] == [[], []]
    assert [list(stream) for stream in streams] == [[], [], []]
    assert job.cancel() is JobState.CANCELLED


@faces
def test_events_end_in_time(cluster: Cluster, cure: Path, face: str) -> None:
    job = cluster.client().classify(["held"], model="echo")
    wait_until(lambda: job.record().state is JobState.RUNNING, "it runs")

    with face_of(cluster, face) as asked, pytest.raises(TimeoutError) as error:
        asked.all_of(lambda: asked.client.job(job.job_id).events(timeout_s=0.3))

    assert str(error.value) == f"Job {job.job_id} is running, and has no news."
    job.cancel()


def test_a_client_of_another_loop_says_so(cluster: Cluster) -> None:
    client = an_async_client(cluster)
    told = []

    def in_a_thread() -> None:
        with pytest.raises(ClientMisused) as refusal:
            asyncio.run(client.catalog())
        told.append(str(refusal.value))

    with asyncio.Runner() as first:
        first.run(client.catalog())
        with asyncio.Runner() as second, pytest.raises(ClientMisused) as error:
            second.run(client.catalog())
        thread = threading.Thread(target=in_a_thread)
        thread.start()
        thread.join()
        first.run(client.aclose())

    assert str(error.value) == (
        "This AsyncClient was used in another event loop before. Make one client for each loop, "
        "in a coroutine that runs there."
    )
    assert told == [str(error.value)]


PROGRAM = """
import asyncio, sys
from seqd.client import AsyncClient

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
    await asyncio.sleep(0)

async def interrupted():
    async with AsyncClient() as client:
        job = await client.classify(texts(), model="echo")
        print(job.job_id, flush=True)
        await job.wait()

asyncio.run(globals()[sys.argv[1]]())
"""

#: The program's way to end, its last line of standard error, and whether its job has failed.
ENDS = [
    ("half", "", False),
    ("unclosed", "", True),
    ("interrupted", "KeyboardInterrupt", True),
]


@pytest.mark.parametrize(("way", "last", "has_failed"), ENDS)
def test_a_program_that_ends_early_warns_of_nothing_and_fails_what_it_has_not_sent(
    cluster: Cluster, way: str, last: str, has_failed: bool
) -> None:
    settings = cluster.settings
    variables = {
        **os.environ,
        "PYTHONPATH": python_path(),
        "SEQD_REDIS_URL": str(settings.redis_url),
        "SEQD_PREFIX": settings.prefix,
    }
    program = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM, way],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    job_id = program.stdout.readline().strip()
    if way == "interrupted":
        program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=120)

    assert (err.strip().splitlines() or [""])[-1].endswith(last)
    assert "destroyed" not in err and "was never awaited" not in err
    if way != "unclosed":  # whoever closes nothing is warned of that
        assert "unclosed" not in err and "ResourceWarning" not in err
    if has_failed:
        assert state_of(cluster, job_id)[0] is JobState.FAILED


def forked(child: Callable[[], bool]) -> bool:
    """Run a function in a fork of this process; returns what it returned there."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(120)  # ends a child that waits for ever
        status = 1
        try:
            status = 0 if child() else 1
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def test_a_process_that_was_forked_leaves_the_upload_to_its_parent(cluster: Cluster) -> None:
    release = Event()

    def items() -> Iterator[str]:
        yield from (f"text {number}" for number in range(40))
        release.wait(120)

    with Client(settings=cluster.settings) as client:
        job = client.classify(items(), model="echo")

        def leaves_by_an_error() -> bool:
            client.__exit__(ValueError, ValueError("the child's"), None)
            return True

        assert forked(leaves_by_an_error)
        release.set()
        assert job.wait(timeout_s=120).counts.succeeded == 40


def test_a_process_that_was_forked_while_a_connection_is_made_makes_its_own(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = connect(str(cluster.settings.redis_url))
    is_making, is_forked = Event(), Event()
    make = redis.connection_pool.make_connection

    def make_slowly() -> object:  # redis-py holds the pool's lock meanwhile
        is_making.set()
        is_forked.wait(120)
        return make()

    monkeypatch.setattr(redis.connection_pool, "make_connection", make_slowly)
    thread = threading.Thread(target=redis.ping)
    thread.start()
    assert is_making.wait(120)

    assert forked(lambda: bool(redis.ping()))
    is_forked.set()
    thread.join(120)

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

"""`seqd up` ends and another one follows: whoever had found the first goes on with the second."""

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from held_ports import hold_port
from seqd.client import AsyncClient, Client
from seqd.errors import RedisUnreachable
from seqd.local.redis_server import EmbeddedServer
from seqd.settings import Settings
from up_builders import Up, running_up
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

#: As many parts as there are daemons: one is killed, one is replaced.
PARTS, PART = 3, 600
TEXTS = [f"text {number}" for number in range(PARTS * PART)]
RESTARTS_S = 300
IDS = [f"row-{number}" for number in range(1, PARTS * PART + 1)]


def leave_no_trace(folder: Path) -> None:
    """Have the next server find neither its password nor room for its socket."""
    (folder / "password").unlink()
    (folder / "redis.sock").mkdir()


def upgrade(up: Up) -> dict[str, object]:
    """End it, and have the next one find neither its password nor room for its socket."""
    up.process.terminate()
    up.process.wait(120)
    leave_no_trace(up.settings.data_dir / "redis")
    return {"others": {"SEQD_REDIS_PORT": str(hold_port(up))}}


@dataclass
class Upload:
    """Texts of which a part comes after each restart, and what came of them."""

    parts_due: int = 1
    ids: list[str] = field(default_factory=list)

    def texts(self) -> Iterator[str]:
        for part in range(PARTS):
            wait_until(lambda number=part: number < self.parts_due, "it is due", RESTARTS_S)
            yield from TEXTS[part * PART : (part + 1) * PART]

    async def texts_of_tasks(self) -> AsyncIterator[str]:
        for part in range(PARTS):
            while part >= self.parts_due:
                await asyncio.sleep(0.05)
            for text in TEXTS[part * PART : (part + 1) * PART]:
                yield text


def serve(settings: Settings, upload: Upload) -> int:
    """Upload and read by threads over the restart; return what a later job has succeeded in."""
    with Client(settings=settings) as client:
        job = client.classify(upload.texts(), model="echo")
        for result in job.results():
            upload.ids.append(result.custom_id)
        later = client.classify(["after"], model="echo")
        return later.wait(timeout_s=120).counts.succeeded


def serve_by_tasks(settings: Settings, upload: Upload) -> int:
    """Do the same by tasks."""

    async def run() -> int:
        async with AsyncClient(settings=settings) as client:
            texts = upload.texts_of_tasks()
            job = await client.classify(texts, model="echo")
            async for result in job.results():
                upload.ids.append(result.custom_id)
            later = await client.classify(["after"], model="echo")
            return (await later.wait(timeout_s=120)).counts.succeeded

    return asyncio.run(run())


def ask_by_threads(settings: Settings, url: str | None = None) -> Generator[None, None, None]:
    with Client(url, settings=settings) as client:
        while True:
            client.tenants()
            yield


def ask_by_tasks(settings: Settings, url: str | None = None) -> Generator[None, None, None]:
    client = AsyncClient(url, settings=settings)
    with asyncio.Runner() as runner:
        try:
            while True:
                runner.run(client.tenants())
                yield
        finally:
            runner.run(client.aclose())


#: By both clients.
ASKS = (ask_by_threads, ask_by_tasks)


def test_a_client_finds_the_next_server_of_its_folder_wherever_that_listens(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path)
    with ExitStack() as stack:
        with EmbeddedServer(settings) as server:
            asking = [stack.enter_context(closing(asks(settings))) for asks in ASKS]
            for one in asking:
                next(one)
            before = server.url

        leave_no_trace(server.folder)
        with EmbeddedServer(settings) as server:
            for one in asking:
                next(one)
            assert server.url != before

        (server.folder / "password").unlink()
        with EmbeddedServer(settings):
            for one in asking:
                next(one)


def test_a_client_that_was_given_an_address_looks_nowhere_else(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "mine", outage_s=0)
    with EmbeddedServer(settings), ExitStack() as stack:
        with EmbeddedServer(Settings(data_dir=tmp_path / "given")) as given:
            asking = [stack.enter_context(closing(asks(settings, given.url))) for asks in ASKS]
            for one in asking:
                next(one)

        for one in asking:
            with pytest.raises(RedisUnreachable):
                next(one)


@pytest.mark.slow
def test_a_service_goes_on_over_a_restart_of_seqd_up(tmp_path: Path) -> None:
    uploads = [Upload(), Upload()]
    changes: dict[str, object] = {}
    with ThreadPoolExecutor() as threads:
        with running_up(tmp_path) as up:
            services = [
                threads.submit(serve, up.settings, uploads[0]),
                threads.submit(serve_by_tasks, up.settings, uploads[1]),
            ]
            wait_until_read(uploads)
            before = up.endpoint().url
            up.kill()
        for restart in (upgrade, None):
            with running_up(tmp_path, **changes) as up:  # type: ignore[arg-type]
                assert (up.endpoint().url != before) is (restart is None)
                for upload in uploads:
                    upload.parts_due += 1
                if restart is None:
                    succeeded = [service.result(120) for service in services]
                else:
                    wait_until_read(uploads)
                    changes = restart(up)

    assert [upload.ids for upload in uploads] == [IDS, IDS]
    assert succeeded == [1, 1]


def wait_until_read(uploads: list[Upload]) -> None:
    """Wait until something was read of the part that came last."""
    for upload in uploads:
        least = (upload.parts_due - 1) * PART
        wait_until(lambda one=upload, n=least: len(one.ids) > n, "it is read, as it is computed")

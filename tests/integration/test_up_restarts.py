"""`seqd up` ends and another one follows: whoever had found the first goes on with the second."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest

from held_ports import Holder, hold_port
from seqd.client import AsyncClient, Client
from seqd.errors import RedisUnreachable
from seqd.local.redis_server import EmbeddedServer
from seqd.settings import Settings
from up_builders import Up, running_up

pytestmark = pytest.mark.processes

Asks = Callable[..., Generator[None, None, None]]

TEXTS = [f"text {number}" for number in range(2_000)]
IDS = [f"row-{number}" for number in range(1, 2_001)]
HALF = 1_500


def leave_no_trace(folder: Path) -> None:
    """Have the next server find neither its password nor room for its socket."""
    (folder / "password").unlink()
    (folder / "redis.sock").mkdir()


def end_in_order(up: Up) -> dict[str, object]:
    up.process.terminate()
    up.process.wait(40)
    return {}


def kill(up: Up) -> dict[str, object]:
    up.kill()
    return {}


def upgrade(up: Up) -> dict[str, object]:
    """End it, and have the next one find neither its password nor room for its socket."""
    end_in_order(up)
    leave_no_trace(up.settings.data_dir / "redis")
    return {"others": {"SEQD_REDIS_PORT": str(hold_port(Holder()))}}


@dataclass
class Upload:
    """Texts of which the second half comes after the restart, and what came of them."""

    is_half_read: Event = field(default_factory=Event)
    may_go_on: Event = field(default_factory=Event)
    ids: list[str] = field(default_factory=list)

    def texts(self) -> Iterator[str]:
        yield from TEXTS[:HALF]
        self.may_go_on.wait()
        yield from TEXTS[HALF:]

    async def texts_of_tasks(self) -> AsyncIterator[str]:
        for text in TEXTS[:HALF]:
            yield text
        while not self.may_go_on.is_set():
            await asyncio.sleep(0.05)
        for text in TEXTS[HALF:]:
            yield text

    def note(self, custom_id: str) -> None:
        self.ids.append(custom_id)
        if len(self.ids) == 1:
            self.is_half_read.set()


def serve(settings: Settings, upload: Upload) -> int:
    """Upload and read by threads over the restart; return what a later job has succeeded in."""
    with Client(settings=settings) as client:
        job = client.classify(upload.texts(), model="echo")
        for result in job.results():
            upload.note(result.custom_id)
        later = client.classify(["after"], model="echo")
        return later.wait(timeout_s=40).counts.succeeded


def serve_by_tasks(settings: Settings, upload: Upload) -> int:
    """Do the same by tasks."""

    async def run() -> int:
        async with AsyncClient(settings=settings) as client:
            texts = upload.texts_of_tasks()
            job = await client.classify(texts, model="echo")
            async for result in job.results():
                upload.note(result.custom_id)
            later = await client.classify(["after"], model="echo")
            return (await later.wait(timeout_s=40)).counts.succeeded

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


@pytest.mark.parametrize("asks", [ask_by_threads, ask_by_tasks])
def test_a_client_finds_the_next_server_of_its_folder_wherever_that_listens(
    tmp_path: Path, asks: Asks
) -> None:
    settings = Settings(data_dir=tmp_path)
    with ExitStack() as stack:
        with EmbeddedServer(settings) as server:
            asking = stack.enter_context(closing(asks(settings)))
            next(asking)
            before = server.url

        leave_no_trace(server.folder)
        with EmbeddedServer(settings) as server:
            next(asking)
            assert server.url != before

        (server.folder / "password").unlink()
        with EmbeddedServer(settings):
            next(asking)


@pytest.mark.parametrize("asks", [ask_by_threads, ask_by_tasks])
def test_a_client_that_was_given_an_address_looks_nowhere_else(tmp_path: Path, asks: Asks) -> None:
    settings = Settings(data_dir=tmp_path / "mine", outage_s=0)
    with EmbeddedServer(settings), ExitStack() as stack:
        with EmbeddedServer(Settings(data_dir=tmp_path / "given")) as given:
            asking = stack.enter_context(closing(asks(settings, given.url)))
            next(asking)

        with pytest.raises(RedisUnreachable):
            next(asking)


@pytest.mark.slow
@pytest.mark.parametrize("restart", [end_in_order, kill, upgrade])
def test_a_service_goes_on_over_a_restart_of_seqd_up(
    tmp_path: Path, restart: Callable[[Up], dict[str, object]]
) -> None:
    uploads = [Upload(), Upload()]
    with ThreadPoolExecutor() as threads:
        with running_up(tmp_path) as up:
            services = [
                threads.submit(serve, up.settings, uploads[0]),
                threads.submit(serve_by_tasks, up.settings, uploads[1]),
            ]
            assert all(upload.is_half_read.wait(40) for upload in uploads)
            before = up.endpoint().url
            changes = restart(up)

        with running_up(tmp_path, **changes) as up:  # type: ignore[arg-type]
            is_another = up.endpoint().url != before
            for upload in uploads:
                upload.may_go_on.set()
            succeeded = [service.result(60) for service in services]

    assert is_another is (restart is upgrade)
    assert [upload.ids for upload in uploads] == [IDS, IDS]
    assert succeeded == [1, 1]

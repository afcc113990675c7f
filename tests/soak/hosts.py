"""The hosts of a soak: two with `seqd up` on one Redis, all real.

The first has the embedded Redis, two serving slots and one that trains. The second loads only the
plugin `dying`, so that the children of the first are never restarted and their memory can be
followed from the start to the end.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from checkout import python_path
from seqd.client import Client
from seqd.local.endpoint import ENDPOINT_NAME, read_endpoint, server_folder
from seqd.local.parent_death import launch_command
from seqd.models.store import ModelStore
from seqd.models.version_files import VersionDraft
from seqd.settings import Settings
from seqd_schemas import DataFingerprint, WorkerState

PLUGIN = Path(__file__).parent / "plugin"
READY_S = 180.0

#: Slots of each host, and the plugins that it loads.
FIRST, SECOND = ("cpu:0,cpu:1,train@cpu", "imdb_lstm,markov,raising"), ("cpu:0", "dying")
WORKERS = 4


@dataclass(frozen=True)
class Host:
    """One `seqd up` and the folder that it writes to."""

    name: str
    folder: Path
    pid: int

    @property
    def store(self) -> ModelStore:
        """The model store of the host."""
        return ModelStore(Settings(data_dir=self.folder).store_dir, {})

    def processes(self) -> dict[str, psutil.Process]:
        """Return the host's processes that live now, by what they are.

        `up`, `redis`, and of each slot `SLOT parent` and `SLOT child`. Shared memory trackers and
        watchdogs are left out: they are the same few lines of Python all the time.
        """
        up = psutil.Process(self.pid)
        found = {f"{self.name} up": up}
        for process in up.children():
            words = _words(process)
            if any("redis-server" in word or "valkey-server" in word for word in words[:1]):
                found["redis"] = process
            elif "--slot" in words:
                slot = words[words.index("--slot") + 1]
                found[f"{self.name} {slot} parent"] = process
                for child in process.children():
                    if any(
                        "spawn_main" in word or "--multiprocessing-fork" in word
                        for word in _words(child)
                    ):
                        found[f"{self.name} {slot} child"] = child
        return found


@dataclass(frozen=True)
class Hosts:
    """Both hosts, at work."""

    first: Host
    second: Host
    client: Client
    url: str


@contextmanager
def hosts(folder: Path, more: Mapping[str, str]) -> Iterator[Hosts]:
    """Start both; yield when all workers are ready. `more` are settings of both."""
    with ExitStack() as stack:
        first = stack.enter_context(_host("first", folder, FIRST, dict(more)))
        url = _url_when_up(first.folder)
        second = stack.enter_context(
            _host("second", folder, SECOND, {**more, "SEQD_REDIS_URL": url})
        )
        settings = Settings(redis_url=url, data_dir=first.folder)
        client = stack.enter_context(Client(settings=settings))
        _wait_until_ready(client)
        yield Hosts(first, second, client, url)


@contextmanager
def _host(
    name: str, folder: Path, slots_and_plugins: tuple[str, str], more: Mapping[str, str]
) -> Iterator[Host]:
    slots, plugins = slots_and_plugins
    data_dir = folder / name
    data_dir.mkdir()
    for model in plugins.split(","):
        publish_first(ModelStore(Settings(data_dir=data_dir).store_dir, {}), model)
    variables = {
        "SEQD_DATA_DIR": str(data_dir),
        "SEQD_ENABLED_PLUGINS": plugins,
        "PYTHONPATH": python_path(PLUGIN),
        # Else a file is refused on the second host, whose Redis is another's.
        "SEQD_INPUT_ROOTS": str(folder),
        **more,
    }
    with (folder / f"{name}.log").open("wb") as log:
        up = subprocess.Popen(
            # It ends with the soak, also when that is killed.
            launch_command(
                [sys.executable, "-P", "-m", "seqd", "up", "--slots", slots], signal.SIGTERM
            ),
            env={**os.environ, **variables},
            stdout=log,
            stderr=log,
        )
        try:
            yield Host(name, data_dir, up.pid)
        finally:
            up.terminate()
            try:
                up.wait(60)
            except subprocess.TimeoutExpired:
                up.kill()
                up.wait()


def publish_first(store: ModelStore, model: str) -> None:
    """Put a first version of a model that has no starter into the store."""
    if model not in ("raising", "dying"):
        return
    folder = store.new_folder(model, "setup")
    (folder / "faulty.json").write_text("{}")
    fingerprint = DataFingerprint(description="nothing", records=1, sha256="0" * 64)
    store.publish(
        folder,
        VersionDraft(
            model=model,
            plugin_version="1.0",
            parameters={},
            metrics={},
            data=fingerprint,
            created_at_ms=1,
        ),
    )


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has just ended
        return []


def _url_when_up(folder: Path) -> str:
    path = server_folder(Settings(data_dir=folder)) / ENDPOINT_NAME
    deadline = time.monotonic() + READY_S
    while (endpoint := read_endpoint(path) if path.exists() else None) is None:
        if time.monotonic() > deadline:
            sys.exit(f"the embedded Redis was not ready within {READY_S:g} s")
        time.sleep(0.1)
    return endpoint.url


def _wait_until_ready(client: Client) -> None:
    deadline = time.monotonic() + READY_S
    while sum(worker.state is WorkerState.READY for worker in client.workers()) < WORKERS:
        if time.monotonic() > deadline:
            sys.exit(f"the workers were not ready within {READY_S:g} s")
        time.sleep(0.2)

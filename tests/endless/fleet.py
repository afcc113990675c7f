"""The hosts of an endless run: two with `seqd up` on one Redis, all real.

The first has the embedded Redis. Each has a folder of data, and so a model store, of its own.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from seqd.client import Client
from seqd.errors import REDIS_ERRORS
from seqd.models.store import ModelStore
from seqd.settings import Settings
from seqd_schemas import WorkerState, WorkerStatus
from store_builders import publish
from up_builders import Up, running_up
from worker_fixtures import wait_until

PLUGIN = Path(__file__).parent / "plugin"
READY_S = 180.0
LEASE_S = 5.0
#: Seconds that the workers of a host may need to come back: their models stay in the catalog, and
#: what they alone can run is not given up.
START_S = 60.0
#: What an answer may take while faults go on; longer is a daemon that hangs.
ANSWER_S = 60.0

#: Slots of each host, and the plugins that it loads, by what is worked on. Of mixed work the second
#: host alone loads `dying`: the memory of the first one's children can be followed to the end.
HOSTS: Mapping[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "mixed": (("cpu:0,cpu:1,train@cpu", "imdb_lstm,markov,pace"), ("cpu:0", "dying")),
    "pace": (("cpu:0,cpu:1,cpu:2", "pace"), ("cpu:0", "pace")),
    "reviews": (("cpu:0,cpu:1,cpu:2", "imdb_lstm"), ("cpu:0", "imdb_lstm")),
}

#: A model made with `pace`, whose versions begin each label with their number.
STEERED, STEERED_VERSIONS = "steered", 3

T = TypeVar("T")


@dataclass(frozen=True)
class Host:
    """One `seqd up` and the folder that it writes to."""

    name: str
    up: Up

    @property
    def folder(self) -> Path:
        """Its folder of data."""
        return self.up.settings.data_dir

    def processes(self) -> dict[str, psutil.Process]:
        """Return the host's processes that live now, by what they are.

        `up`, `redis`, and of each slot `SLOT parent` and `SLOT child`. Shared memory trackers and
        watchdogs are left out: they are the same few lines of Python all the time.
        """
        up = psutil.Process(self.up.process.pid)
        found = {f"{self.name} up": up}
        for process in up.children():
            words = _words(process)
            if any("redis-server" in word or "valkey-server" in word for word in words[:1]):
                found["redis"] = process
            elif "--slot" in words:
                slot = words[words.index("--slot") + 1]
                found[f"{self.name} {slot} parent"] = process
                for child in _children(process):
                    if any("spawn_main" in word or "-fork" in word for word in _words(child)):
                        found[f"{self.name} {slot} child"] = child
        return found

    def workers(self) -> list[int]:
        """Return the process group of each worker, also of one that has not said it is there."""
        return [one.pid for name, one in self.processes().items() if name.endswith(" parent")]


@dataclass(frozen=True)
class Fleet:
    """Both hosts, at work."""

    first: Host
    second: Host
    client: Client
    settings: Settings

    @property
    def url(self) -> str:
        """Address of the embedded Redis, which stays the same when it is started again."""
        return str(self.settings.redis_url)

    def workers(self) -> list[WorkerStatus]:
        """Return the workers whose process lives, by what they have said of themselves."""
        return [one for one in patiently(self.client.workers) if psutil.pid_exists(one.pid)]

    def late_commits(self) -> int:
        """Count the commits that the ledger refused, by what the workers' logs say."""
        logs = [log for host in (self.first, self.second) for log in host.folder.glob("logs/*")]
        return sum(log.read_text(errors="replace").count("commit of unit=") for log in logs)


@contextmanager
def a_fleet(folder: Path, works_on: str, variables: Mapping[str, str]) -> Iterator[Fleet]:
    """Start both; yield when all workers are ready. `variables` are of both hosts."""
    hosts, ups = HOSTS[works_on], []
    own = {"SEQD_INPUT_ROOTS": str(folder), **variables}
    with ExitStack() as stack:
        for name, (slots, plugins) in zip(("first", "second"), hosts, strict=True):
            (folder / name).mkdir()
            store = ModelStore(Settings(data_dir=folder / name / "data").store_dir, {})
            for model in {"pace", "dying"} & {*plugins.split(",")}:
                publish(store, model)
            if works_on == "mixed" and name == "first":
                for number in range(1, STEERED_VERSIONS + 1):
                    publish(store, STEERED, "pace", json.dumps({"prefix": f"{number}:"}))
            up = running_up(
                folder / name, plugins=plugins, plugin_folders=(PLUGIN,), slots=slots,
                ready_s=READY_S, lease_s=LEASE_S, heartbeat_s=1.0, reconcile_s=1.0,
                unfit_grace_s=START_S, others=own,
            )  # fmt: skip
            ups.append(stack.enter_context(up))
            own = {**own, "SEQD_REDIS_URL": ups[0].endpoint().url}
        settings = ups[0].settings.model_copy(update={"redis_url": ups[0].endpoint().url})
        client = stack.enter_context(Client(settings=settings))
        slots_of_all = sum(len(slots.split(",")) for slots, _ in hosts)
        wait_until(lambda: _ready(client) == slots_of_all, "all workers are ready", READY_S)
        yield Fleet(Host("first", ups[0]), Host("second", ups[1]), client, settings)


def patiently(ask: Callable[[], T]) -> T:
    """Ask until Redis answers: a run takes it away on purpose."""
    deadline = time.monotonic() + ANSWER_S
    while True:
        try:
            return ask()
        except REDIS_ERRORS:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _ready(client: Client) -> int:
    return sum(worker.state is WorkerState.READY for worker in client.workers())


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has just ended
        return []


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.Error:
        return []

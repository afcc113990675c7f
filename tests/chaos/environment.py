"""The environment of a chaos run: two hosts with `seqd up` and a client, all real.

The first host has the embedded Redis, both work on it. Each has a model store of its own.

Knows nothing of faults or of what the job is.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from checkout import python_path
from seqd.client import Client
from seqd.errors import REDIS_ERRORS
from seqd.local.endpoint import ENDPOINT_NAME, Endpoint, read_endpoint, server_folder
from seqd.settings import Settings
from seqd_schemas import WorkerState

PLUGIN = Path(__file__).parent / "plugin"
LEASE_S = 5.0
READY_S = 90.0
#: What an answer may take while faults go on; longer is a daemon that hangs.
ANSWER_S = 60.0

T = TypeVar("T")


@dataclass(frozen=True)
class Environment:
    """Two hosts at work on one Redis, which the first one's `seqd up` has started."""

    settings: Settings
    client: Client
    #: Of `seqd up` on each host; the workers are their children.
    up_pids: tuple[int, ...]
    #: The data folder of each host; each has a model store of its own.
    folders: tuple[Path, ...]

    @property
    def url(self) -> str:
        """Address of the embedded Redis, which stays the same when it is started again."""
        assert self.settings.redis_url is not None
        return self.settings.redis_url

    @property
    def redis_pid(self) -> int:
        """The process of the embedded Redis as it is now."""
        return _endpoint(self.folders[0]).pid

    @property
    def second_store(self) -> Path:
        """The model store of the second host, which has one worker."""
        return Settings(data_dir=self.folders[1]).store_dir

    def late_commits(self) -> int:
        """Count the commits that the ledger refused, by what the workers' logs say."""
        logs = [log for folder in self.folders for log in (folder / "logs").iterdir()]
        texts = (log.read_text(errors="replace") for log in logs)
        return sum(text.count("commit of unit=") for text in texts)


@contextmanager
def environment(
    plugin: str, slots: int, prepare: Callable[[Settings], None]
) -> Iterator[Environment]:
    """Start the hosts, `prepare` done before on each; yields when all workers are ready."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folders = (Path(name) / "first", Path(name) / "second")
        for folder in folders:
            folder.mkdir()
            prepare(Settings(data_dir=folder))
        up_pids = [stack.enter_context(_daemon(folders[0], plugin, slots - 1, None))]
        url = _url_when_up(folders[0])
        up_pids.append(stack.enter_context(_daemon(folders[1], plugin, 1, url)))
        settings = Settings(redis_url=url, data_dir=folders[0])
        client = stack.enter_context(Client(settings=settings))
        _wait_until_ready(client, slots)
        yield Environment(settings, client, tuple(up_pids), folders)


def patiently(ask: Callable[[], T]) -> T:
    """Ask until Redis answers: this run takes it away on purpose."""
    deadline = time.monotonic() + ANSWER_S
    while True:
        try:
            return ask()
        except REDIS_ERRORS:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@contextmanager
def _daemon(folder: Path, plugin: str, slots: int, redis_url: str | None) -> Iterator[int]:
    """Run `seqd up`, on a Redis of its own where none is given."""
    variables = {
        "SEQD_DATA_DIR": str(folder),
        "SEQD_ENABLED_PLUGINS": plugin,
        "SEQD_LEASE_S": str(LEASE_S),
        "SEQD_HEARTBEAT_S": "1",
        "SEQD_RECONCILE_S": "1",
        # A unit may be under way in many kills; none of them is its own doing.
        "SEQD_MAX_ATTEMPTS": "20",
        "PYTHONPATH": python_path(PLUGIN),
    }
    if redis_url is not None:
        variables["SEQD_REDIS_URL"] = redis_url
    # Serving slots: one thread each, where one that trains as well would take every core.
    names = ",".join(f"cpu:{number}" for number in range(slots))
    with (folder / "up.log").open("wb") as log:
        up = subprocess.Popen(
            [sys.executable, "-m", "seqd", "up", "--slots", names],
            env={**os.environ, **variables},
            stdout=log,
            stderr=log,
        )
        try:
            yield up.pid
        finally:
            _end(up)


def _endpoint(folder: Path) -> Endpoint:
    endpoint = read_endpoint(server_folder(Settings(data_dir=folder)) / ENDPOINT_NAME)
    assert endpoint is not None, "no embedded Redis has been started"
    return endpoint


def _url_when_up(folder: Path) -> str:
    path = server_folder(Settings(data_dir=folder)) / ENDPOINT_NAME
    deadline = time.monotonic() + READY_S
    while not path.exists():
        if time.monotonic() > deadline:
            sys.exit(f"the embedded Redis was not ready within {READY_S:g} s")
        time.sleep(0.1)
    return _endpoint(folder).url


def _wait_until_ready(client: Client, slots: int) -> None:
    deadline = time.monotonic() + READY_S
    while _ready(client) < slots or not patiently(client.catalog):
        if time.monotonic() > deadline:
            sys.exit(f"the workers were not ready within {READY_S:g} s")
        time.sleep(0.2)


def _ready(client: Client) -> int:
    return sum(worker.state is WorkerState.READY for worker in patiently(client.workers))


def _end(program: "subprocess.Popen[bytes]") -> None:
    program.terminate()
    try:
        program.wait(60)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()

"""The environment of a chaos run: a Redis of its own, `seqd up` on it, a client, all real.

Knows nothing of faults or of what the job is.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from redis_fixtures import PrivateServer
from seqd.client import Client
from seqd.errors import REDIS_ERRORS
from seqd.local.redis_binaries import find_server_binaries
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
    """A daemon at work."""

    settings: Settings
    server: PrivateServer
    client: Client
    #: Of `seqd up`; the workers are its children.
    up_pid: int

    def late_commits(self) -> int:
        """Count the commits that the ledger refused, by what the workers' logs say."""
        logs = (self.settings.data_dir / "logs").iterdir()
        texts = (log.read_text(errors="replace") for log in logs)
        return sum(text.count("commit of unit=") for text in texts)


@contextmanager
def environment(
    plugin: str, slots: int, prepare: Callable[[Settings], None]
) -> Iterator[Environment]:
    """Start a daemon, `prepare` done before; yields its environment when all workers are ready."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "redis").mkdir()
        server = PrivateServer(find_server_binaries()[0], folder / "redis")
        server.start()
        try:
            settings = Settings(redis_url=server.url, data_dir=folder)
            prepare(settings)
            with _daemon(settings, plugin, slots) as up_pid, Client(settings=settings) as client:
                _wait_until_ready(client, slots)
                yield Environment(settings, server, client, up_pid)
        finally:
            server.stop()


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
def _daemon(settings: Settings, plugin: str, slots: int) -> Iterator[int]:
    variables = {
        "SEQD_REDIS_URL": settings.redis_url or "",
        "SEQD_DATA_DIR": str(settings.data_dir),
        "SEQD_ENABLED_PLUGINS": plugin,
        "SEQD_LEASE_S": str(LEASE_S),
        "SEQD_HEARTBEAT_S": "1",
        "SEQD_RECONCILE_S": "1",
        # A unit may be under way in many kills; none of them is its own doing.
        "SEQD_MAX_ATTEMPTS": "20",
        "PYTHONPATH": str(PLUGIN),
    }
    # Serving slots: one thread each, where one that trains as well would take every core.
    names = ",".join(f"cpu:{number}" for number in range(slots))
    with (settings.data_dir / "up.log").open("wb") as log:
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

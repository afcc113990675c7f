"""The demo's own daemon: a Redis server and workers, in a folder that is removed at the end.

Started exactly as `seqd up` does, with the workers' supervisor in a thread. On a Redis that
SEQD_REDIS_URL names it keeps to key names of its own, and removes them at the end.
"""

import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from seqd.cli.daemon import Daemon
from seqd.client import Client
from seqd.errors import InvalidSettings, RedisUnreachable
from seqd.ledger import connect
from seqd.ledger.connection import redis_errors
from seqd.server import running_server
from seqd.settings import Settings
from seqd.slots import Slot, parse_slots
from seqd.supervisor import Change, WorkerChange
from seqd.supervisor.logs import last_lines

#: Workers import the plugins and nothing heavier, so a few seconds are the rule.
READY_TIMEOUT_S = 90.0

_POLL_S = 0.05
_LOG_LINES = 8
#: A worker has 30 s for its unit once it is to stop; then it is killed.
_STOP_TIMEOUT_S = 45.0


@dataclass(frozen=True, slots=True)
class Environment:
    """A daemon that runs, a client of it, and a folder for the demo's files."""

    client: Client
    url: str
    folder: Path
    slots: tuple[Slot, ...]
    seconds_to_ready: float


@contextmanager
def open_environment(settings: Settings) -> Iterator[Environment]:
    """Run a daemon for the time of a `with` block; nothing of it is left afterwards.

    Raises RedisUnreachable or RedisRefused for a server that is given and does not answer,
    and InvalidSettings, with the end of the log, when the workers do not get ready.
    """
    with tempfile.TemporaryDirectory(prefix="seqd-demo-", ignore_cleanup_errors=True) as name:
        own = _own_settings(settings, Path(name))
        with running_server(own) as url, _removing_keys(own, url):
            yield from _with_workers(own, url, Path(name))


def _with_workers(settings: Settings, url: str, folder: Path) -> Iterator[Environment]:
    slots = parse_slots(settings.slots)
    readiness = _Readiness(slots)
    began_s = time.monotonic()
    daemon = Daemon(settings, url, slots, readiness.update)
    # Not a daemon thread: the workers would be killed with it, not stopped.
    thread = Thread(target=daemon.run, name="seqd-supervisor")
    thread.start()
    try:
        readiness.wait_until_ready(thread)
        with Client(url, settings=settings) as client:
            yield Environment(client, url, folder, slots, time.monotonic() - began_s)
    finally:
        daemon.stop()
        thread.join(_STOP_TIMEOUT_S)


class _Readiness:
    """Waits until the supervisor has reported every worker ready."""

    def __init__(self, slots: tuple[Slot, ...]) -> None:
        self._missing = {slot.name for slot in slots}
        self._ready = Event()
        self._fault = ""

    def update(self, change: WorkerChange) -> None:
        """Note a change; runs in the supervisor's thread."""
        if change.change is Change.READY:
            self._missing.discard(change.slot)
        elif change.change in (Change.GAVE_UP, Change.DIED):
            end = "\n".join(last_lines(change.log, _LOG_LINES))
            self._fault = f"The one on {change.slot} {change.change}. Its log ends with:\n{end}"
        if not self._missing:
            self._ready.set()

    def wait_until_ready(self, supervisor: Thread) -> None:
        """Return once every slot's worker is ready; raise InvalidSettings if that fails."""
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while not self._ready.wait(_POLL_S):
            if not supervisor.is_alive() or time.monotonic() > deadline_s:
                missing = ", ".join(sorted(self._missing))
                raise InvalidSettings(
                    f"the workers on {missing} did not get ready. {self._fault}".rstrip()
                )


def _own_settings(settings: Settings, folder: Path) -> Settings:
    own: dict[str, object] = {"data_dir": folder, "input_roots": (folder,), "redis_port": 0}
    if settings.redis_url is not None:
        own["prefix"] = f"seqd-demo-{secrets.token_hex(4)}"
    # Also marks them as set, so that the workers get them.
    return settings.model_copy(update=own)


@contextmanager
def _removing_keys(settings: Settings, url: str) -> Iterator[None]:
    """Raise where the server does not answer; at the end remove the demo's keys from it."""
    with connect(url, retries=1) as redis:
        with redis_errors(redis):
            redis.ping()
        try:
            yield
        finally:
            # Where the server has gone by now, what led here is the error to report.
            with suppress(RedisUnreachable), redis_errors(redis):
                for key in redis.scan_iter(match=f"{settings.prefix}:*", count=1_000):
                    redis.unlink(key)

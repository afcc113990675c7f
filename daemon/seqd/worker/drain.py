"""How a worker is told to end: the file by which its parent tells its child to drain, and why."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from seqd.errors import DeviceLost, DeviceUnavailable, SeqdError, UnusableSlot
from seqd.local.run_files import DRAINING, RunFolder
from seqd.settings import Settings

#: Seconds for which a worker that is to end waits for a Redis that is away, so that it can commit
#: what it has. `seqd up` and Kubernetes kill it after 30 s.
OUTAGE_WAIT_S = 5.0

END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


class DrainFlag:
    """By which a node and its child tell each other that nothing more is claimed: a file.

    It is empty, or has the error of a device because of which the worker ends. A file, because it
    must reach probes, and a next worker of this name, which learns that it was asked to end.
    """

    def __init__(self, settings: Settings, worker: str) -> None:
        self._path = RunFolder(settings.data_dir).file(worker, DRAINING)
        self._finish_s = settings.drain_s
        self._seen_at_s: float | None = None

    def raise_(self, error: SeqdError | None = None) -> None:
        """Create the file, with an error of a device if there is one; of these the first counts."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch()
        if error is not None and self.error() is None:
            with suppress(OSError):  # the disk is full
                self._path.write_text(f"{error.code} {error}", encoding="utf-8")

    def is_raised(self) -> bool:
        """Return True when the file is there."""
        return self._path.exists()

    def error(self) -> SeqdError | None:
        """Return the error of its device for which the worker ends; None for another end."""
        said = self._path.read_text(encoding="utf-8") if self.is_raised() else ""
        code, _, message = said.partition(" ")
        if not code:
            return None
        kinds = (UnusableSlot, DeviceLost)
        return next((kind for kind in kinds if kind.code == code), DeviceUnavailable)(message)

    def lower(self) -> None:
        """Remove the file; at boot and when the node has stopped."""
        self._path.unlink(missing_ok=True)

    def is_over(self) -> bool:
        """Return True once items in hand have had `SEQD_DRAIN_S` to be finished.

        Counted from when this process first sees the flag here, which costs it a unit of some
        milliseconds at most.
        """
        if not self.is_raised():
            self._seen_at_s = None
            return False
        if self._seen_at_s is None:
            self._seen_at_s = monotonic()
        return monotonic() - self._seen_at_s >= self._finish_s


def ask_parent_to_end() -> None:
    """Have the node of this child drain and end."""
    os.kill(os.getppid(), signal.SIGTERM)


class GivesUpInDrain:
    """Says when a child that drains should no longer wait for a Redis that is away."""

    def __init__(self, drain: DrainFlag, on_wait: Callable[[], None]) -> None:
        """`on_wait` is called while it waits on."""
        self._drain = drain
        self._on_wait = on_wait
        self._seen_at: float | None = None

    def __call__(self) -> bool:
        """Return True from `OUTAGE_WAIT_S` seconds after the first call in a drain on."""
        self._on_wait()
        if not self._drain.is_raised():
            self._seen_at = None
            return False
        if self._seen_at is None:
            self._seen_at = monotonic()
        return monotonic() - self._seen_at >= OUTAGE_WAIT_S


def ignore_end_signals() -> None:
    """Ignore them in a child, whose parent ends it, when a terminal signals the whole group."""
    for number in END_SIGNALS:
        signal.signal(number, signal.SIG_IGN)

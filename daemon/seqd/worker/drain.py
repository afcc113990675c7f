"""How a worker is told to end: files by which its parent tells its child to drain, and why."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from seqd.errors import DeviceLost, DeviceUnavailable, SeqdError, UnusableSlot
from seqd.local.run_files import DEVICE_FAULT, DRAINING, RunFolder
from seqd.settings import Settings

#: Seconds for which a worker that is to end waits for a Redis that is away, so that it can commit
#: what it has. `seqd up` and Kubernetes kill it after 30 s.
OUTAGE_WAIT_S = 5.0

END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


class Flag:
    """What a node and its pool child tell each other: an empty file.

    A file, because the two are different programs since `spawn`, and because it must reach the
    other while Redis is away.
    """

    def __init__(self, settings: Settings, worker: str, name: str) -> None:
        self._path = RunFolder(settings.data_dir).file(worker, name)

    def raise_(self) -> None:
        """Create the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch()

    def is_raised(self) -> bool:
        """Return True when the file is there."""
        return self._path.exists()

    def lower(self) -> None:
        """Remove the file; at boot and when the node has stopped."""
        self._path.unlink(missing_ok=True)


class DrainFlag(Flag):
    """By which a node tells its child to claim nothing more."""

    def __init__(self, settings: Settings, worker: str) -> None:
        super().__init__(settings, worker, DRAINING)
        self._finish_s = settings.drain_s
        self._seen_at_s: float | None = None

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


class DeviceFlag(Flag):
    """By which a worker is to end because of its device; who ends it notes with what error."""

    def __init__(self, settings: Settings, worker: str) -> None:
        super().__init__(settings, worker, DEVICE_FAULT)

    def raise_for(self, error: SeqdError) -> None:
        """Create the file, with an error of a device in it. The first one counts."""
        if self.is_raised():
            return
        self.raise_()
        with suppress(OSError):  # the disk is full: an empty file says that the device is sick
            self._path.write_text(f"{error.code} {error}", encoding="utf-8")

    def error(self) -> SeqdError:
        """Return the error that the file holds."""
        code, _, message = self._path.read_text(encoding="utf-8").partition(" ")
        kinds = (UnusableSlot, DeviceLost)
        kind = next((kind for kind in kinds if kind.code == code), DeviceUnavailable)
        return kind(message or "The worker's device stays sick, and a new process may mend it.")


def end_for_device(
    error: SeqdError, device: DeviceFlag, drain: DrainFlag, end_node: Callable[[], None]
) -> None:
    """Have the whole worker of this child end with the status of an error of its device.

    A new process often finds a sick device well, and whoever supervises the worker starts one.
    """
    device.raise_for(error)
    drain.raise_()
    end_node()


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

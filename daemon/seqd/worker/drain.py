"""How a worker ends: signals ask its parent to drain, and a file tells its child.

Each signal that asks for an end lets the worker finish its unit and exit 0. This replaces Celery's
own handlers, by which SIGQUIT, and SIGTERM where `REMAP_SIGTERM` says so, end the child in the
middle of a unit, SIGINT exits 1, SIGHUP starts the program again, and a second signal drops what
is in hand. SIGCHLD has Celery replace its child at once; by itself it often notices the child's end
only 5 s later.
"""

import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from types import FrameType

from billiard.semaphore_tracker import ensure_running
from celery.apps.worker import Worker
from celery.worker import state
from kombu.asynchronous import get_event_loop

from seqd.errors import DeviceLost, DeviceUnavailable, SeqdError, UnusableSlot
from seqd.local.run_files import DEVICE_FAULT, DRAINING, RunFolder
from seqd.settings import Settings

log = logging.getLogger(__name__)

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


def end_for_device(error: SeqdError, device: DeviceFlag, drain: DrainFlag) -> None:
    """Have the whole worker of this child end with the status of an error of its device.

    A new process often finds a sick device well, and whoever supervises the worker starts one.
    """
    device.raise_for(error)
    drain.raise_()
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


class Listener(Worker):  # type: ignore[misc] # Celery has no types
    """Celery's worker, without its signal handlers. Its methods here are safe in any thread."""

    def install_platform_tweaks(self, worker: Worker) -> None:
        """Install no signal handlers; overrides Celery's."""

    def replace_ended_child(self) -> None:
        """Have the main loop start a new child in the place of one that ended."""
        maintain = getattr(getattr(self, "pool", None), "maintain_pool", None)
        if maintain is not None:
            _call_in_loop(maintain)

    def request_end(self) -> None:
        """Have the main loop end, with status 0."""
        state.should_stop = os.EX_OK
        _call_in_loop(lambda: None)  # Else it sleeps for up to a second first.


class EndSignals:
    """The parent's handlers. The first signal starts the drain; later ones add nothing.

    A signal may come at any step of the program, so a handler only puts its number into a
    queue, whose `put` may interrupt another `put`; a thread does the rest.
    """

    def __init__(self, listener: Listener, on_end: Callable[[], None]) -> None:
        """`on_end` is called once, from a thread, before the listener is asked to end."""
        self._listener = listener
        self._on_end = on_end
        self._numbers: SimpleQueue[int] = SimpleQueue()
        self._is_ending = False

    def install(self) -> None:
        """Replace the handlers of this process; only in the main thread."""
        # `nohup seqd worker &` has SIGHUP ignored, and means it.
        ours = [n for n in END_SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
        for number in (*ours, signal.SIGCHLD):
            signal.signal(number, self._enqueue)
        _start_semaphore_tracker()
        Thread(target=self._wait, name="seqd-signals", daemon=True).start()

    def request(self, why: str) -> None:
        """Do what a signal does; safe in any thread."""
        log.info("asked to end: %s", why)
        self._numbers.put(signal.SIGTERM)

    def _enqueue(self, number: int, frame: FrameType | None) -> None:
        self._numbers.put(number)

    def _wait(self) -> None:
        while True:
            number = signal.Signals(self._numbers.get())
            if number is signal.SIGCHLD:
                self._listener.replace_ended_child()
            elif self._is_ending:
                log.info("%s: ending already, after the unit in hand", number.name)
            else:
                self._is_ending = True
                log.info("asked to end by %s", number.name)
                self._on_end()
                self._listener.request_end()


def ignore_end_signals() -> None:
    """Ignore them in a child, whose parent ends it, when a terminal signals the whole group."""
    for number in END_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _call_in_loop(step: Callable[[], object]) -> None:
    loop = get_event_loop()
    if loop is not None:
        loop.call_soon(step)  # type: ignore[no-untyped-call]


def _start_semaphore_tracker() -> None:
    """Start billiard's semaphore tracker with all these signals blocked.

    By itself it ignores two of them, and its death makes the worker's end a noisy one. A program
    starts with the signals blocked that its parent had blocked. Here they are blocked and not
    ignored: one that arrives meanwhile waits, where an ignored one would be lost.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, END_SIGNALS)
    try:
        ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

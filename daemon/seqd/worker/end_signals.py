"""How signals end a worker: they ask its parent to drain.

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
from queue import SimpleQueue
from threading import Thread
from types import FrameType

from billiard.semaphore_tracker import ensure_running
from celery.apps.worker import Worker
from celery.worker import state
from kombu.asynchronous import get_event_loop

from seqd.worker.drain import END_SIGNALS

log = logging.getLogger(__name__)


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

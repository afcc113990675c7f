"""What signals do to a worker: each that asks for an end lets it finish its unit and exit 0.

In place of Celery's own handlers, by which SIGQUIT, and SIGTERM where `REMAP_SIGTERM` says so,
end the child in the middle of a unit, SIGINT exits 1, SIGHUP starts the program again, and a
second signal drops what is in hand. SIGCHLD has Celery look after its child at once; by itself
it often takes note of its end only 5 s later. Called by `node` and `doorbell`.
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

log = logging.getLogger(__name__)

END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


class Listener(Worker):  # type: ignore[misc] # Celery has no types
    """Celery's worker, without its signal handlers. Its methods here are safe in any thread."""

    def install_platform_tweaks(self, worker: Worker) -> None:
        """Install nothing; called by Celery."""

    def look_after_child(self) -> None:
        """Have the main loop put a new child in the place of one that ended."""
        maintain = getattr(getattr(self, "pool", None), "maintain_pool", None)
        if maintain is not None:
            _call_in_loop(maintain)

    def ask_to_end(self) -> None:
        """Have the main loop end, with status 0."""
        state.should_stop = os.EX_OK
        _call_in_loop(lambda: None)  # Else it sleeps for up to a second first.


class EndSignals:
    """The parent's handlers. The first signal asks the worker to end; later ones add nothing.

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
        """Take the signals over; only in the main thread."""
        # `nohup seqd worker &` has SIGHUP ignored, and means it.
        ours = [n for n in END_SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
        _start_tracker()
        for number in (*ours, signal.SIGCHLD):
            signal.signal(number, self._note)
        Thread(target=self._wait, name="seqd-signals", daemon=True).start()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._numbers.put(number)

    def _wait(self) -> None:
        while True:
            number = signal.Signals(self._numbers.get())
            if number is signal.SIGCHLD:
                self._listener.look_after_child()
            elif self._is_ending:
                log.info("%s: ending already, after the unit in hand", number.name)
            else:
                self._is_ending = True
                log.info("asked to end by %s", number.name)
                self._on_end()
                self._listener.ask_to_end()


def _call_in_loop(step: Callable[[], object]) -> None:
    loop = get_event_loop()
    if loop is not None:
        loop.call_soon(step)  # type: ignore[no-untyped-call]


def _start_tracker() -> None:
    """Start the little program in which billiard counts semaphores, deaf to all these signals.

    By itself it ignores two of them, and its death makes the worker's end a noisy one. What is
    ignored when a program starts stays ignored in it.
    """
    ignore_in_child()
    ensure_running()


def ignore_in_child() -> None:
    """Leave the end of a child to its parent, when a terminal signals the whole group."""
    for number in END_SIGNALS:
        signal.signal(number, signal.SIG_IGN)

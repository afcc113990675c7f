"""Publishes that a worker is busy, or free again, a moment after it is: most claims end before.

A claim of one review takes less time than to publish twice that it is there, and somebody waits for
it. Whoever reads the records of workers reads them of what lasts.
"""

from collections.abc import Callable
from threading import Event, Thread

from seqd.ledger.outage import waiting_at_most
from seqd.worker.logs import log_and_continue

#: Seconds after a change at which it is published, with all that has changed by then.
NEWS_AFTER_S = 0.05

#: Seconds for which the end of a worker's threads waits for what they publish.
CLOSE_S = 5.0


class StateNews:
    """A thread that publishes what has changed. Safe to share between threads."""

    def __init__(self, publish: Callable[[], None], after_s: float = NEWS_AFTER_S) -> None:
        """`publish` writes the worker's record as it is now."""
        self._publish = publish
        self._after_s = after_s
        self._has_changed = Event()
        self._closed = Event()
        self._thread: Thread | None = None

    def note(self) -> None:
        """Have the worker's record published soon; returns at once."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name="seqd-news", daemon=True)
            self._thread.start()
        if not self._has_changed.is_set():  # else the thread need not be woken
            self._has_changed.set()

    def close(self) -> None:
        """End its thread and wait for that; what has changed by then is not published."""
        self._closed.set()
        self._has_changed.set()
        if self._thread is not None:
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while self._has_changed.wait() and not self._closed.wait(self._after_s):
            self._has_changed.clear()
            with waiting_at_most(0):
                log_and_continue("worker status not published", self._publish, is_repeated=True)

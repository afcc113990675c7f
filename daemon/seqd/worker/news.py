"""Publishes a worker's record when it has changed, once at a time.

So what is published last is what was so last, whichever thread has changed it.
"""

from collections.abc import Callable
from threading import Event, Lock, Thread

from seqd.worker.leases import CLOSE_S
from seqd.worker.logs import try_now

#: Seconds after a change at which it is published, with all that has changed by then.
NEWS_AFTER_S = 0.05


class StateNews:
    """Publishes a worker's record a moment after it has changed: most claims end before.

    A claim of one review takes less time than to publish twice that it is there. Safe to share
    between threads. What cannot be published costs nothing: the next heartbeat has it.
    """

    def __init__(self, publish: Callable[[], None], after_s: float = NEWS_AFTER_S) -> None:
        """`publish` writes the worker's record as it is now."""
        self._publish = publish
        self._after_s = after_s
        self._lock = Lock()
        self._has_changed = Event()
        self._closed = Event()
        self._thread = Thread(target=self._run, name="seqd-news", daemon=True)

    def start(self) -> None:
        """Publish from now on, also what was noted before."""
        self._thread.start()

    def note(self) -> None:
        """Have the worker's record published soon; returns at once."""
        if not self._has_changed.is_set():  # else the thread need not be woken
            self._has_changed.set()

    def publish_now(self) -> None:
        """Publish the worker's record, for who is to find it as it is now."""
        with self._lock:
            self._publish()

    def close(self) -> None:
        """End its thread and wait for that; what has changed by then is not published."""
        self._closed.set()
        self._has_changed.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while self._has_changed.wait() and not self._closed.wait(self._after_s):
            self._has_changed.clear()
            try_now("worker status not published", self.publish_now, is_repeated=True)

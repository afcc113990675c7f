"""Ends a child whose plugin is silent: it computes, and does not ask whether to stop.

A thread of its own looks, which waits for no Redis: a plugin is ended at its limit, also in an
outage. Of a plugin that lets no thread run, `liveness` has the watchdog.
"""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

#: Seconds between two looks, at most; fewer for a limit of less than four of them.
LOOK_EVERY_S = 1.0


log = logging.getLogger(__name__)


def kill_this_process(silent_s: float) -> None:
    """Kill this process: nothing gentler stops a thread."""
    log.critical("plugin hung: no sign of life for %.0f s; ending this child", silent_s)
    os.kill(os.getpid(), signal.SIGKILL)


class Silence:
    """For how long the plugin that computes has not asked whether to stop."""

    def __init__(self, max_silent_s: float, end: Callable[[float], None]) -> None:
        """`end` is called with the seconds of a silence that was longer than allowed."""
        self._max_silent_s = max_silent_s
        self._end = end
        self._look_every_s = min(LOOK_EVERY_S, max_silent_s / 4)
        self._computing = 0
        self._is_heard = False
        self._closed = Event()

    def start(self) -> None:
        """Look from now on, to the end of the process or until it is closed."""
        Thread(target=self._keep_looking, name="seqd-silence", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def hear(self) -> None:
        """Take a sign of life."""
        self._is_heard = True

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Have the plugin give signs of life in the block."""
        self._is_heard = True
        self._computing += 1
        try:
            yield
        finally:
            self._computing -= 1

    def _keep_looking(self) -> None:
        silent_s, looked_at = 0.0, monotonic()
        while not self._closed.wait(self._look_every_s):
            now = monotonic()
            if self._is_heard or not self._computing:
                self._is_heard, silent_s = False, 0.0
            else:
                # Of a machine or worker that was frozen for longer, the plugin is not to blame.
                silent_s += min(now - looked_at, 2 * self._look_every_s)
            looked_at = now
            if silent_s > self._max_silent_s:
                self._end(silent_s)
                silent_s = 0.0

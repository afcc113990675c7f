"""Ends a child whose Python has come to a stand, from the worker's parent.

A plugin that hangs in Python is found out by the child's own lease thread. One that hangs in C
code and never lets go of the interpreter's lock stops that thread too; only another process
can end it. What follows is a crash like any other: Celery starts a new child, and the ledger
counts the crash against the units. `node` runs it as a chore.
"""

import logging
import os
import signal
from time import monotonic

from seqd.settings import Settings
from seqd.worker.chores import Chore
from seqd.worker.pulse import Beat, Pulse

log = logging.getLogger(__name__)


class Standstill:
    """For how long a pulse has stood still, in the watcher's own waking time.

    Not the age of the last beat: after a machine, or this worker as a whole, was frozen, every
    beat is old, and the child is well. So a gap between two looks counts as two looks at most.
    """

    def __init__(self, look_every_s: float) -> None:
        self._longest_gap_s = 2 * look_every_s
        self._beat: Beat | None = None
        self._looked_at_s = 0.0
        self._still_s = 0.0

    def seconds(self, beat: Beat | None, now_s: float) -> float:
        """Look at the pulse; gives the seconds since it last changed, 0 where there is none."""
        if beat is None or beat != self._beat:
            self._beat, self._still_s = beat, 0.0
        else:
            self._still_s += min(now_s - self._looked_at_s, self._longest_gap_s)
        self._looked_at_s = now_s
        return self._still_s


class Watchdog(Chore):
    """The chore."""

    def __init__(self, settings: Settings, pulse: Pulse) -> None:
        super().__init__("watchdog", settings.heartbeat_s)
        self._pulse = pulse
        self._standstill = Standstill(settings.heartbeat_s)
        # A beat is due each `heartbeat_s`, and may just have been missed by a look.
        self._limit_s = settings.max_silent_s + 2 * settings.heartbeat_s

    def look(self) -> None:
        """Look once; ends the child when its pulse has stood still for too long."""
        beat = self._pulse.last()
        still_s = self._standstill.seconds(beat, monotonic())
        # Between two children the last beat is a dead one's, whose number may be anybody's.
        if beat is not None and still_s > self._limit_s and _is_our_child(beat.pid):
            log.critical("child hung: pid=%d did not beat for %.0f s; ending it", beat.pid, still_s)
            os.kill(beat.pid, signal.SIGKILL)


def _is_our_child(pid: int) -> bool:
    """True when this process started it and has not yet taken note of its end."""
    try:
        # WNOWAIT leaves the child's end to Celery's pool.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True

"""Liveness of a worker's child: the heartbeat file that it writes, and who reads it.

A thread of the child writes the file again every `heartbeat_s` seconds. That proves that Python
runs there, and needs no Redis; it says nothing of progress, which is for `leases` to judge. The
watchdog reads it in the worker's parent, and `seqd worker --alive` for an operator's probe.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Self

from seqd.ledger.work import Death
from seqd.settings import Settings
from seqd.worker.background import PeriodicTask
from seqd.worker.deaths import DeathFile
from seqd.worker.logs import log_and_continue

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One heartbeat. Two are equal only if they are the same one."""

    pid: int
    #: On the monotonic clock, which all processes of a machine share, and no other machine does.
    at_s: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what `str` wrote."""
        pid, at_s = text.split()
        return cls(int(pid), float(at_s))

    def __str__(self) -> str:
        return f"{self.pid} {self.at_s}"


class HeartbeatFile:
    """The file, for who writes it and who reads it."""

    def __init__(self, settings: Settings, worker: str) -> None:
        self._path = settings.data_dir / "run" / f"{worker.replace('/', '_')}.heartbeat"
        self._every_s = settings.heartbeat_s

    def start(self) -> None:
        """Write a heartbeat now, and from a thread of this process as long as it lives."""
        self._write()
        Thread(target=self._keep_writing, name="seqd-heartbeat", daemon=True).start()

    def last(self) -> Heartbeat | None:
        """Return the last heartbeat; None before the first one and after the worker's end."""
        try:
            return Heartbeat.parse(self._path.read_text())
        except FileNotFoundError:
            return None

    def remove(self) -> None:
        """Remove the file; at boot and when the node has stopped."""
        self._path.unlink(missing_ok=True)

    def _keep_writing(self) -> None:
        while True:
            sleep(self._every_s)
            try:
                self._write()
            except OSError as error:
                # Such as a full disk: without a heartbeat for long, this child is ended.
                log.warning("no heartbeat written to %s: %s", self._path, error)

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        heartbeat = Heartbeat(os.getpid(), monotonic())
        aside = Path(f"{self._path}.{heartbeat.pid}")
        aside.write_text(str(heartbeat))
        aside.replace(self._path)


def liveness_of(settings: Settings, worker: str) -> tuple[bool, str]:
    """Return whether a worker of this machine lives, and a sentence for a person.

    It does while its last heartbeat is at most `lease_s` old: later its work is another's anyway.
    """
    heartbeat = HeartbeatFile(settings, worker).last()
    if heartbeat is None:
        return False, (
            f"No worker {worker} has a heartbeat in {settings.data_dir / 'run'}: it has not "
            "started yet, it has ended, or it has another SEQD_DATA_DIR or --name."
        )
    age_s = monotonic() - heartbeat.at_s
    said = f"Worker {worker}, process {heartbeat.pid}, heartbeat {age_s:.1f} s ago"
    if 0 <= age_s <= settings.lease_s:
        return True, f"{said}."
    return False, f"{said}; allowed: {settings.lease_s:g} s (SEQD_LEASE_S)."


class Watchdog(PeriodicTask):
    """Ends a child whose Python has come to a stand.

    A plugin that hangs in Python is ended by the child's own lease thread. One that hangs in C
    code and never releases the interpreter's lock stops that thread too; only another process
    can end it. What follows is a crash like any other: Celery starts a new child, and the ledger
    counts the crash against the units.
    """

    def __init__(
        self,
        settings: Settings,
        heartbeats: HeartbeatFile,
        deaths: DeathFile,
        note_death: Callable[[Death], None],
    ) -> None:
        """`note_death` is called before the leases run out of a child that stands still."""
        super().__init__("watchdog", settings.heartbeat_s)
        self._heartbeats = heartbeats
        self._deaths = deaths
        self._note_death = note_death
        self._is_noted = False
        self._standstill = Standstill(settings.heartbeat_s)
        # A heartbeat is due each `heartbeat_s`, and so is a look.
        self._limit_s = settings.max_silent_s + settings.heartbeat_s
        self._note_at_s = settings.lease_s / 2

    def run_once(self) -> None:
        """Kill the child when its heartbeat has stood still for too long."""
        heartbeat = self._heartbeats.last()
        still_s = self._standstill.seconds(heartbeat, monotonic())
        self._is_noted = self._is_noted and still_s > 0.0
        is_due = still_s > self._limit_s
        # Between two children the last heartbeat is a dead one's, whose pid may be anybody's.
        if heartbeat is None or not _is_our_child(heartbeat.pid):
            return
        if is_due:
            log.critical(
                "child hung: pid=%d had no heartbeat for %.0f s; ending it", heartbeat.pid, still_s
            )
            self._deaths.kill(heartbeat.pid, still_s)
        elif still_s >= self._note_at_s and not self._is_noted:
            self._note(heartbeat.pid, still_s)

    def _note(self, pid: int, still_s: float) -> None:
        """Note where the child stands: its leases run out, as nothing can renew them."""
        self._is_noted = True
        death = self._deaths.standing(pid, still_s)
        log.warning("child stands still: pid=%d: %s", pid, death.message)
        log_and_continue("it is not noted where the child stands", lambda: self._note_death(death))


class Standstill:
    """For how long a heartbeat has stood still, in the watcher's own waking time.

    Not the age of the last heartbeat: after a machine, or this worker as a whole, was frozen, every
    heartbeat is old, and the child is well. So a gap between two looks counts as two looks at most.
    """

    def __init__(self, look_every_s: float) -> None:
        self._longest_gap_s = 2 * look_every_s
        self._heartbeat: Heartbeat | None = None
        self._looked_at_s = 0.0
        self._still_s = 0.0

    def seconds(self, heartbeat: Heartbeat | None, now_s: float) -> float:
        """Return the seconds since the heartbeat last changed, 0 where there is none."""
        if heartbeat is None or heartbeat != self._heartbeat:
            self._heartbeat, self._still_s = heartbeat, 0.0
        else:
            self._still_s += min(now_s - self._looked_at_s, self._longest_gap_s)
        self._looked_at_s = now_s
        return self._still_s


def _is_our_child(pid: int) -> bool:
    """Return True when this process started it and has not yet collected its exit status."""
    try:
        # WNOWAIT leaves the child's end to Celery's pool.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True

"""Liveness of a worker's child: its heartbeat, and who reads it.

Two threads of the child have it beat every `heartbeat_s` seconds: one in memory that its parent
shares, where the watchdog reads it, and one in a file, for `seqd probe live`. So a disk that is
full or hangs costs no child. A heartbeat proves that Python runs there, and needs no Redis; it says
nothing of progress, which is for `leases` to judge.
"""

import logging
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from time import monotonic, sleep, time
from typing import Protocol, Self

from seqd.ledger.outage import waiting_at_most
from seqd.local.heartbeat import FILE_BYTES, Heartbeat, read_heartbeat
from seqd.local.process_states import is_stopped
from seqd.local.run_files import HEARTBEAT, RunFolder
from seqd.settings import Settings
from seqd.worker.background import PeriodicTask
from seqd.worker.deaths import DeathFile
from seqd.worker.logs import log_and_continue

log = logging.getLogger(__name__)

#: Seconds between two lines in the log on a file that cannot be written.
WARN_EVERY_S = 60.0


class Heartbeats(Protocol):
    """Where the watchdog reads a child's heartbeat."""

    def last(self) -> Heartbeat | None:
        """Return the last one; None before the first."""


class HeartbeatMemory:
    """Memory in which a child's heartbeat is, shared with its parent; on Linux only.

    It belongs to the parent. The child opens it by the parent's descriptor, since a spawned process
    inherits none.
    """

    _RECORD = struct.Struct("=qd")
    _NAME = "seqd-heartbeat"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __del__(self) -> None:
        os.close(self._descriptor)

    @classmethod
    def create(cls) -> Self:
        """Make it, in the parent, before its child starts."""
        memory = cls(os.memfd_create(cls._NAME))
        memory._put(Heartbeat(0, 0.0))
        return memory

    @classmethod
    def of_parent(cls) -> Self | None:
        """Open that of this process's parent; None where it has none."""
        folder = Path(f"/proc/{os.getppid()}/fd")
        for link in folder.iterdir() if os.access(folder, os.R_OK) else ():
            with suppress(FileNotFoundError):  # closed just now
                if str(link.readlink()).startswith(f"/memfd:{cls._NAME} "):
                    return cls(os.open(link, os.O_RDWR | os.O_CLOEXEC))
        log.warning("no heartbeat memory in %s: a hang in C code will not be noticed", folder)
        return None

    def beat(self) -> None:
        """Put in a heartbeat of this process."""
        self._put(Heartbeat.now())

    def last(self) -> Heartbeat | None:
        """Return the last heartbeat; None before the first."""
        heartbeat = Heartbeat(*self._RECORD.unpack(os.pread(self._descriptor, 16, 0)))
        return heartbeat if heartbeat.pid else None

    def _put(self, heartbeat: Heartbeat) -> None:
        os.pwrite(self._descriptor, self._RECORD.pack(heartbeat.pid, heartbeat.at_s), 0)


class HeartbeatFile:
    """The file, for who writes it and who reads it."""

    def __init__(self, settings: Settings, worker: str) -> None:
        self.path = RunFolder(settings.data_dir).file(worker, HEARTBEAT)
        self._warned_s = -WARN_EVERY_S

    def beat(self) -> None:
        """Write a heartbeat of this process. Raises nothing: what fails is logged once a minute."""
        try:
            self._write(Heartbeat.now())
        except OSError as error:
            if monotonic() - self._warned_s >= WARN_EVERY_S:
                self._warned_s = monotonic()
                log.warning("no heartbeat written to %s: %s; tried again", self.path, error)

    def last(self) -> Heartbeat | None:
        """Return the last heartbeat; None before the first one and after the worker's end."""
        return read_heartbeat(self.path)

    def written_s(self) -> float | None:
        """Return when it was last written, on the file system's clock; None where it is missing."""
        try:
            return self.path.stat().st_mtime
        except OSError:
            return None

    def remove(self) -> None:
        """Remove the file; at boot and when the node has stopped."""
        self.path.unlink(missing_ok=True)

    def _write(self, heartbeat: Heartbeat) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.pwrite(descriptor, str(heartbeat).ljust(FILE_BYTES).encode(), 0)
        except OSError:
            # An empty file and its time need no room.
            os.ftruncate(descriptor, 0)
            os.utime(descriptor, (time(), time()))
        finally:
            os.close(descriptor)


def start_heartbeats(settings: Settings) -> None:
    """Begin this child's heartbeats, which last as long as it lives."""
    every_s = settings.heartbeat_s
    memory = HeartbeatMemory.of_parent() if has_memory() else None
    if memory is not None:
        _repeat(memory.beat, every_s, "seqd-heartbeat")
    _repeat(HeartbeatFile(settings, settings.worker).beat, every_s, "seqd-heartbeat-file")


def has_memory() -> bool:
    """Return True on a system where parent and child can share `HeartbeatMemory`."""
    return hasattr(os, "memfd_create")


def _repeat(beat: Callable[[], None], every_s: float, name: str) -> None:
    def keep_beating() -> None:
        while True:
            beat()
            sleep(every_s)

    # The first one, too: a disk that hangs must not keep the child from its work.
    Thread(target=keep_beating, name=name, daemon=True).start()


class Watchdog(PeriodicTask):
    """Ends a child whose Python has come to a stand.

    A plugin that hangs in Python is ended by the child's own lease thread. One that hangs in C
    code and never releases the interpreter's lock stops that thread too; only another process
    can end it. What follows is a crash like any other: Celery starts a new child, and the ledger
    counts the crash against the units. Until then this one renews its leases, and keeps its record
    among the workers that are up: a long call of C code, or a busy machine, is no crash. One that a
    signal has stopped is no such child: it is left as it is, its record says that it is stopped,
    and its units go to others at no crash.
    """

    def __init__(
        self,
        settings: Settings,
        heartbeats: Heartbeats,
        deaths: DeathFile,
        keep: Callable[[], None],
        renew: Callable[[str], None],
        release: Callable[[str], None],
        note_stopped: Callable[[int], None],
    ) -> None:
        """Of a child that is not stopped, `keep` is called at each look: it is up.

        Of a stopped one `note_stopped` is, with its pid, and `release` before its leases run out.
        Of one that stands still `renew` is. Both get a sentence for who watches the jobs, once;
        `renew` gets '' at all other looks.
        """
        super().__init__("watchdog", settings.heartbeat_s)
        self._heartbeats = heartbeats
        self._deaths = deaths
        self._keep = keep
        self._renew = renew
        self._release = release
        self._note_stopped = note_stopped
        self._is_noted = self._was_stopped = False
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
        # One that has just been let go on is given a look more: it beats at once.
        was_stopped, self._was_stopped = self._was_stopped, is_stopped(heartbeat.pid)
        pid = heartbeat.pid
        keep = partial(self._note_stopped, pid) if self._was_stopped else self._keep
        with waiting_at_most(0):
            log_and_continue("worker status not kept", keep, is_repeated=True)
        if self._was_stopped:
            if still_s >= self._note_at_s and not self._is_noted:
                self._release_units(heartbeat.pid, still_s)
        elif is_due and not was_stopped:
            log.critical(
                "child hung: pid=%d had no heartbeat for %.0f s; ending it", heartbeat.pid, still_s
            )
            self._deaths.kill(heartbeat.pid, still_s)
        elif still_s > 0.0:
            said = ""
            if still_s >= self._note_at_s and not self._is_noted:
                said = self._told_of(heartbeat.pid, still_s)
            with waiting_at_most(0):
                log_and_continue("leases not renewed", lambda: self._renew(said), is_repeated=True)

    def _release_units(self, pid: int, still_s: float) -> None:
        self._is_noted = True
        said = (
            f"The worker's process {pid} has been stopped by a signal for {still_s:.0f} s. What it "
            f"had in hand goes to others; `kill -CONT {pid}` on its machine lets it go on."
        )
        log.warning("child is stopped: pid=%d: %s", pid, said)
        log_and_continue("leases not released", lambda: self._release(said))

    def _told_of(self, pid: int, still_s: float) -> str:
        self._is_noted = True
        said = (
            f"{self._deaths.standing(pid, still_s)} It keeps what it has in hand, and is ended if "
            f"it stays silent until {self._limit_s:.0f} s (SEQD_MAX_SILENT_S and a heartbeat)."
        )
        log.warning("child stands still: pid=%d: %s", pid, said)
        return said


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

"""The parent's watch over its child: ends one that hangs, and keeps what one holds that is silent.

One rule says when a child hangs, by what it says in the `channel`. Its plugin computes, and has not
asked whether to stop for SEQD_MAX_SILENT_S; or for longer than the items in hand should take, or it
has computed for longer than that (`unit_budgets`). Or the child has no heartbeat: then C code keeps
the interpreter's lock, or Python does not run there at all.

What follows is a crash like any other: Celery starts a new child, and the ledger counts the crash
against the units. One that a signal has stopped is no such child: it is left as it is.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic

from seqd.ledger import Ledger
from seqd.local.process_states import RunDelay, is_stopped
from seqd.settings import Settings
from seqd.worker.background import PeriodicTask
from seqd.worker.channel import Channel, Signs
from seqd.worker.deaths import DeathFile, Hang
from seqd.worker.logs import log_and_continue, try_now
from seqd.worker.unit_budgets import BudgetRule

log = logging.getLogger(__name__)

#: Units of a silent child whose jobs the log names.
MOST_NAMED = 3

#: Seconds between two looks, at most; fewer for a limit of less than four of them.
LOOK_EVERY_S = 1.0


class Judge:
    """Says whether a child hangs, by what it has said at each look.

    What counts is the time that has passed for it: of a machine or worker that was frozen the child
    is not to blame, so a gap between two looks counts as two looks at most. For a budget what it
    has waited for a processor or a disk does not count: neither a machine with ten times as much to
    run nor a file server that is away makes anything a hang. Processor time would not tell: a loop
    uses its processor, a deadlock uses none.
    """

    def __init__(self, max_silent_s: float, heartbeat_s: float, look_every_s: float) -> None:
        self._max_silent_s = max_silent_s
        self._heartbeat_s = heartbeat_s
        self._longest_gap_s = 2 * look_every_s
        self._before: Signs | None = None
        self._looked_at_s = 0.0
        #: For how long there was no new heartbeat, and no sign of the plugin while it computes.
        self.still_s = self._silent_s = 0.0
        #: Of the call in hand, less what it has waited: since its begin, and since the last sign.
        self._computed_s = self._quiet_s = 0.0

    @property
    def limit_s(self) -> float:
        """Seconds for which a child may be without a heartbeat, of which one is due each time."""
        return self._max_silent_s + self._heartbeat_s

    def look(
        self, signs: Signs, now_s: float, waited_s: Callable[[float], float] = lambda passed_s: 0.0
    ) -> Hang | None:
        """Return how the child hangs; None while it does not.

        `waited_s` returns how much of the seconds since the last look it has waited.
        """
        before, self._before = self._before, signs
        passed_s = min(now_s - self._looked_at_s, self._longest_gap_s)
        self._looked_at_s = now_s
        if before is None or before.heartbeat.pid != signs.heartbeat.pid:
            before, passed_s = signs, 0.0
            self.still_s = self._silent_s = self._computed_s = self._quiet_s = 0.0
        is_heard = signs.asked != before.asked
        self.still_s = 0.0 if signs.heartbeat != before.heartbeat else self.still_s + passed_s
        is_silent = signs.is_computing and not is_heard
        self._silent_s = self._silent_s + passed_s if is_silent else 0.0
        if signs.call != before.call:
            self._computed_s = self._quiet_s = 0.0
        if signs.budget is not None:
            counted_s = max(0.0, passed_s - waited_s(passed_s))
            self._computed_s += counted_s
            self._quiet_s = 0.0 if is_heard else self._quiet_s + counted_s
        return self._hang(signs)

    def forgive(self) -> None:
        """Count anew what the plugin takes: the child is stopped, or was until now."""
        self._silent_s = self._computed_s = self._quiet_s = 0.0

    def _hang(self, signs: Signs) -> Hang | None:
        if self.still_s > self.limit_s:
            return Hang(self.still_s, has_no_heartbeat=True)
        # One that stands still is told of as such, when that limit is reached.
        if self._silent_s > self._max_silent_s and self.still_s <= 2 * self._heartbeat_s:
            return Hang(self._silent_s)
        budget = signs.budget
        if budget is None:
            return None
        if self._quiet_s > budget.silent_s:
            return Hang(self._quiet_s)
        if self._computed_s > budget.unit_s:
            return Hang(self._computed_s, budget.expected_s)
        return None


@dataclass(frozen=True, slots=True)
class _Seen:
    """A child of this process, as it was at the last look."""

    pid: int
    still_s: float
    is_stopped: bool


class Watchdog(PeriodicTask):
    """Ends a child that hangs. Waits for no Redis, so it does so also in an outage."""

    def __init__(self, settings: Settings, channel: Channel, deaths: DeathFile) -> None:
        least_s = min(settings.max_silent_s, BudgetRule.of(settings).least_s)
        look_every_s = min(LOOK_EVERY_S, settings.heartbeat_s, least_s / 4)
        super().__init__("watchdog", look_every_s)
        self._channel = channel
        self._deaths = deaths
        self.judge = Judge(settings.max_silent_s, settings.heartbeat_s, look_every_s)
        self._delay: tuple[int, RunDelay] = (0, RunDelay())
        self._ended_pid = 0
        #: The child, while there is one that has a heartbeat.
        self.seen: _Seen | None = None

    def run_once(self) -> None:
        """Kill the child where it hangs."""
        signs = self._channel.signs()
        # Between two children the last heartbeat is a dead one's, whose pid may be anybody's.
        if signs is None or not _is_our_child(signs.heartbeat.pid):
            self.seen = None
            return
        pid, before = signs.heartbeat.pid, self.seen
        hang = self.judge.look(signs, monotonic(), partial(self._waited_s, pid))
        self.seen = _Seen(pid, self.judge.still_s, is_stopped(pid))
        if self.seen.is_stopped:
            self.judge.forgive()
        elif before is not None and before.is_stopped:
            self.judge.forgive()
            self.judge.still_s = 0.0
        elif hang is not None and pid != self._ended_pid:
            who = "child" if hang.has_no_heartbeat else "plugin"
            log.critical("%s hung: pid=%d: %s; ending it", who, pid, hang)
            self._ended_pid = pid
            self._deaths.kill(pid, hang)

    def _waited_s(self, pid: int, passed_s: float) -> float:
        """Return how much of the seconds that have passed the child has waited."""
        if self._delay[0] != pid:
            self._delay = pid, RunDelay(Path(f"/proc/{pid}/task"))
        delay = self._delay[1]
        return passed_s if delay.waits_for_disk() else delay.since_last_s()


class ChildKeeper(PeriodicTask):
    """Keeps what a child holds that is up and silent, as one is whose plugin keeps the lock.

    A long call of C code, or a busy machine, is no crash. What a stopped one holds is released,
    at no crash.
    """

    def __init__(
        self, settings: Settings, watchdog: Watchdog, deaths: DeathFile, ledger: Ledger, worker: str
    ) -> None:
        super().__init__("keeper", settings.heartbeat_s)
        self._watchdog = watchdog
        self._deaths = deaths
        self._ledger = ledger
        self._worker = worker
        self._is_told = False
        self._tell_at_s = settings.lease_s / 2

    def run_once(self) -> None:
        """Keep the worker's record, and renew the leases of a child that stands still."""
        seen = self._watchdog.seen
        if seen is None:
            return
        fleet, is_still = self._ledger.fleet, seen.still_s >= self._pause_s
        self._is_told = self._is_told and is_still
        keep = partial(fleet.keep_worker, self._worker)
        if seen.is_stopped:
            keep = partial(fleet.note_stopped, self._worker, seen.pid)
        try_now("worker status not kept", keep, is_repeated=True)
        is_to_be_told = seen.still_s >= self._tell_at_s and not self._is_told
        if seen.is_stopped:
            if is_to_be_told:
                self._release_units(seen)
        elif is_still:
            said = self._told_of(seen) if is_to_be_told else ""
            renew = partial(self._ledger.work.renew_worker, self._worker, said)
            try_now("leases not renewed", renew, is_repeated=True)

    def _release_units(self, child: _Seen) -> None:
        self._is_told = True
        pid = child.pid
        said = (
            f"A signal has stopped the worker's process {pid}, which had no heartbeat for "
            f"{child.still_s:.0f} s. Another worker may take what it had in hand; "
            f"`kill -CONT {pid}` on its machine lets it go on."
        )
        log.warning("child is stopped: pid=%d%s: %s", pid, self._jobs_in_hand(), said)
        release = partial(self._ledger.work.release_worker, self._worker, crashed=False, said=said)
        log_and_continue("leases not released", release)

    def _told_of(self, child: _Seen) -> str:
        self._is_told = True
        standing = self._deaths.standing(child.pid, Hang(child.still_s, has_no_heartbeat=True))
        said = (
            f"{standing} It keeps what it has in hand, and is ended if it stays silent until "
            f"{self._watchdog.judge.limit_s:.0f} s (SEQD_MAX_SILENT_S and a heartbeat)."
        )
        log.warning("child stands still: pid=%d%s: %s", child.pid, self._jobs_in_hand(), said)
        return said

    def _jobs_in_hand(self) -> str:
        """Return, as a log has them, the jobs of what the worker holds; '' where none is known."""
        fleet, jobs = self._ledger.fleet, set[str]()

        def read() -> None:
            for held in fleet.held([self._worker], MOST_NAMED).values():
                jobs.update(member.partition(" ")[0] for member in held.members)

        try_now("what the child holds is not known", read, is_repeated=True)
        return "".join(f" job={job_id}" for job_id in sorted(jobs))


def _is_our_child(pid: int) -> bool:
    """Return True when this process started it and has not yet collected its exit status."""
    try:
        # WNOWAIT leaves the child's end to Celery's pool.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True

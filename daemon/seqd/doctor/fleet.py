"""What the fleet is looked at for: what `judging` says of it, and what it does not see.

All of it is what workers publish and the ledger holds, so any machine that reaches Redis sees it;
a worker's process is looked at where that is this machine.
"""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from redis.exceptions import ResponseError

from seqd.doctor import judging
from seqd.doctor.findings import Check, Finding, NotChecked, Severity, bounded, finding
from seqd.doctor.judging import MINUTE_S, Process
from seqd.doctor.server import reason_of
from seqd.errors import RedisNoPermission
from seqd.ledger.overview import FleetOverview, fleet_overview
from seqd.ledger.redis import redis_errors
from seqd.ledger.tenants import WHY_OVER, waiting_shares
from seqd.local.process_states import process_state
from seqd.local.run_files import HEARTBEAT, RunFolder, read_heartbeat
from seqd.wording import span

if TYPE_CHECKING:
    from seqd.doctor.server import Server
    from seqd.settings import Settings
    from seqd_schemas import TenantRecord, WorkerStatus


#: Seconds that a lease may be over.
_OVERDUE_S: Final = 2 * MINUTE_S

#: Used part of a limit of a tenant that is told.
_TENANT_SHARE: Final = 0.9


def fleet_checks(server: "Server") -> list[Check]:
    """Return the checks of the fleet."""
    checks = _Checks(server)
    return [
        Check("fleet", checks.readable),
        Check("workers", checks.by_reports(checks.judged(judging.workers_up))),
        Check("silent workers", checks.by_reports(checks.silent)),
        Check("deaths of workers' processes", checks.judged(judging.deaths)),
        Check("clocks of workers", checks.judged(judging.clocks)),
        Check("stopped workers", checks.judged(judging.stopped)),
        Check("drains", checks.judged(judging.drains)),
        Check("rules of operators", checks.rules),
        Check("paused models", checks.judged(judging.pauses)),
        Check("releases of seqd", checks.judged(judging.releases)),
        Check("unfit workers", checks.judged(judging.unfit)),
        Check("plugins of workers", checks.judged(judging.plugins)),
        Check("routes", checks.by_reports(checks.judged(judging.routes))),
        Check("leases", checks.by_reports(checks.leases)),
        Check("tenants", checks.tenants),
        Check("inbox", checks.judged(judging.inbox)),
    ]


class _Beside:
    """What is known of workers that are not heard of: what they said last, hold, and do here."""

    def __init__(self, server: "Server") -> None:
        self._fleet, self._settings = server.ledger.fleet, server.settings

    def last_records(self, names: Sequence[str]) -> "Mapping[str, WorkerStatus]":
        return self._fleet.last_records(names)

    def units_held(self, names: Sequence[str]) -> int:
        return sum(count for _, count in self._fleet.in_hand(names).values())

    def process(self, last: "WorkerStatus") -> Process | None:
        return _process_here(last, self._settings)


class _Checks:
    def __init__(self, server: "Server") -> None:
        self._server = server
        self._ledger = server.ledger

    @cached_property
    def _fleet(self) -> "FleetOverview":
        """The fleet, read once: what is said of it is of one moment."""
        return self._ledger.transport.run(fleet_overview(self._ledger))

    def readable(self) -> Iterator[Finding]:
        """Say why the fleet cannot be read, for which the other checks look at nothing."""
        try:
            _ = self._fleet
        except RedisNoPermission as error:
            yield finding(
                "redis-rights",
                f"The fleet cannot be looked at: {reason_of(error)}",
                "Run `seqd doctor` as a user of its own, with the rights that `seqd redis acl "
                "--role doctor` prints",
                severity=Severity.ERROR,
            )
        except ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
            yield finding(
                "redis-address",
                f"The fleet cannot be looked at: {reason_of(error)}",
                "Find out who else writes to this Redis, and remove the key: `redis-cli del KEY`",
            )

    def judged(
        self, judge: "Callable[[FleetOverview], Iterator[Finding]]"
    ) -> Callable[[], Iterator[Finding]]:
        """Return the check that has the fleet judged."""

        def look() -> Iterator[Finding]:
            yield from bounded(judge(self._fleet))

        return look

    def by_reports(self, check: Callable[[], Iterator[Finding]]) -> Callable[[], Iterator[Finding]]:
        """Return a check that looks at nothing while workers that run cannot report."""

        def look() -> Iterator[Finding]:
            if not self._server.takes_writes:
                raise NotChecked("Redis takes no writes, so workers cannot report")
            yield from check()

        return look

    def silent(self) -> Iterator[Finding]:
        yield from bounded(judging.silence(self._fleet, _Beside(self._server)))

    def rules(self) -> Iterator[Finding]:
        if self._fleet.rules is None:
            raise NotChecked(f"the user may not use the key {self._ledger.keys.cordons()}")
        yield from bounded(judging.rules(self._fleet))

    def leases(self) -> Iterator[Finding]:
        if not self._fleet.workers:
            return  # nobody is there to reconcile, which is said already
        key = self._ledger.keys.timers()
        with redis_errors(self._server.redis):
            rows = self._server.redis.zrange(key, 0, 0, withscores=True)
        late_s = [
            (self._fleet.at_ms - float(score)) / 1000
            for _, score in cast("list[tuple[bytes, float]]", rows)
        ]
        if late_s and late_s[0] > _OVERDUE_S:
            yield finding(
                "leases-overdue",
                f"A lease or a wait ran out {span(late_s[0])} ago, and no worker has seen to it",
                "See the logs of workers for `reconciler`; restart them: `seqd workers restart "
                "--wait`",
            )

    def tenants(self) -> Iterator[Finding]:
        yield from bounded(_full(self._ledger.tenants.all()))


def _full(tenants: "Sequence[TenantRecord]") -> Iterator[Finding]:
    """Yield who uses nearly all that it may have waiting, the fullest first."""
    limits = {one.tenant: one.limits for one in tenants}
    shares = [
        (share, what, one.tenant) for one in tenants for what, share in waiting_shares(one).items()
    ]
    for share, what, name in sorted(shares, reverse=True):
        if share >= _TENANT_SHARE:
            used = f"uses {share:.0%} of the {what} that it may have waiting"
            if what == "jobs" and limits[name].jobs == 0:
                used = "has open jobs, and may have none"
            yield finding(
                "tenant-full",
                f"The tenant {name} {used}{f'. {WHY_OVER}' if share > 1 else ''}",
                f"`seqd jobs list --tenant {name}` shows what waits; `seqd tenants set {name}` "
                "gives it more",
            )


def _process_here(last: "WorkerStatus", settings: "Settings") -> tuple[str, str, bool] | None:
    """Return what a worker's process does, what to do about it, and whether its parent renews.

    None of another machine.
    """
    is_here = last.host == socket.gethostname()
    state = process_state(last.pid, last.pid_start_ticks) if is_here else None
    if state is None:
        return None
    pid = f"its process {last.pid} on this machine"
    if not state.is_there:
        return f"{pid} is not there any more", "See its log for why it ended; start it again", False
    if state.stopped:
        pids = " ".join(map(str, state.stopped))
        which = pid if state.stopped == (last.pid,) else f"of {pid} and its parent, {pids}"
        verb = "is" if state.stopped == (last.pid,) else "are"
        return f"{which} {verb} stopped, by a signal", f"Let it go on: `kill -CONT {pids}`", False
    # It ignores all signals that ask for an end: its parent sees to those.
    end = f"who cannot wait ends it by `kill -KILL {last.pid}`, and a new one starts"
    if _stands_still(last.worker, settings):
        return (
            f"{pid} is there (state {state.letter}), and computes without letting its other "
            "threads run; its parent renews what it holds",
            "Wait: it goes on, or its parent ends it if it stays silent until SEQD_MAX_SILENT_S. "
            f"Its log says where it stands; {end}",
            True,
        )
    return (
        f"{pid} is there (state {state.letter}), and cannot report",
        "See its log: whether it reaches Redis, and as which user. Where it hangs, its parent ends "
        f"it at SEQD_MAX_SILENT_S; {end}",
        False,
    )


def _stands_still(worker: str, settings: "Settings") -> bool:
    """Return True where no thread of a worker's process has beaten for long, as far as is known."""
    try:
        heartbeat = read_heartbeat(RunFolder(settings.data_dir).file(worker, HEARTBEAT))
    except OSError:  # another user's
        return False
    return heartbeat is not None and monotonic() - heartbeat.at_s > 2 * settings.heartbeat_s

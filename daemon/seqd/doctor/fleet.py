"""What the fleet is looked at for: workers that are away or unfit, work that nobody can do.

All of it is what workers publish and the ledger holds, so any machine that reaches Redis sees it.
"""

import re
import socket
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from seqd.doctor.findings import Check, Finding, NotChecked, Severity, counted, finding, listed
from seqd.errors import RedisNoPermission
from seqd.kinds import TRAIN
from seqd.ledger.redis import redis_errors
from seqd.ledger.tenants import WHY_OVER
from seqd.local.process_states import process_state
from seqd.local.run_files import HEARTBEAT, RunFolder, read_heartbeat
from seqd.serving import (
    LOOP_DEATHS,
    at_most,
    deaths_in_loop,
    has_lost_claim,
    is_drained,
    lacking,
    lost_claim_told,
    place_of,
    recent_deaths,
    takes,
    tellers_of_deaths,
    times_told,
    uncordon_command,
    waiting_of,
)
from seqd.targets import option_of
from seqd_schemas import (
    CordonAction,
    DeathCause,
    ModelReference,
    PluginState,
    UnfitCode,
    WaitingCode,
)

if TYPE_CHECKING:
    from seqd.doctor.server import Server
    from seqd.scaling import RouteWork
    from seqd.settings import Settings
    from seqd_schemas import (
        ChildDeath,
        CordonRule,
        FailureRecord,
        TenantRecord,
        Waiting,
        WorkerStatus,
    )

_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
_DAY_S: Final = 24 * _HOUR_S

#: Seconds that a drain may take, a rule may stand, and a lease be over.
_DRAIN_S: Final = 15 * _MINUTE_S
_RULE_S: Final = _DAY_S
_OVERDUE_S: Final = 2 * _MINUTE_S

#: Seconds of work for each worker that can do it, and of a wait, that are a backlog.
_BACKLOG_S: Final = _HOUR_S
_WAIT_S: Final = 15 * _MINUTE_S

#: Seconds by which the clock of a worker's machine may be off Redis's.
_SKEW_S: Final = 2.0

#: Seconds that an entry of the inbox may wait.
_INBOX_S: Final = _MINUTE_S

#: Used part of a limit of a tenant that is told.
_TENANT_SHARE: Final = 0.9

#: Open jobs, the newest, among which one is looked for that says why a route waits.
_LOOKED_AT: Final = 200

#: Findings of one kind at most.
_MOST: Final = 10

#: Pages of the runbook for what workers say that they lack.
_PAGES: Final = {
    UnfitCode.DAMAGED: "corrupt-model",
    UnfitCode.MISSING: "corrupt-model",
    UnfitCode.UNREADABLE: "corrupt-model",
    UnfitCode.UNWRITABLE: "disk-full",
    UnfitCode.NO_LIBRARY: "plugin-missing",
    UnfitCode.NO_MEMORY: "out-of-memory",
    UnfitCode.NO_DEVICE: "sick-gpu",
    UnfitCode.DEVICE_FAULT: "sick-gpu",
    UnfitCode.BREAKER_OPEN: "poison",
}

#: The same, and what to do, for what processes die of.
_PAGES_OF_DEATHS: Final = {
    DeathCause.HANG: "hang",
    DeathCause.WATCHDOG: "hang",
    DeathCause.OUT_OF_MEMORY: "out-of-memory",
    DeathCause.DEVICE_LOST: "sick-gpu",
}
_CURE_OF_DEATH: Final = "The logs of these workers have what was before it"
_CURE_OF_NO_ITEM: Final = (
    f"Nothing has to be done if it stays at that: no item has failed by it. {_CURE_OF_DEATH}"
)
_CURES_OF_DEATHS: Final = {
    DeathCause.OUT_OF_MEMORY: "Give the worker more memory, or have fewer models there: "
    "SEQD_SERVES",
    DeathCause.DEVICE_LOST: "Drain the worker (`seqd workers drain`), and look at the device: "
    "`seqd doctor` on that machine",
    DeathCause.NOT_READY: "The start takes too long: see the logs of these workers; `seqd plugins "
    "check`",
}

#: What to do about it; `{host}` is where, `{model}` the model.
_CURES: Final = {
    UnfitCode.DAMAGED: "`seqd doctor --deep` on {host} names the files. Restore the version's "
    "folder from a backup or another host (`seqd models export`, `import`), or take it out of "
    "service: `seqd models rollback {model}`",
    UnfitCode.MISSING: "Have the workers share one store (SEQD_DATA_DIR), or bring the version to "
    "{host}: `seqd models export`, `seqd models import`",
    UnfitCode.UNREADABLE: "Mount the store on {host}, and mend its permissions",
    UnfitCode.UNWRITABLE: "Make room on {host}: `seqd doctor` there says where",
    UnfitCode.NO_LIBRARY: "Install it on {host}, then restart the worker: `seqd workers restart`",
    UnfitCode.NO_MEMORY: "Give the slot more memory, or have fewer models there: SEQD_SERVES",
    UnfitCode.DEVICE_FAULT: "Drain the worker (`seqd workers drain`), and look at the device: "
    "`seqd doctor` on {host}",
    UnfitCode.BREAKER_OPEN: "See what the plugin raises in the worker's log on {host}; `seqd "
    "models rollback {model}` goes back to the version before",
}

#: What is known of the process of a worker of another machine that is up and reports nothing, what
#: to do, and that its parent renews.
_ELSEWHERE: Final = (
    "its process is there, and computes without letting its other threads run, or cannot report",
    "Run `seqd doctor` on its machine, which looks at its process, and see its log",
    True,
)

#: Numbers, which differ between messages of one cause.
_NUMBERS: Final = re.compile(r"[0-9][0-9,.]*")

#: A SHA-256, of which the first characters tell it apart.
_SHA256: Final = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
_CUT: Final = r"\1…"


def fleet_checks(server: "Server") -> list[Check]:
    """Return the checks of the fleet."""
    checks = _Checks(server)
    return [
        Check("workers", checks.by_reports(checks.workers)),
        Check("silent workers", checks.by_reports(checks.silent)),
        Check("deaths of workers' processes", checks.deaths),
        Check("clocks of workers", checks.clocks),
        Check("stopped workers", checks.stopped),
        Check("drains", checks.drains),
        Check("rules of operators", checks.rules),
        Check("paused models", checks.pauses),
        Check("releases of seqd", checks.releases),
        Check("unfit workers", checks.unfit),
        Check("plugins of workers", checks.plugins),
        Check("routes", checks.by_reports(checks.routes)),
        Check("leases", checks.by_reports(checks.leases)),
        Check("tenants", checks.tenants),
        Check("inbox", checks.inbox),
    ]


class _Checks:
    def __init__(self, server: "Server") -> None:
        self._server = server
        self._ledger = server.ledger

    @cached_property
    def _workers(self) -> "list[WorkerStatus]":
        return self._ledger.fleet.workers()

    @cached_property
    def _routes(self) -> "list[RouteWork]":
        return [one for one in self._ledger.backlog.routes(self._workers) if one.items]

    @cached_property
    def _now_ms(self) -> int:
        return self._ledger.fleet.now_ms()

    def by_reports(self, check: Callable[[], Iterator[Finding]]) -> Callable[[], Iterator[Finding]]:
        """Return a check that looks at nothing while workers that run cannot report."""

        def look() -> Iterator[Finding]:
            if not self._server.takes_writes:
                raise NotChecked("Redis takes no writes, so workers cannot report")
            yield from check()

        return look

    def workers(self) -> Iterator[Finding]:
        if not all(map(is_drained, self._workers)):
            return
        items = sum(route.items for route in self._routes)
        told = "No worker is up" + (": all were drained" if self._workers else "")
        yield finding(
            "no-workers",
            f"{told}, and {counted(items, 'item')} wait" if items else told,
            f"End the drain: {uncordon_command(self._workers)}"
            if self._workers
            else "Start them: `seqd up`, or see why your platform does not (`kubectl get pods`, "
            "`systemctl status`)",
            severity=Severity.ERROR if items else Severity.WARNING,
        )

    def silent(self) -> Iterator[Finding]:
        silent = self._ledger.fleet.silent_workers()
        ages_s = {name: (self._now_ms - seen) / 1000 for name, seen in silent.items()}
        recent = {name: age_s for name, age_s in ages_s.items() if age_s <= _DAY_S}
        loops = Counter(place_of(name) for name, age_s in recent.items() if age_s <= _HOUR_S)
        for place, deaths in loops.most_common(_MOST):
            if deaths >= LOOP_DEATHS:
                yield finding(
                    "worker-crash-loop",
                    f"{deaths} workers of {place} died within the last hour",
                    "The last lines of its log say why: logs/SLOT.log in its SEQD_DATA_DIR, or "
                    "`kubectl logs --previous`",
                )
        up = {place_of(one.worker) for one in self._workers}
        gone = [
            name
            for name in recent
            if place_of(name) not in up and loops[place_of(name)] < LOOP_DEATHS
        ]
        if gone:
            yield from self._gone(gone, ages_s)
        yield from self._unheard()
        stale = len(ages_s) - len(recent)
        if stale:
            yield finding(
                "stale-workers",
                f"{counted(stale, 'name')} of workers in Redis, last heard of more than a day ago",
                "`seqd doctor --fix` removes them; so do workers by themselves",
            )

    def _gone(self, gone: Sequence[str], ages_s: Mapping[str, float]) -> Iterator[Finding]:
        """Yield who is gone: each whose process was looked at here, then all others together."""
        known = self._ledger.fleet.last_records(gone)
        ordered = sorted(gone, key=lambda name: ages_s[name])
        settings = self._server.settings
        seen = {name: _process_here(known[name], settings) for name in ordered if name in known}
        here = {name: told for name, told in seen.items() if told is not None}
        for name, process in list(here.items())[:_MOST]:
            yield self._silent_here(name, ages_s[name], process)
        elsewhere = [name for name in ordered if name not in list(here)[:_MOST]]
        if elsewhere:
            told = [
                f"{name} ({_span(ages_s[name])} ago{_whereabouts(known.get(name))})"
                for name in elsewhere
            ]
            yield finding(
                "worker-silent",
                "Not heard of any more, and none is up in their place: "
                f"{counted(len(told), 'worker')}, {listed(told)}. {self._held_by(elsewhere)}",
                "Run `seqd doctor` on its machine, which looks at its process, and see its log; "
                "start it again where it has ended",
            )

    def _unheard(self) -> Iterator[Finding]:
        """Yield who is up by its parent alone: it computes in one call, or cannot report."""
        ages_s = self._ledger.fleet.unheard(self._workers)
        for one in [one for one in self._workers if one.worker in ages_s][:_MOST]:
            process = _process_here(one, self._server.settings)
            yield self._silent_here(one.worker, ages_s[one.worker], process or _ELSEWHERE)

    def _silent_here(self, name: str, age_s: float, process: tuple[str, str, bool]) -> Finding:
        what, do, is_renewed = process
        return finding(
            "worker-silent",
            f"{name} has not been heard of for {_span(age_s)}: {what}. "
            f"{self._held_by([name], is_renewed=is_renewed)}",
            do,
            anchor="hang" if is_renewed else None,
        )

    def _held_by(self, names: Sequence[str], *, is_renewed: bool = False) -> str:
        units = sum(count for _, count in self._ledger.fleet.in_hand(names).values())
        who, verb = ("It", "holds") if len(names) == 1 else ("They", "hold")
        if not units:
            return f"{who} {verb} no units"
        held = f"{who} still {verb} {counted(units, 'unit')}"
        return held if is_renewed else f"{held}, which another may take once leases run out"

    def deaths(self) -> Iterator[Finding]:
        """Yield what the processes of workers that are up have died of within the last hour.

        Those of one cause and one message are one finding, whatever numbers that has.
        """
        groups: defaultdict[tuple[str, str], list[tuple[WorkerStatus, ChildDeath]]]
        groups = defaultdict(list)
        for one in tellers_of_deaths(self._workers):
            for death in recent_deaths(one, self._now_ms):
                groups[death.cause, _NUMBERS.sub("0", death.message)].append((one, death))
        ordered = sorted(groups.values(), key=lambda died: -len(died))
        for died in ordered[:_MOST]:
            yield self._death_finding(died)

    def _death_finding(self, died: "Sequence[tuple[WorkerStatus, ChildDeath]]") -> Finding:
        now_ms = self._now_ms
        last = max((death for _, death in died), key=lambda death: death.at_ms)
        # The places: a worker tells of those before it in its slot, too.
        kept = {place_of(one.worker): len(recent_deaths(one, now_ms)) for one, _ in died}
        times = Counter(place_of(one.worker) for one, _ in died).most_common()
        told = [f"{place} {times_told(n, kept[place])}" for place, n in times]
        looping = Counter(
            place_of(one.worker) for one, death in died if death in deaths_in_loop(one, now_ms)
        )
        is_loop = bool(looping)
        ago_s, item = (now_ms - last.at_ms) / 1000, self._item_of(last)
        cure = _CURES_OF_DEATHS.get(
            last.cause, _CURE_OF_DEATH if is_loop or item else _CURE_OF_NO_ITEM
        )
        return finding(
            "worker-crash-loop" if is_loop else "worker-deaths",
            f"Processes that died within the last hour by {last.cause}: {listed(told)}; the last "
            f"{at_most(last)}{_span(ago_s)} ago. {last.message}{_with_others(looping)}{item}",
            f"{cure}. `seqd failures list` names the items" if item else cure,
            anchor=_PAGES_OF_DEATHS.get(last.cause, "crash-loop" if is_loop or item else ""),
        )

    def _item_of(self, death: "ChildDeath") -> str:
        """Return the last item that failed by such a death since then, as a sentence, or ''."""
        for record in self._failures:
            if record.cause == death.cause and record.at_ms >= death.at_ms:
                named = f"item {record.custom_ids[0]} of job" if record.custom_ids else "job"
                return f" The last that failed by it: {named} {record.job_id}"
        return ""

    @cached_property
    def _failures(self) -> "list[FailureRecord]":
        """The dead letters of the last hour, of many the newest; none for who may not read them."""
        try:
            return self._ledger.failures.since(self._now_ms - 1_000 * _HOUR_S)
        except RedisNoPermission:
            return []

    def clocks(self) -> Iterator[Finding]:
        """Yield the machines whose clocks are off that of Redis, the farthest first."""
        offsets_s = dict[str, float]()
        for one in self._workers:
            if one.clock_offset_ms is not None:
                # By at least so much: of several workers of a machine the farthest knows most.
                both = (offsets_s.get(one.host, 0.0), one.clock_offset_ms / 1000)
                offsets_s[one.host] = max(both, key=abs)
        off = [host for host, offset_s in offsets_s.items() if abs(offset_s) > _SKEW_S]
        if off:
            ordered = sorted(off, key=lambda host: -abs(offsets_s[host]))
            told = [f"{host} {_direction(offsets_s[host])}" for host in ordered]
            yield finding(
                "worker-clock-skew",
                f"The clocks of {len(off)} of {counted(len(offsets_s), 'machine')} of workers are "
                f"off that of Redis: {listed(told)}",
                "Have the clocks of all machines set by NTP: `timedatectl status` shows which is "
                "not. Where all are off alike, it is that of Redis's machine",
            )

    def stopped(self) -> Iterator[Finding]:
        """Yield the workers of which a signal has stopped a process, or whose plugin never stops.

        Such a plugin goes on with what its worker holds no more.
        """
        for one in [one for one in self._workers if one.stopped_pid is not None][:_MOST]:
            pid = one.stopped_pid
            yield finding(
                "worker-stopped",
                f"The process {pid} of {one.worker} is stopped, by a signal",
                f"Let it go on: `kill -CONT {pid}` on {one.host}",
            )
        for one in list(filter(has_lost_claim, self._workers))[:_MOST]:
            yield finding(
                "worker-lost-claim",
                f"{one.worker} takes no work: {lost_claim_told(one)}",
                f"Wait for it. Who cannot ends its process by `kill -KILL {one.pid}` on "
                f"{one.host}, and a new one starts",
            )

    def drains(self) -> Iterator[Finding]:
        for one in self._workers[:1_000]:
            if one.cordon is None or one.cordon.phase != "draining":
                continue
            age_s = (self._now_ms - one.cordon.since_ms) / 1000
            if age_s > _DRAIN_S:
                yield finding(
                    "worker-draining-forever",
                    f"{one.worker} has been draining for {_span(age_s)}",
                    f"See what it does in its log; then end it: `kill -KILL {one.pid}` on "
                    f"{one.host}. "
                    "Another may take what it holds",
                )

    def rules(self) -> Iterator[Finding]:
        old = [
            rule
            for rule in self._ledger.cordons.rules()
            if rule.action is not CordonAction.RESTART
            and self._now_ms - rule.at_ms > 1000 * _RULE_S
        ]
        for rule in old[:_MOST]:
            age = _span((self._now_ms - rule.at_ms) / 1000)
            yield finding(
                "cordon-forgotten",
                f"The rule to {rule.action} {rule.target} has stood for {age}{_by(rule)}",
                f"If it is not needed any more: `seqd workers uncordon {option_of(rule.target)}`",
            )
        if len(old) > _MOST:
            yield finding(
                "cordon-forgotten",
                f"{len(old) - _MOST:,} further rules have stood for more than a day",
                "`seqd workers list` shows them",
            )

    def pauses(self) -> Iterator[Finding]:
        """Yield the models that are paused or disabled, the oldest first."""
        from seqd.ledger.model_pauses import pause_in_words

        pauses = sorted(self._ledger.model_pauses.all().values(), key=lambda one: one.at_ms)
        for pause in pauses[:_MOST]:
            yield finding(
                "model-paused",
                f"The model {pause.model} is {pause_in_words(pause)}",
                f"If it may go on: `seqd models resume {pause.model}`",
            )
        if len(pauses) > _MOST:
            yield finding(
                "model-paused",
                f"{len(pauses) - _MOST:,} further models are paused or disabled",
                "`seqd models list` shows them",
            )

    def releases(self) -> Iterator[Finding]:
        releases = Counter(one.seqd_version for one in self._workers)
        if len(releases) > 1:
            told = [f"{version} ({count})" for version, count in sorted(releases.items())]
            yield finding(
                "mixed-releases",
                f"Workers of {len(releases)} releases of seqd are up: {listed(told)}",
                "Bring the upgrade to its end: docker/upgrade.md. Workers first, then the services "
                "that hand jobs in",
            )

    def unfit(self) -> Iterator[Finding]:
        groups: defaultdict[tuple[str, str, str, str], list[WorkerStatus]] = defaultdict(list)
        for one in self._workers:
            for entry in one.unfit:
                what = entry.model
                if entry.version is not None:
                    what = str(ModelReference(entry.model, entry.version))
                act = TRAIN if entry.version is None else "run"
                groups[f"{act} {what}", entry.model, entry.code, entry.message].append(one)
        for ref, lacked in lacking(self._workers, self._ledger.fleet.catalog()).items():
            why = "its store has no such version, which is in service"
            name = ModelReference.parse(ref).name
            groups[f"run {ref}", name, UnfitCode.MISSING, why] += lacked
        count = len(self._workers)
        ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
        for (what, model, code, message), workers in ordered[:_MOST]:
            named = listed([f"{one.worker} (host {one.host})" for one in workers], 3)
            who = f"Worker {named}" if len(workers) == 1 else f"Workers {named}"
            of = "" if len(workers) == count == 1 else f", {len(workers)} of {count},"
            cure = _CURES.get(cast(UnfitCode, code), "See the logs of workers on {host}")
            hosts = listed(list(dict.fromkeys(one.host for one in workers)), 3)
            yield finding(
                "unfit-workers",
                f"{who}{of} cannot {what}: {code}: {_SHA256.sub(_CUT, message) or 'no reason'}",
                cure.replace("{host}", hosts).replace("{model}", model),
                severity=Severity.ERROR if len(workers) == count else None,
                anchor=_PAGES.get(cast(UnfitCode, code)),
            )
        if len(ordered) > _MOST:
            yield finding(
                "unfit-workers",
                f"{len(ordered) - _MOST:,} further things cannot be run by some workers",
                "`seqd workers list` and `seqd models show` have them",
            )

    def plugins(self) -> Iterator[Finding]:
        telling = [one for one in self._workers if one.plugins]
        yield from _broken(telling)
        yield from _missing(telling)
        yield from _versions(telling)

    def routes(self) -> Iterator[Finding]:
        if not self._workers:
            return  # nobody does any of it, which is said already
        # What is in hand does not wait: a worker that stops finishes it.
        unserved = [one for one in self._routes if one.unserved_s > 0 and one.waiting_items]
        reasons = self._reasons() if unserved else {}
        for route in unserved[:_MOST]:
            job_id, why = reasons.get((route.task, route.model), ("", None))
            is_starting = why is not None and why.code is WaitingCode.STARTING
            see = f"seqd explain {job_id}" if job_id else "seqd queues"
            yield finding(
                "route-unserved",
                f"No worker that is up can do all that waits of {route.task} {route.model} "
                f"({counted(route.waiting_items, 'item')}). {'' if why is None else why.message}",
                "Look again once they have started"
                if is_starting
                else f"Start a worker that can, or see what keeps those that are up: `{see}`",
                severity=Severity.WARNING if is_starting else None,
            )
        for route in self._routes:
            yield from self._backlog(route)

    def _backlog(self, route: "RouteWork") -> Iterator[Finding]:
        able = sum(takes(one, route.task, route.model) for one in self._workers)
        if not able or route.task == TRAIN:
            return
        each_s = (route.seconds - route.unserved_s) / able
        wait_s = route.oldest_wait_s or 0.0
        if each_s < _BACKLOG_S and wait_s < _WAIT_S:
            return
        yield finding(
            "backlog-grows",
            f"{route.items:,} items of {route.task} {route.model} are {_span(each_s)} of work for "
            f"each of {counted(able, 'worker')} that can do it; the oldest job that nobody has "
            f"begun has waited for {_span(wait_s)}",
            "Start more workers (docker/scaling.md), or see whose jobs they are: `seqd tenants "
            "list`",
        )

    def _reasons(self) -> "dict[tuple[str, str], tuple[str, Waiting]]":
        """Return a job and why it waits, by task and model, of the newest open jobs."""
        from seqd_schemas import task_of

        found: dict[tuple[str, str], tuple[str, Waiting]] = {}
        for record in self._ledger.jobs.newest_open(_LOOKED_AT):
            waiting = waiting_of(record, self._workers)
            if waiting is not None:
                # Trainings have the route of their plugin, whatever the model is called.
                model = record.plugin or record.model if record.version is None else record.model
                found.setdefault((task_of(record.job), model), (record.job_id, waiting))
        return found

    def leases(self) -> Iterator[Finding]:
        if not self._workers:
            return  # nobody is there to reconcile, which is said already
        key = self._server.settings.keys.timers()
        with redis_errors(self._server.redis):
            rows = self._server.redis.zrange(key, 0, 0, withscores=True)
        late_s = [
            (self._now_ms - float(score)) / 1000
            for _, score in cast("list[tuple[bytes, float]]", rows)
        ]
        if late_s and late_s[0] > _OVERDUE_S:
            yield finding(
                "leases-overdue",
                f"A lease or a wait ran out {_span(late_s[0])} ago, and no worker has seen to it",
                "See the logs of workers for `reconciler`; restart them: `seqd workers restart "
                "--wait`",
            )

    def tenants(self) -> Iterator[Finding]:
        full = sorted(
            (
                (share, what, one.tenant)
                for one in self._ledger.tenants.all()
                for share, what in _shares(one)
            ),
            reverse=True,
        )
        for share, what, name in full[:_MOST]:
            yield finding(
                "tenant-full",
                f"The tenant {name} uses {share:.0%} of the {what} that it may have waiting"
                f"{f'. {WHY_OVER}' if share > 1 else ''}",
                f"`seqd jobs list --tenant {name}` shows what waits; `seqd tenants set {name}` "
                "gives it more",
            )

    def inbox(self) -> Iterator[Finding]:
        state = self._ledger.inbox.state()
        allowed = state.allowed_entries
        is_full = allowed is not None and state.entries >= allowed
        age_s = state.oldest_age_s or 0.0
        if state.entries and (is_full or age_s > _INBOX_S):
            of = "" if allowed is None else f" of {allowed:,}"
            yield finding(
                "inbox-stuck",
                f"Entries that wait in the inbox: {state.entries:,}{of}, the oldest for "
                f"{_span(age_s)}",
                "Start workers: each of them empties it. Where they are up, see their logs for "
                "`inbox`, and whether Redis is full",
            )


def _with_others(looping: Mapping[str, int]) -> str:
    """Return that deaths are part of a crash loop with those of other causes; or ''."""
    several = [place for place, deaths in looping.items() if deaths < LOOP_DEATHS]
    if not several or len(several) < len(looping):
        return ""
    return f" {listed(several, 3)} died again and again within ten minutes, by several causes."


def _broken(workers: "Sequence[WorkerStatus]") -> Iterator[Finding]:
    broken: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for one in workers:
        for plugin in one.plugins:
            if plugin.state is PluginState.BROKEN:
                broken[plugin.name, plugin.reason].append(one.worker)
    for (name, reason), names in list(broken.items())[:_MOST]:
        yield finding(
            "plugin-broken",
            f"The plugin {name} is broken on {listed(names, 3)}: {reason}",
            f"Mend it (`seqd plugins check {name}`), or leave it out there: SEQD_DISABLED_PLUGINS",
        )


def _missing(workers: "Sequence[WorkerStatus]") -> Iterator[Finding]:
    has: defaultdict[str, set[str]] = defaultdict(set)
    for one in workers:
        for plugin in one.plugins:
            has[plugin.name].add(one.worker)
    for name, names in sorted(has.items())[:1_000]:
        lacking = [one.worker for one in workers if one.worker not in names]
        if lacking:
            yield finding(
                "plugin-missing",
                f"The plugin {name} is missing on {listed(lacking, 3)}, and {len(names)} other "
                f"{'worker has' if len(names) == 1 else 'workers have'} it",
                "Install it there, unless that was done since they started (`seqd plugins list` "
                "says which); then `seqd workers restart`",
            )


def _versions(workers: "Sequence[WorkerStatus]") -> Iterator[Finding]:
    versions: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in workers:
        for plugin in one.plugins:
            versions[plugin.name][plugin.version] += 1
    for name, counts in sorted(versions.items()):
        if len(counts) > 1:
            told = [f"{version or 'none'} ({count})" for version, count in counts.most_common()]
            yield finding(
                "plugin-versions",
                f"Workers have the plugin {name} in {len(counts)} versions: {listed(told)}",
                "Install one version everywhere (`seqd plugins list` says what), then `seqd "
                "workers restart`",
            )


def _shares(record: "TenantRecord") -> Iterator[tuple[float, str]]:
    limits = record.limits
    pairs = (
        (record.open_jobs, limits.jobs, "jobs"),
        (record.waiting_items, limits.items, "items"),
        (record.waiting_bytes, limits.bytes, "bytes"),
    )
    for used, most, what in pairs:
        if most and used / most >= _TENANT_SHARE:
            yield used / most, what


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


def _whereabouts(last: "WorkerStatus | None") -> str:
    """Return what is known of a worker that is gone, as words in brackets."""
    return "" if last is None else f", slot {last.slot} of {last.host}, process {last.pid}"


def _direction(offset_s: float) -> str:
    return f"{abs(offset_s):,.1f} s {'ahead' if offset_s > 0 else 'behind'}"


def _by(rule: "CordonRule") -> str:
    told = [f"by {rule.by}"] if rule.by else []
    told += [f"because: {rule.reason}"] if rule.reason else []
    return f", {', '.join(told)}" if told else ""


def _span(seconds: float) -> str:
    """Return a span of time, such as `42 s`, `5 min`, `3.2 h` or `2.1 d`."""
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    if seconds < 2 * _DAY_S:
        return f"{seconds / _HOUR_S:.1f} h"
    return f"{seconds / _DAY_S:.1f} d"

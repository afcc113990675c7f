"""What is wrong with a fleet, by what was read of it at one moment: workers, routes, the inbox.

Pure. `seqd doctor` shows each finding in full, and looks at leases and tenants beside that; `seqd
status`, `top`, `queues` and `workers list` show the sentences of the same list.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

from seqd.doctor.findings import Finding, Severity, bounded, finding
from seqd.doctor.plugin_places import fleet_of, uneven
from seqd.kinds import TRAIN
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
    starts_with,
    tellers_of_deaths,
    times_told,
    uncordon_command,
    waiting_of_each,
)
from seqd.targets import option_of
from seqd.wording import counted, first_of, span
from seqd_schemas import (
    CordonAction,
    DeathCause,
    ModelReference,
    PluginState,
    UnfitCode,
    WorkerState,
    task_of,
)

if TYPE_CHECKING:
    from seqd.ledger.overview import FleetOverview
    from seqd.queue_states import QueueState
    from seqd_schemas import ChildDeath, FailureRecord, WorkerStatus

MINUTE_S: Final = 60
HOUR_S: Final = 3_600
DAY_S: Final = 24 * HOUR_S

#: Seconds that a rule may stand.
_RULE_S: Final = DAY_S

#: Part of the share of Redis's memory from which on it is told that little is left.
NEARLY: Final = 0.9

#: Seconds that a start and a drain may take.
_START_S: Final = 30
_DRAIN_S: Final = 15 * MINUTE_S

#: Seconds of work for each worker that can do it, and of a wait, that are a backlog.
_BACKLOG_S: Final = HOUR_S
_WAIT_S: Final = 15 * MINUTE_S

#: Seconds by which the clock of a worker's machine may be off Redis's.
_SKEW_S: Final = 2.0

#: Seconds that an entry of the inbox may wait.
_INBOX_S: Final = MINUTE_S

#: Findings of why queues stand, and of what ails workers.
_HELD_UP: Final = frozenset({"worker-silent", "worker-lost-claim", "worker-starting"})
OF_QUEUES: Final = _HELD_UP | {"no-workers", "route-unserved", "model-paused"}
OF_WORKERS: Final = _HELD_UP | {
    "worker-crash-loop",
    "worker-deaths",
    "worker-stopped",
    "worker-draining-forever",
    "worker-clock-skew",
    "unfit-workers",
}

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
    "folder from a backup or another host's store. Where it is in service, put another version "
    "there meanwhile: `seqd models promote {model}@N`",
    UnfitCode.MISSING: "Have the workers share one store: SEQD_DATA_DIR on {host}",
    UnfitCode.UNREADABLE: "Mount the store on {host}, and mend its permissions",
    UnfitCode.UNWRITABLE: "Make room on {host}: `seqd doctor` there says where",
    UnfitCode.NO_LIBRARY: "Install it on {host}, then restart the worker: `seqd workers restart`",
    UnfitCode.NO_MEMORY: "Give the slot more memory, or have fewer models there: SEQD_SERVES",
    UnfitCode.DEVICE_FAULT: "Drain the worker (`seqd workers drain`), and look at the device: "
    "`seqd doctor` on {host}",
    UnfitCode.BREAKER_OPEN: "See what the plugin raises in the worker's log on {host}. Where "
    "the version is in service, `seqd models rollback {model}` goes back to the one before",
}

#: What to do where Redis has no room.
ROOM: Final = (
    "See who keeps most: `seqd tenants list`. Remove ended jobs (`seqd jobs rm`), or raise "
    "maxmemory (`redis-cli config set maxmemory`)"
)

#: What is known of the process of a worker of another machine that is up and reports nothing, what
#: to do, and that its parent renews.
_ELSEWHERE: Final = (
    "its process is there, and computes without letting its other threads run, or cannot report",
    "Run `seqd doctor` on its machine, which looks at its process, and see its log",
    True,
)

#: Numbers and the ends of workers' names, which differ between messages of one cause.
_NUMBERS: Final = re.compile(r"(?<=-)[0-9a-f]{6}\b|[0-9][0-9,.]*")

#: Where in a plugin's code an error was raised: another place for each plugin.
_CODE_PLACE: Final = re.compile(r" \([^()]*, line \d+, in [^()]*\)$")

#: A SHA-256, of which the first characters tell it apart.
_SHA256: Final = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
_CUT: Final = r"\1…"


#: What a worker's process does, what to do about it, and whether its parent renews what it holds.
Process = tuple[str, str, bool]


class Beside(Protocol):
    """What is known of workers that are not heard of, beside when they were."""

    def last_records(self, names: Sequence[str]) -> "Mapping[str, WorkerStatus]":
        """Return what they said last."""

    def units_held(self, names: Sequence[str]) -> int:
        """Return the units that they hold."""

    def process(self, last: "WorkerStatus") -> Process | None:
        """Return what is seen of a worker's process; None of another machine."""


def judged(overview: "FleetOverview") -> list[Finding]:
    """Return what is wrong with a fleet, the worst first."""
    # While Redis takes no writes workers cannot report: what they wrote says nothing of who is up.
    by_reports = (workers_up, routes, silence) if overview.no_writes is None else ()
    always = (
        memory, stopped, deaths, unfit, plugins, pauses, inbox, drains, rules, clocks, releases,
    )  # fmt: skip
    found = [one for judge in (*by_reports, *always) for one in bounded(judge(overview))]
    return sorted(found, key=lambda one: list(Severity).index(one.severity))


def memory(fleet: "FleetOverview") -> Iterator[Finding]:
    """Yield that Redis has little room for new work."""
    held = fleet.memory
    if held is not None and held.max_bytes and fleet.no_writes is None:
        yield from memory_used("Redis", held.used_bytes, held.max_bytes, held.share)


def memory_used(
    who: str, used: int, whole: int, share: float, of: str = "maxmemory", waiting: str = ""
) -> Iterator[Finding]:
    """Yield that little is left of what a server may use, or that uploads are `waiting` for it."""
    ratio = used / whole
    if ratio >= share * NEARLY or waiting:
        yield finding(
            "redis-memory-high",
            f"{who} uses {ratio:.0%} of {of} ({_mb(used)} of {_mb(whole)}); above {share:.0%} "
            "(SEQD_MAX_MEMORY_SHARE), with what is being sent, new jobs are refused and uploads "
            f"wait{waiting}",
            ROOM,
            severity=Severity.ERROR if ratio >= share else Severity.WARNING,
        )


def rules(fleet: "FleetOverview") -> Iterator[Finding]:
    """Yield the rules that keep workers from claiming for long."""
    for rule in fleet.rules or ():
        age_s = (fleet.at_ms - rule.at_ms) / 1000
        if rule.action is not CordonAction.RESTART and age_s > _RULE_S:
            by = [f"by {rule.by}"] if rule.by else []
            by += [f"because: {rule.reason}"] if rule.reason else []
            yield finding(
                "cordon-forgotten",
                f"The rule to {rule.action} {rule.target} has stood for "
                f"{', '.join([span(age_s), *by])}",
                f"If it is not needed any more: `seqd workers uncordon {option_of(rule.target)}`",
            )


def workers_up(fleet: "FleetOverview") -> Iterator[Finding]:
    """Yield that no worker is up."""
    if not all(map(is_drained, fleet.workers)):
        return
    items = sum(map(_items, fleet.queues))
    told = "No worker is up" + (": all were drained" if fleet.workers else "")
    yield finding(
        "no-workers",
        f"{told}, and {counted(items, 'item')} wait" if items else told,
        f"End the drain: {uncordon_command(fleet.workers)}"
        if fleet.workers
        else "Start them: `seqd up`, or see why your platform does not (`kubectl get pods`, "
        "`systemctl status`)",
        severity=Severity.ERROR if items else Severity.WARNING,
    )


def silence(fleet: "FleetOverview", beside: Beside | None = None) -> Iterator[Finding]:
    """Yield who of the last day is not heard of, and who is up and takes nothing yet.

    Of those the last records, processes and what they hold are told where `beside` knows them.
    """
    ages_s = {name: (fleet.at_ms - seen) / 1000 for name, seen in fleet.silent.items()}
    recent = {name: age_s for name, age_s in ages_s.items() if age_s <= DAY_S}
    loops = Counter(place_of(name) for name, age_s in recent.items() if age_s <= HOUR_S)
    for place, died in loops.most_common():
        if died >= LOOP_DEATHS:
            yield finding(
                "worker-crash-loop",
                f"{died} workers of {place} died within the last hour",
                "The last lines of its log say why: logs/SLOT.log in its SEQD_DATA_DIR, or "
                "`kubectl logs --previous`",
            )
    up = {place_of(one.worker) for one in fleet.workers}
    gone = [
        name
        for name in sorted(recent, key=lambda name: recent[name])
        if place_of(name) not in up and loops[place_of(name)] < LOOP_DEATHS
    ]
    if gone:
        yield from _gone(gone, ages_s, beside)
    for one in [one for one in fleet.workers if one.worker in fleet.unheard]:
        process = None if beside is None else beside.process(one)
        age_s = fleet.unheard[one.worker]
        yield _silent(one.worker, age_s, process or _ELSEWHERE, beside)
    for one in fleet.workers:
        starting_s = (one.seen_at_ms - one.started_at_ms) / 1000
        if one.state is WorkerState.STARTING and starting_s >= _START_S:
            yield finding(
                "worker-starting",
                f"{one.worker} has been starting for {starting_s:,.0f} s, and {starts_with(one)} "
                "before it takes jobs",
                "Its log says more",
            )


def _gone(
    names: Sequence[str], ages_s: Mapping[str, float], beside: Beside | None
) -> Iterator[Finding]:
    """Yield who is gone: each whose process was looked at, then all others together."""
    known = {} if beside is None else beside.last_records(names)
    seen = {} if beside is None else {name: beside.process(last) for name, last in known.items()}
    here = [name for name in names if seen.get(name) is not None]
    for name in here:
        yield _silent(name, ages_s[name], seen[name] or _ELSEWHERE, beside)
    elsewhere = [name for name in names if name not in here]
    if elsewhere:
        told = [
            f"{name} ({span(ages_s[name])} ago{_whereabouts(known.get(name))})"
            for name in elsewhere
        ]
        yield finding(
            "worker-silent",
            "Not heard of any more, and none is up in their place: "
            f"{counted(len(told), 'worker')}, {first_of(told)}{_held_by(elsewhere, beside)}",
            "Run `seqd doctor` on its machine, which looks at its process, and see its log; "
            "start it again where it has ended",
        )


def _silent(name: str, age_s: float, process: Process, beside: Beside | None) -> Finding:
    what, do, is_renewed = process
    held = _held_by([name], beside, is_renewed=is_renewed)
    return finding(
        "worker-silent",
        f"{name} has not been heard of for {span(age_s)}: {what}{held}",
        do,
        anchor="hang" if is_renewed else None,
    )


def _held_by(names: Sequence[str], beside: Beside | None, *, is_renewed: bool = False) -> str:
    """Return what workers hold, as a sentence behind another; '' where that is not known."""
    if beside is None:
        return ""
    units = beside.units_held(names)
    who, verb = ("It", "holds") if len(names) == 1 else ("They", "hold")
    if not units:
        return f". {who} {verb} no units"
    held = f". {who} still {verb} {counted(units, 'unit')}"
    return held if is_renewed else f"{held}, which another may take once leases run out"


def deaths(fleet: "FleetOverview") -> Iterator[Finding]:
    """Yield what the processes of workers that are up have died of within the last hour.

    Those of one cause and one message are one finding, whatever numbers that has.
    """
    groups: defaultdict[tuple[str, str], list[tuple[WorkerStatus, ChildDeath]]]
    groups = defaultdict(list)
    for one in tellers_of_deaths(fleet.workers):
        for death in recent_deaths(one, fleet.at_ms):
            groups[death.cause, _NUMBERS.sub("0", death.message)].append((one, death))
    ordered = sorted(groups.values(), key=lambda died: -len(died))
    for died in ordered:
        yield _death_finding(died, fleet)


def _death_finding(
    died: "Sequence[tuple[WorkerStatus, ChildDeath]]", fleet: "FleetOverview"
) -> Finding:
    now_ms = fleet.at_ms
    last = max((death for _, death in died), key=lambda death: death.at_ms)
    # The places: a worker tells of those before it in its slot, too.
    kept = {place_of(one.worker): len(recent_deaths(one, now_ms)) for one, _ in died}
    times = Counter(place_of(one.worker) for one, _ in died).most_common()
    told = [f"{place} {times_told(n, kept[place])}" for place, n in times]
    looping = Counter(
        place_of(one.worker) for one, death in died if death in deaths_in_loop(one, now_ms)
    )
    is_loop = bool(looping)
    ago_s, item = (now_ms - last.at_ms) / 1000, _item_of(last, fleet.failures or ())
    is_harmless = fleet.failures is not None and not (is_loop or item)
    cure = _CURES_OF_DEATHS.get(last.cause, _CURE_OF_NO_ITEM if is_harmless else _CURE_OF_DEATH)
    return finding(
        "worker-crash-loop" if is_loop else "worker-deaths",
        f"Processes that died within the last hour by {last.cause}: {first_of(told)}; the last "
        f"{at_most(last)}{span(ago_s)} ago. {last.message}{_with_others(looping)}{item}",
        f"{cure}. `seqd failures list` names the items" if item else cure,
        anchor=_PAGES_OF_DEATHS.get(last.cause, "crash-loop" if is_loop or item else ""),
    )


def _item_of(death: "ChildDeath", failures: "Sequence[FailureRecord]") -> str:
    """Return the last item that failed by such a death since then, as a sentence, or ''."""
    for record in failures:
        if record.cause == death.cause and record.at_ms >= death.at_ms:
            named = f"item {record.custom_ids[0]} of job" if record.custom_ids else "job"
            return f" The last that failed by it: {named} {record.job_id}"
    return ""


def clocks(fleet: "FleetOverview") -> Iterator[Finding]:
    """Yield the machines whose clocks are off that of Redis, the farthest first."""
    offsets_s = dict[str, float]()
    for one in fleet.workers:
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
            f"off that of Redis: {first_of(told)}",
            "Have the clocks of all machines set by NTP: `timedatectl status` shows which is "
            "not. Where all are off alike, it is that of Redis's machine",
        )


def stopped(fleet: "FleetOverview") -> Iterator[Finding]:
    """Yield the workers of which a signal has stopped a process, or whose plugin never stops.

    Such a plugin goes on with what its worker holds no more.
    """
    for one in [one for one in fleet.workers if one.stopped_pid is not None]:
        pid = one.stopped_pid
        yield finding(
            "worker-stopped",
            f"The process {pid} of {one.worker} is stopped, by a signal",
            f"Let it go on: `kill -CONT {pid}` on {one.host}",
        )
    for one in filter(has_lost_claim, fleet.workers):
        yield finding(
            "worker-lost-claim",
            f"{one.worker} takes no work: {lost_claim_told(one)}",
            f"Wait for it. Who cannot ends its process by `kill -KILL {one.pid}` on "
            f"{one.host}, and a new one starts",
        )


def drains(fleet: "FleetOverview") -> Iterator[Finding]:
    """Yield the workers whose drain takes long."""
    for one in fleet.workers:
        if one.cordon is None or one.cordon.phase != "draining":
            continue
        age_s = (fleet.at_ms - one.cordon.since_ms) / 1000
        if age_s > _DRAIN_S:
            yield finding(
                "worker-draining-forever",
                f"{one.worker} has been draining for {span(age_s)}",
                f"See what it does in its log; then end it: `kill -KILL {one.pid}` on "
                f"{one.host}. Another may take what it holds",
            )


def pauses(fleet: "FleetOverview") -> Iterator[Finding]:
    """Yield the models that are paused or disabled, the oldest first."""
    from seqd.ledger.model_pauses import pause_in_words

    for pause in sorted(fleet.pauses.values(), key=lambda one: one.at_ms):
        yield finding(
            "model-paused",
            f"The model {pause.model} is {pause_in_words(pause)}",
            f"If it may go on: `seqd models resume {pause.model}`",
        )


def releases(fleet: "FleetOverview") -> Iterator[Finding]:
    """Yield that workers are of several releases."""
    counts = Counter(one.seqd_version for one in fleet.workers)
    if len(counts) > 1:
        told = [f"{version} ({count})" for version, count in sorted(counts.items())]
        yield finding(
            "mixed-releases",
            f"Workers of {len(counts)} releases of seqd are up: {first_of(told)}",
            "Bring the upgrade to its end: docker/upgrade.md. Workers first, then the services "
            "that hand jobs in",
        )


class _Lack(NamedTuple):
    """What a worker cannot do, and why."""

    act: str
    #: The model, or its version.
    what: str
    code: str
    message: str

    @property
    def model(self) -> str:
        return self.what.partition("@")[0]

    @property
    def cure(self) -> str:
        return _CURES.get(cast(UnfitCode, self.code), "See the logs of workers on {host}")


def unfit(fleet: "FleetOverview") -> Iterator[Finding]:
    """Yield what workers cannot run, those with one reason together."""
    lacks: defaultdict[_Lack, list[WorkerStatus]] = defaultdict(list)
    for one in fleet.workers:
        for entry in one.unfit:
            what = entry.model
            if entry.version is not None:
                what = str(ModelReference(entry.model, entry.version))
            act = TRAIN if entry.version is None else "run"
            lacks[_Lack(act, what, entry.code, entry.message)].append(one)
    for ref, lacked in lacking(fleet.workers, fleet.catalog, fleet.at_ms).items():
        why = "its store has no such version, which is in service"
        lacks[_Lack("run", ref, UnfitCode.MISSING, why)] += lacked
    count = len(fleet.workers)
    for alike, workers in _of_one_cause(lacks):
        named = first_of([f"{one.worker} (host {one.host})" for one in workers], 3)
        who = f"Worker {named}" if len(workers) == 1 else f"Workers {named}"
        of = "" if len(workers) == count == 1 else f", {len(workers)} of {count},"
        lack, hosts = alike[0], first_of(list(dict.fromkeys(one.host for one in workers)), 3)
        what, why = first_of(one.what for one in alike), _SHA256.sub(_CUT, lack.message)
        yield finding(
            "unfit-workers",
            f"{who}{of} cannot {lack.act} {what}: {lack.code}: {why or 'no reason'}",
            lack.cure.replace("{host}", hosts).replace("{model}", lack.model),
            severity=Severity.ERROR if len(workers) == count else None,
            anchor=_PAGES.get(cast(UnfitCode, lack.code)),
        )


def _of_one_cause(
    lacks: Mapping[_Lack, list["WorkerStatus"]],
) -> list[tuple[list[_Lack], list["WorkerStatus"]]]:
    """Return what the same workers lack for one cause, together; what most lack first."""
    found: dict[tuple[object, ...], tuple[list[_Lack], list[WorkerStatus]]] = {}
    for lack, workers in sorted(lacks.items(), key=lambda item: -len(item[1])):
        names, why = tuple(one.worker for one in workers), _CODE_PLACE.sub("", lack.message)
        model = lack.model if "{model}" in lack.cure else ""
        cause = (names, lack.act, lack.code, why, model)
        found.setdefault(cause, ([], workers))[0].append(lack)
    return list(found.values())


def plugins(fleet: "FleetOverview") -> Iterator[Finding]:
    """Yield the plugins that are broken, missing, or in several versions on workers."""
    yield from _broken(fleet.workers)
    yield from uneven(fleet_of(fleet.workers))


def routes(fleet: "FleetOverview") -> Iterator[Finding]:
    """Yield the tasks and models of which work waits that nobody can do, or for long."""
    if all(map(is_drained, fleet.workers)):
        return  # nobody does any of it, which is said already
    # What is in hand does not wait: a worker that stops finishes it.
    unserved = [one for one in fleet.queues if one.reason and one.waiting_items]
    jobs = _jobs_that_wait(fleet) if unserved else {}
    for queue in unserved:
        job_id, why = jobs.get((queue.task, queue.model), ("", queue.reason))
        is_starting = queue.state == "waiting"
        see = f"seqd explain {job_id}" if job_id else "seqd workers list"
        yield finding(
            "route-unserved",
            f"No worker that is up can do all that waits of {queue.task} {queue.model} "
            f"({counted(queue.waiting_items, 'item')}). {why}",
            "Look again once they have started"
            if is_starting
            else f"Start a worker that can, or see what keeps those that are up: `{see}`",
            severity=Severity.WARNING if is_starting else None,
        )
    for queue in fleet.queues:
        yield from _backlog(queue)


def _jobs_that_wait(fleet: "FleetOverview") -> dict[tuple[str, str], tuple[str, str]]:
    """Return a job and why it waits, by task and model, of the newest open jobs."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    reasons = waiting_of_each(fleet.jobs, fleet.workers)
    for record, waiting in zip(fleet.jobs, reasons, strict=True):
        if waiting is not None:
            # Trainings have the route of their plugin, whatever the model is called.
            model = record.plugin or record.model if record.version is None else record.model
            found.setdefault((task_of(record.job), model), (record.job_id, waiting.message))
    return found


def _items(queue: "QueueState") -> int:
    return queue.waiting_items + queue.items_in_hand


def _backlog(queue: "QueueState") -> Iterator[Finding]:
    able = queue.workers.able
    if not able or not _items(queue) or queue.task == TRAIN:
        return
    each_s, wait_s = queue.work_left_s / able, queue.oldest_wait_s or 0.0
    if each_s < _BACKLOG_S and wait_s < _WAIT_S:
        return
    yield finding(
        "backlog-grows",
        f"{_items(queue):,} items of {queue.task} {queue.model} are {span(each_s)} of work for "
        f"each of {counted(able, 'worker')} that can do it; the oldest job that nobody has "
        f"begun has waited for {span(wait_s)}",
        "Start more workers (docker/scaling.md), or see whose jobs they are: `seqd tenants list`",
    )


def inbox(fleet: "FleetOverview") -> Iterator[Finding]:
    """Yield that the inbox is not emptied."""
    state = fleet.inbox
    allowed = state.allowed_entries
    is_full = allowed is not None and state.entries >= allowed
    age_s = state.oldest_age_s or 0.0
    if state.entries and (is_full or age_s > _INBOX_S):
        of = "" if allowed is None else f" of {allowed:,}"
        yield finding(
            "inbox-stuck",
            f"Entries that wait in the inbox: {state.entries:,}{of}, the oldest for {span(age_s)}",
            "Start workers: each of them empties it. Where they are up, see their logs for "
            "`inbox`, and whether Redis is full",
        )


def _with_others(looping: Mapping[str, int]) -> str:
    """Return that deaths are part of a crash loop with those of other causes; or ''."""
    several = [place for place, deaths in looping.items() if deaths < LOOP_DEATHS]
    if not several or len(several) < len(looping):
        return ""
    return f" {first_of(several, 3)} died again and again within ten minutes, by several causes."


def _broken(workers: "Sequence[WorkerStatus]") -> Iterator[Finding]:
    broken: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for one in workers:
        for plugin in one.plugins:
            if plugin.state is PluginState.BROKEN:
                broken[plugin.name, plugin.reason].append(one.worker)
    for (name, reason), names in broken.items():
        yield finding(
            "plugin-broken",
            f"The plugin {name} is broken on {first_of(names, 3)}: {reason}",
            f"Mend it (`seqd plugins check {name}`), or leave it out there: SEQD_DISABLED_PLUGINS",
        )


def _whereabouts(last: "WorkerStatus | None") -> str:
    """Return what is known of a worker that is gone, as words in brackets."""
    return "" if last is None else f", slot {last.slot} of {last.host}, process {last.pid}"


def _mb(count: int) -> str:
    return f"{count / 1_000_000:,.0f} MB"


def _direction(offset_s: float) -> str:
    return f"{abs(offset_s):,.1f} s {'ahead' if offset_s > 0 else 'behind'}"

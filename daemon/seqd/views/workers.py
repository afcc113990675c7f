"""What is said of workers: columns of tables, and a line on their devices and memory."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import JsonValue

from seqd.kinds import TRAIN
from seqd.local.gpus import in_gib
from seqd.serving import only_there, recent_deaths, shown_state
from seqd.targets import meant_by, option_of
from seqd.views.columns import Cell, Column
from seqd.views.numbers import age, clock, counted, rate, size
from seqd_schemas import (
    CatalogEntry,
    ChildDeath,
    Cordon,
    CordonRule,
    DeviceStatus,
    ModelReference,
    PluginState,
    UnfitVersion,
    WorkerStatus,
)

#: Models that a line names.
_MOST_NAMES: Final = 16

_STYLES: Final = {
    "silent": "bold red",
    "stopped": "bold red",
    "unfit": "bold red",
    "busy": "green",
    "cordoned": "yellow",
    "draining": "yellow",
    "drained": "yellow",
    "starting": "yellow",
}


#: States of workers by how much they need somebody: those of the sick, then others, behind those
#: that something ails; the rest are in order.
_SICK: Final = ("silent", "stopped", "unfit")
_TROUBLE: Final = (*_SICK, "ailing", "starting", "draining", "drained", "cordoned")


@dataclass(frozen=True, slots=True)
class SeenWorker:
    """A worker at one moment: one that is up, or one that is not heard of any more."""

    name: str
    state: str
    seen_at_ms: int
    now_ms: int
    #: What it says; None of one that is not heard of.
    status: WorkerStatus | None = None
    #: What such a one said last, as long as that is known.
    last: WorkerStatus | None = None
    jobs: int = 0
    units: int = 0
    #: Items a second, where that is measured.
    per_s: float | None = None

    @property
    def known(self) -> WorkerStatus | None:
        """What it says, or said last."""
        return self.status or self.last

    @property
    def slot_and_host(self) -> tuple[str, str]:
        """Where it runs; else what is in a name `SLOT@HOST-NONCE`, or ''."""
        if self.known is not None:
            return self.known.slot, self.known.host
        slot, _, host = self.name.rpartition("-")[0].rpartition("@")
        return (slot, host) if slot else ("", "")

    @property
    def states(self) -> list[str]:
        """What its cell in a table calls it, such as ready, and unfit for something."""
        is_unfit = self.status is not None and bool(self.status.unfit)
        return list(dict.fromkeys([self.state, *(["unfit"] if is_unfit else [])]))

    @property
    def trouble(self) -> int:
        """How much it needs somebody: 0 most, `len(_TROUBLE)` not at all."""
        if self.state in _SICK:
            return _TROUBLE.index(self.state)
        known = self.status
        if known is not None and (known.unfit or self.recent_deaths or _is_broken(known)):
            return len(_SICK)
        return _TROUBLE.index(self.state) if self.state in _TROUBLE else len(_TROUBLE)

    @property
    def since_ms(self) -> int:
        """When its child started, or when it was heard of last."""
        return self.seen_at_ms if self.status is None else self.status.started_at_ms

    @property
    def recent_deaths(self) -> int:
        """Deaths of its processes within the last hour, of those that it tells of."""
        return 0 if self.status is None else len(recent_deaths(self.status, self.now_ms))

    def as_json(self) -> dict[str, JsonValue]:
        """Return it as a program reads it."""
        known, (slot, host) = self.known, self.slot_and_host
        row: dict[str, JsonValue] = {"worker": self.name, "state": self.state}
        row |= {"host": host, "slot": slot} if slot else {}
        row |= {"jobs_in_hand": self.jobs, "units_in_hand": self.units}
        if known is not None:
            row |= {"device": slot.rpartition("@")[2], "labels": dict(known.labels)}
            row["seqd_version"] = known.seqd_version
        if self.status is not None:
            row |= self.status.model_dump(mode="json", include=_TOLD)
            row["unfit"] = len(self.status.unfit)
        elif self.last is not None:
            row["pid"] = self.last.pid
        seconds = max(0, self.now_ms - self.since_ms) // 1_000
        return row | {"seen_at_ms": self.seen_at_ms, "age_s": seconds}


#: What programs read of a worker as it says it.
_TOLD: Final = {
    "loaded_bytes",
    "memory_budget_bytes",
    "left_out",
    "deaths",
    "death_counts",
    "cordon",
    "supervised",
    "started_at_ms",
}


def seen_workers(
    workers: Sequence[WorkerStatus],
    silent: Mapping[str, int],
    unheard: Collection[str],
    now_ms: int,
    *,
    in_hand: Mapping[str, tuple[int, int]] | None = None,
    last: Mapping[str, WorkerStatus] | None = None,
) -> list[SeenWorker]:
    """Return the workers that are up, then those that are `silent`: not heard of any more.

    `in_hand` are jobs and units by worker; `last` is what those that are silent said last.
    """
    held, said = in_hand or {}, last or {}
    seen = [
        SeenWorker(one.worker, shown_state(one, unheard), one.seen_at_ms, now_ms, status=one)
        for one in workers
    ]
    seen += [
        SeenWorker(name, "silent", seen_at_ms, now_ms, last=said.get(name))
        for name, seen_at_ms in sorted(silent.items())
    ]
    return [
        replace(one, jobs=held.get(one.name, (0, 0))[0], units=held.get(one.name, (0, 0))[1])
        for one in seen
    ]


def _of_known(told: Callable[[WorkerStatus], str]) -> Callable[[SeenWorker], str]:
    """Return what a cell has of what a worker says, or said last; `-` where that is nothing."""
    return lambda one: "-" if one.known is None else told(one.known) or "-"


def _of_up(told: Callable[[WorkerStatus], str]) -> Callable[[SeenWorker], str]:
    """Return what a cell has of a worker that is up."""
    return lambda one: "-" if one.status is None else told(one.status) or "-"


def _state(one: SeenWorker) -> Cell:
    return Cell(one.state, _STYLES.get(one.state, ""))


def _state_and_unfit(one: SeenWorker) -> Cell:
    unfit = 0 if one.status is None else len(one.status.unfit)
    told = f"{one.state}, {unfit} unfit" if unfit and one.state != "unfit" else one.state
    return Cell(told, "red" if unfit else _STYLES.get(one.state, ""))


def _is_broken(worker: WorkerStatus) -> bool:
    return any(plugin.state is PluginState.BROKEN for plugin in worker.plugins)


def _plugins(worker: WorkerStatus) -> str:
    states = Counter(str(plugin.state) for plugin in worker.plugins)
    told = [f"{number} {state}" for state, number in sorted(states.items())]
    return ", ".join([*told, *([f"{len(worker.unfit)} unfit"] if worker.unfit else [])])


def _takes(worker: WorkerStatus) -> str:
    own = {task for tasks in worker.run_tasks.values() for task in tasks}
    return ", ".join((*worker.tasks, *sorted(own)))


def _child_up(one: SeenWorker) -> str:
    if one.status is None or one.state in ("drained", "starting"):
        return "-"
    return age(one.since_ms, max(one.now_ms, one.since_ms))


#: What tables say of a worker, by the name of the column.
_COLUMNS: Final = {
    column.name: column
    for column in (
        Column[SeenWorker]("worker", lambda one: one.name, least=24),
        Column("host", lambda one: one.slot_and_host[1] or "-", drop=6, least=8),
        Column("slot", lambda one: one.slot_and_host[0] or "-"),
        Column("device", _of_known(lambda known: known.slot.rpartition("@")[2])),
        Column("state", _state),
        Column("takes", _of_up(_takes), wraps=True),
        Column("jobs", lambda one: one.jobs),
        Column("units", lambda one: one.units, drop=4),
        Column(
            "items/s", lambda one: rate(one.per_s) if one.per_s else "-", drop=1, is_number=True
        ),
        Column("heard of", lambda one: age(one.seen_at_ms, one.now_ms), drop=2, is_number=True),
        Column(
            "loaded",
            _of_up(lambda worker: ", ".join(worker.models_loaded)),
            drop=3,
            least=10,
            wraps=True,
        ),
        Column("plugins", _of_up(_plugins), wraps=True),
        Column(
            "labels",
            _of_known(lambda known: ",".join(f"{k}={v}" for k, v in known.labels.items())),
        ),
        Column("version", _of_known(lambda known: known.seqd_version), drop=7),
        Column("child up", _child_up, drop=5, is_number=True),
    )
}


def _columns(*names: str) -> list[Column[SeenWorker]]:
    """Return columns by name."""
    return [_COLUMNS[name] for name in names]


#: What `seqd top` has, where nothing else says what a worker cannot run.
IN_TOP: Final = [
    _COLUMNS["worker"],
    Column("state", _state_and_unfit),
    *_columns("units", "items/s", "heard of", "loaded", "child up", "host", "version"),
]
#: What `seqd workers list` has.
LISTED: Final = _columns(
    "worker",
    "host",
    "slot",
    "device",
    "state",
    "jobs",
    "units",
    "labels",
    "version",
    "child up",
    "heard of",
)
#: What a page of the console has, where a row leads to what else is known of a worker.
ON_PAGE: Final = [
    *(IN_TOP[1] if column.name == "state" else column for column in LISTED),
    Column(
        "loaded",
        _of_up(lambda worker: size(sum(worker.loaded_bytes.values())) * bool(worker.loaded_bytes)),
        is_number=True,
    ),
    Column(
        "deaths in an hour",
        lambda one: Cell(f"{deaths}", "red") if (deaths := one.recent_deaths) else "-",
        is_number=True,
        is_left_out_empty=True,
    ),
]
#: What `seqd status` has.
IN_STATUS: Final = _columns("worker", "state", "takes", "loaded", "plugins", "child up")


def memory_lines(worker: WorkerStatus) -> list[str]:
    """Return a line on the versions in memory with their bytes, and one on models left out."""
    lines = []
    if worker.loaded_bytes:
        told = [f"{ref} {size(held)}" for ref, held in worker.loaded_bytes.items()]
        lines.append(f"{worker.worker} has loaded {_listed(told)}: {_held(worker)}")
    if worker.left_out and any(task != TRAIN for task in worker.tasks):
        lines.append(
            f"{worker.worker} leaves {_listed(worker.left_out)} to other workers "
            "(`seqd models place`, or SEQD_SERVES there)"
        )
    return lines


def worker_facts(one: SeenWorker) -> dict[str, object]:
    """Return what there is to say of a worker, by name, in order; '' where that is nothing."""
    slot, host = one.slot_and_host
    facts: dict[str, object] = {"state": one.state, "host": host, "slot": slot}
    facts["heard of"] = f"{age(one.seen_at_ms, one.now_ms)} ago"
    if (known := one.known) is None:
        return facts
    return facts | {
        "in hand": f"{counted(one.units, 'unit')} of {counted(one.jobs, 'job')}",
        "takes": _takes(known),
        "device": device_line("It", known.device) if known.device else slot.rpartition("@")[2],
        "memory": f"{_held(known)} by models",
        "labels": ", ".join(f"{key}={value}" for key, value in known.labels.items()),
        "process": f"{known.pid}, up since {clock(known.started_at_ms)}",
        "done since then": f"{known.work.items:,} items in {known.work.units:,} units",
        "leaves to others": _listed(known.left_out),
        "deaths": ", ".join(f"{times:,} by {cause}" for cause, times in known.death_counts.items()),
        "started by": "seqd up" if known.supervised else "others",
        "seqd": known.seqd_version,
    }


def _held(worker: WorkerStatus) -> str:
    """Return how much memory the versions of a worker take, and may take."""
    budget = worker.memory_budget_bytes
    of_budget = "" if budget is None else f" of {size(budget)}"
    return f"{size(sum(worker.loaded_bytes.values()))}{of_budget}"


#: What tables say of the versions in a worker's memory, of what it cannot run, and of its deaths.
LOADED_COLUMNS: Final[tuple[Column[tuple[str, int]], ...]] = (
    Column("model", lambda one: one[0]),
    Column("memory", lambda one: size(one[1]), is_number=True),
)
UNFIT_COLUMNS: Final[tuple[Column[UnfitVersion], ...]] = (
    Column("what", lambda one: _unfit_named(one)),
    Column("code", lambda one: Cell(one.code, "red")),
    Column("why", lambda one: one.message or "-"),
    Column("since", lambda one: clock(one.since_ms)),
)
DEATH_COLUMNS: Final[tuple[Column[ChildDeath], ...]] = (
    Column("when", lambda one: clock(one.at_ms)),
    Column("cause", lambda one: Cell(one.cause, "red")),
    Column("how", lambda one: one.message),
    Column("process", lambda one: str(one.pid)),
)


def _unfit_named(one: UnfitVersion) -> str:
    if one.version is None:
        return f"train {one.model}"
    return f"run {ModelReference(one.model, one.version)}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def device_line(worker: str, device: DeviceStatus) -> str:
    """Return what a worker computes on."""
    whole = in_gib(device.memory_bytes)
    share = "" if device.share_bytes is None else f"{in_gib(device.share_bytes)} of "
    return f"{worker} computes on {device.name} ({device.uuid}) with {share}{whole}"


def cordon_line(worker: WorkerStatus, cordon: Cordon, now_ms: int) -> str:
    """Return since when and why a worker claims nothing."""
    held = f"for {age(cordon.since_ms, now_ms)}"
    by = f" by {cordon.by}" if cordon.by else ""
    why = f": {cordon.reason}" if cordon.reason else ""
    option = f" (`seqd workers uncordon {option_of(cordon.target)}`)" if cordon.target else ""
    return f"{worker.worker} has been {cordon.phase} {held}{by}{why}{option}"


def rule_columns(workers: Sequence[WorkerStatus], now_ms: int) -> tuple[Column[CordonRule], ...]:
    """Return what tables say of a rule that stands, with how many workers it means."""
    return (
        Column("rule", lambda rule: option_of(rule.target)),
        Column("action", lambda rule: rule.action),
        Column(
            "workers",
            lambda rule: len(meant_by([rule.target], workers)),
        ),
        Column("by", lambda rule: rule.by),
        Column("since", lambda rule: age(rule.at_ms, now_ms)),
        Column("reason", lambda rule: rule.reason or "-"),
    )


def nobody_left_told(
    workers: Sequence[WorkerStatus], names: Collection[str], catalog: Mapping[str, CatalogEntry]
) -> str:
    """Return what only the named workers can run, as a sentence to think about; '' of nothing."""
    left = [
        f"{task} {model}" + (f"@{','.join(map(str, versions))}" if versions else "")
        for task, model, versions in only_there(workers, names)
        if model not in catalog or task in catalog[model].all_tasks
    ]
    if not left:
        return ""
    what = ", ".join(left[:10])
    return f"No other worker that is up can {what}: such jobs wait until one can."

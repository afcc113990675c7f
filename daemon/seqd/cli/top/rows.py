"""The rows of each view: their cells, their order, and which of them a filter leaves."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from seqd.cli.top.reading import TopState
from seqd.cli.top.view import View
from seqd.cli.ui.columns import Cell, Column
from seqd.cli.ui.numbers import age, count, rate
from seqd.cli.ui.queues import QUEUE_COLUMNS, queue_cells
from seqd.kinds import KINDS
from seqd.serving import shown_state
from seqd_schemas import STATES, PluginState, WorkerStatus

if TYPE_CHECKING:
    from seqd.client.failure_groups import FailureGroup
    from seqd.ledger.overview import FleetOverview
    from seqd.queue_states import QueueState
    from seqd_schemas import JobRecord

#: States of workers by how much they need somebody; the others are in order.
_TROUBLE: Final = ("silent", "stopped", "unfit", "starting", "draining", "drained", "cordoned")

_WORKER_STYLES: Final = {
    "silent": "bold red",
    "stopped": "bold red",
    "unfit": "bold red",
    "busy": "green",
    "cordoned": "yellow",
    "draining": "yellow",
    "drained": "yellow",
    "starting": "yellow",
}

_WORKER_COLUMNS: Final = (
    Column("worker", least=24),
    Column("state"),
    Column("units", drop=4, is_number=True),
    Column("items/s", drop=1, is_number=True),
    Column("heard of", drop=2, is_number=True),
    Column("loaded", drop=3, least=10),
    Column("child up", drop=5, is_number=True),
    Column("host", drop=6, least=8),
    Column("release", drop=7),
)
_JOB_COLUMNS: Final = (
    Column("job", least=21),
    Column("kind", drop=5),
    Column("model", drop=2, least=8),
    Column("state", least=7),
    Column("done", is_number=True),
    Column("items", drop=3, is_number=True),
    Column("errors", drop=1, is_number=True, is_left_out_empty=True),
    Column("tenant", drop=6, least=7),
    Column("age", drop=4, is_number=True),
)
_FAILURE_COLUMNS: Final = (
    Column("last", drop=3, is_number=True),
    Column("code", least=12),
    Column("model", drop=2, least=8),
    Column("items", is_number=True),
    Column("jobs", drop=1, is_number=True),
    Column("message", least=8),
)

COLUMNS: Final = {
    "overview": QUEUE_COLUMNS,
    "queues": QUEUE_COLUMNS,
    "workers": _WORKER_COLUMNS,
    "jobs": _JOB_COLUMNS,
    "failures": _FAILURE_COLUMNS,
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row: by what it is known, and its cells."""

    key: str
    cells: list[Cell]


def rows_of(state: TopState, view: View, *, is_wide: bool) -> list[Row]:
    """Return the rows of a view, sorted, without those that the filter leaves out."""
    if state.overview is None:
        return []
    made: dict[str, Callable[[], list[Row]]] = {
        "overview": lambda: _queue_rows(state, view, is_wide=is_wide),
        "queues": lambda: _queue_rows(state, view, is_wide=is_wide),
        "workers": lambda: _worker_rows(state, view),
        "jobs": lambda: _job_rows(state, view),
        "failures": lambda: _failure_rows(state, view),
    }
    wanted = view.search.casefold()
    return [row for row in made[view.name]() if wanted in _text_of(row)]


def _text_of(row: Row) -> str:
    return " ".join([row.key, *(cell.text for cell in row.cells)]).casefold()


def route_key(state: "QueueState") -> str:
    """Return by what the row of a queue is known."""
    return f"{state.task} {state.model}"


def _queue_rows(state: TopState, view: View, *, is_wide: bool) -> list[Row]:
    assert state.overview is not None
    rates = state.rates.by_route
    orders: dict[str, Callable[[QueueState], tuple[float, ...]]] = {
        "work left": lambda one: (-one.work_left_s, -(one.rate_per_s or 0.0)),
        "waiting": lambda one: (-one.waiting_items - one.paused_items,),
        "items/s": lambda one: (-rates.get((one.task, one.model), 0.0),),
        "oldest": lambda one: (-(one.oldest_wait_s or 0.0),),
        "name": lambda one: (),
    }
    order = orders[view.sort]
    rows = []
    for one in sorted(state.overview.queues, key=lambda one: (*order(one), route_key(one))):
        cells = queue_cells(_measured(one, state), is_wide=is_wide)
        rows.append(Row(route_key(one), cells))
    return rows


def _measured(one: "QueueState", state: TopState) -> "QueueState":
    """Return a queue with the rates of the last seconds in the place of those of a minute."""
    route = one.task, one.model
    return replace(
        one,
        rate_per_s=state.rates.by_route.get(route, one.rate_per_s),
        errors_per_s=state.rates.errors_by_route.get(route, one.errors_per_s),
    )


def _worker_rows(state: TopState, view: View) -> list[Row]:
    overview, rates = state.overview, state.rates.by_worker
    assert overview is not None
    units = overview.units_in_hand
    orders: dict[str, Callable[[WorkerStatus], float]] = {
        "trouble": lambda one: trouble_of(one, overview.unheard),
        "name": lambda one: 0,
        "items/s": lambda one: -rates.get(one.worker, 0.0),
        "units": lambda one: -units.get(one.worker, 0),
        "silence": lambda one: one.seen_at_ms,
    }
    order = orders[view.sort]
    up = [
        Row(one.worker, _worker_cells(one, overview, rates.get(one.worker)))
        for one in sorted(overview.workers, key=lambda one: (order(one), one.worker))
    ]
    silent = [_silent_row(name, at_ms, overview.at_ms) for name, at_ms in overview.silent.items()]
    silent.sort(key=lambda row: row.key)
    return silent + up if view.sort in ("trouble", "silence") else up + silent


def trouble_of(worker: WorkerStatus, unheard: Collection[str]) -> int:
    """Return where a worker stands by how much it needs somebody: 0 first."""
    state = shown_state(worker, unheard)
    if state in _TROUBLE:
        return _TROUBLE.index(state)
    return len(_TROUBLE) if worker.unfit or broken_plugins(worker) else len(_TROUBLE) + 1


def broken_plugins(worker: WorkerStatus) -> list[str]:
    """Return the names of the plugins that are broken on a worker."""
    return [plugin.name for plugin in worker.plugins if plugin.state is PluginState.BROKEN]


def _worker_cells(one: WorkerStatus, overview: "FleetOverview", per_s: float | None) -> list[Cell]:
    state = shown_state(one, overview.unheard)
    told = f"{state}, {len(one.unfit)} unfit" if one.unfit and state != "unfit" else state
    style = "red" if one.unfit else _WORKER_STYLES.get(state, "")
    units = overview.units_in_hand.get(one.worker, 0)
    return [
        Cell(one.worker),
        Cell(told, style),
        Cell(count(units) if units else "-"),
        Cell(rate(per_s) if per_s else "-"),
        Cell(f"{max(0, overview.at_ms - one.seen_at_ms) // 1000} s"),
        Cell(", ".join(one.models_loaded) or "-"),
        Cell("-" if state in ("drained", "starting") else age(one.started_at_ms, overview.at_ms)),
        Cell(one.host),
        Cell(one.seqd_version),
    ]


def _silent_row(name: str, seen_at_ms: int, now_ms: int) -> Row:
    told = [Cell(name), Cell("silent", _WORKER_STYLES["silent"]), Cell("-"), Cell("-")]
    heard = [Cell(age(seen_at_ms, now_ms)), Cell("-"), Cell("-")]
    host = name.rpartition("-")[0].rpartition("@")[2]  # of SLOT@HOST-NONCE
    return Row(name, [*told, *heard, Cell(host or "-"), Cell("-")])


def _job_rows(state: TopState, view: View) -> list[Row]:
    overview = state.overview
    assert overview is not None
    unserved = {route_key(one) for one in overview.queues if one.state == "unserved"}
    orders: dict[str, Callable[[JobRecord], float]] = {
        "newest": lambda one: -one.created_at_ms,
        "oldest": lambda one: one.created_at_ms,
        "items left": lambda one: -one.counts.processing,
        "name": lambda one: 0,
    }
    order = orders[view.sort]
    return [
        Row(one.job_id, _job_cells(one, overview.at_ms, unserved))
        for one in sorted(overview.jobs, key=lambda one: (order(one), one.job_id))
    ]


def _job_cells(one: "JobRecord", now_ms: int, unserved: set[str]) -> list[Cell]:
    task = getattr(one.job, "task", None) or one.kind
    state, style = str(one.state), STATES[one.state].style
    if one.state.may_claim and f"{task} {one.model}" in unserved:
        state, style = f"{state}: nobody can run it", "bold red"
    counts = one.counts
    has_items = KINDS[one.kind].has_items
    share = f"{counts.done / counts.total:.0%}" if counts.total and has_items else "-"
    if not one.sealed and has_items:
        share = count(counts.done)  # of how many, nobody knows yet
    return [
        Cell(one.job_id),
        Cell(task),
        Cell(one.model if one.version is None else f"{one.model}@{one.version}"),
        Cell(state, style),
        Cell(share),
        Cell(count(counts.total) if has_items else "-"),
        Cell(count(counts.errored) if counts.errored else "-", "red" if counts.errored else ""),
        Cell(one.tenant),
        Cell(age(one.created_at_ms, now_ms)),
    ]


def _failure_rows(state: TopState, view: View) -> list[Row]:
    assert state.overview is not None
    now_ms = state.overview.at_ms
    orders: dict[str, Callable[[FailureGroup], float]] = {
        "newest": lambda one: -one.last_at_ms,
        "items": lambda one: -one.items,
        "code": lambda one: 0,
    }
    order = orders[view.sort]
    groups = sorted(state.failures, key=lambda one: (order(one), one.code, one.model))
    return [Row(failure_key(one), _failure_cells(one, now_ms)) for one in groups]


def failure_key(group: "FailureGroup") -> str:
    """Return by what the row of dead letters with one cause is known."""
    from seqd.client.failure_groups import shape_of

    return " ".join((group.code, group.model, group.cause or "-", shape_of(group.message)))


def _failure_cells(group: "FailureGroup", now_ms: int) -> list[Cell]:
    died = f", {group.cause}" if group.cause else ""
    return [
        Cell(age(group.last_at_ms, now_ms)),
        Cell(f"{group.code}{died}", "red"),
        Cell(group.model),
        Cell(count(group.items)),
        Cell(count(group.jobs)),
        Cell(group.message),
    ]

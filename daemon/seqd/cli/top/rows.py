"""What each view lists: its records and columns, their order, and which of them a filter leaves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeAlias, TypeVar

from rich.text import Text

from seqd.cli.top.reading import TopState
from seqd.cli.top.view import View
from seqd.cli.ui.tables import table_lines
from seqd.client.failures import FailureGroup
from seqd.queue_states import QueueState
from seqd.views.columns import Column, cell_of
from seqd.views.failures import group_columns
from seqd.views.jobs import job_columns
from seqd.views.queues import queue_columns
from seqd.views.workers import IN_TOP, SeenWorker, seen_workers
from seqd_schemas import JobRecord

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Listing(Generic[Record]):
    """Records in order, and what a table says of them."""

    columns: Sequence[Column[Record]]
    records: Sequence[Record]

    def with_text(self, text: str) -> "Listing[Record]":
        """Return those alone that have a text somewhere."""
        wanted = text.casefold()
        return self.only(lambda record: wanted in self._text_of(record).casefold())

    def only(self, is_wanted: Callable[[Record], bool]) -> "Listing[Record]":
        """Return those alone that are wanted."""
        return replace(self, records=[one for one in self.records if is_wanted(one)])

    def lines(self, first: int, number: int, width: int) -> list[Text]:
        """Return a heading and so many lines, from a record on."""
        return table_lines(self.columns, self.records[first : first + number], width)

    def _text_of(self, record: Record) -> str:
        return " ".join(cell_of(column.cell(record)).text for column in self.columns)


AnyListing: TypeAlias = (
    "Listing[QueueState] | Listing[SeenWorker] | Listing[JobRecord] | Listing[FailureGroup]"
)


def listing_of(state: TopState, view: View, *, is_wide: bool = False) -> AnyListing:
    """Return what a view lists, sorted, without what the filter leaves out."""
    if view.name == "workers":
        return _workers(state, view).with_text(view.search)
    if view.name == "jobs":
        return _jobs(state, view).with_text(view.search)
    if view.name == "failures":
        return _failures(state, view).with_text(view.search)
    return queues_of(state, view, is_wide=is_wide).with_text(view.search)


def _route(queue: QueueState) -> str:
    return f"{queue.task} {queue.model}"


def queues_of(state: TopState, view: View, *, is_wide: bool) -> Listing[QueueState]:
    """Return the queues, sorted."""
    assert state.overview is not None
    orders: dict[str, Callable[[QueueState], tuple[float, ...]]] = {
        "work left": lambda one: (-one.work_left_s, -(one.rate_per_s or 0.0)),
        "waiting": lambda one: (-one.waiting_items - one.paused_items,),
        "items/s": lambda one: (-(one.rate_per_s or 0.0),),
        "oldest": lambda one: (-(one.oldest_wait_s or 0.0),),
        "name": lambda one: (),
    }
    order = orders[view.sort]
    queues = sorted(state.overview.queues, key=lambda one: (*order(one), _route(one)))
    return Listing(queue_columns(is_wide=is_wide), queues)


def _workers(state: TopState, view: View) -> Listing[SeenWorker]:
    overview = state.overview
    assert overview is not None
    held = {name: (0, units) for name, units in overview.units_in_hand.items()}
    seen = [
        replace(one, per_s=state.rates.get(one.name))
        for one in seen_workers(
            overview.workers, overview.silent, overview.unheard, overview.at_ms, in_hand=held
        )
    ]
    is_first = view.sort in ("trouble", "silence")
    orders: dict[str, Callable[[SeenWorker], float]] = {
        "trouble": lambda one: one.trouble,
        "name": lambda one: 0,
        "items/s": lambda one: -(one.per_s or 0.0),
        "units": lambda one: -one.units,
        "silence": lambda one: one.seen_at_ms,
    }
    order = orders[view.sort]

    def place(one: SeenWorker) -> tuple[bool, float, str]:
        is_up = one.status is not None
        return is_up if is_first else not is_up, order(one) if is_up else 0, one.name

    return Listing(IN_TOP, sorted(seen, key=place))


def _jobs(state: TopState, view: View) -> Listing[JobRecord]:
    overview = state.overview
    assert overview is not None
    orders: dict[str, Callable[[JobRecord], float]] = {
        "newest": lambda one: -one.created_at_ms,
        "oldest": lambda one: one.created_at_ms,
        "items left": lambda one: -one.counts.processing,
        "name": lambda one: 0,
    }
    order = orders[view.sort]
    jobs = sorted(overview.jobs, key=lambda one: (order(one), one.job_id))
    unserved = {_route(one) for one in overview.queues if one.state == "unserved"}
    columns = job_columns(overview.at_ms, {one.tenant for one in jobs}, unserved)
    return Listing(columns, jobs)


def _failures(state: TopState, view: View) -> Listing[FailureGroup]:
    assert state.overview is not None
    orders: dict[str, Callable[[FailureGroup], float]] = {
        "newest": lambda one: -one.last_at_ms,
        "items": lambda one: -one.items,
        "code": lambda one: 0,
    }
    order = orders[view.sort]
    groups = sorted(state.failures, key=lambda one: (order(one), one.code, one.model))
    return Listing(group_columns(state.overview.at_ms), groups)

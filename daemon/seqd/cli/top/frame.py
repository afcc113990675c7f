"""The lines of a screen: heading, views, what the view shows, and the keys.

Pure: the same state, view and size give the same lines, each of at most `width` columns.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final, Generic, TypeAlias, TypeVar

from rich.text import Text

from seqd.cli.top.reading import TopState
from seqd.cli.top.view import HELP, HELP_NOTES, VIEWS, View
from seqd.cli.ui.findings import STYLES
from seqd.cli.ui.tables import broken, clean, cut_to, fact_lines, fitting, table_lines
from seqd.client.failures import FailureGroup
from seqd.doctor.judging import judged
from seqd.ledger.overview import FleetOverview
from seqd.ledger.writing import no_writes_line
from seqd.queue_states import QueueState
from seqd.serving import shown_state
from seqd.views.columns import Column, cell_of
from seqd.views.failures import group_columns
from seqd.views.jobs import job_columns
from seqd.views.numbers import count, counted, duration, rate, size
from seqd.views.queues import WIDE, no_work_told, queue_columns
from seqd.views.workers import IN_TOP, SeenWorker, seen_workers
from seqd_schemas import JobRecord

#: Lines on one thing that is wrong, on all of it in the overview, and rows of one look as text.
_MOST_LINES: Final = 2
_MOST_TROUBLE: Final = 8
_MOST_ROWS: Final = 100

#: Columns of the names on the left of the overview.
_LABEL: Final = 10

#: Lines of a screen that are no part of its body.
_AROUND: Final = 3

#: Lines on an outage that stand above a view at most.
_MOST_NOTICE: Final = 3

_EMPTY: Final = {
    "overview": "No worker has published a model yet.",
    "queues": "No worker has published a model yet.",
    "workers": "No worker is up: `seqd up` starts them, in some seconds.",
    "jobs": "No open jobs.",
    "failures": "Nothing has failed of late: there are no dead letters.",
}


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


def frame(state: TopState, view: View, width: int, height: int) -> list[Text]:
    """Return the `height` lines of a screen."""
    room = max(1, height - _AROUND)
    body = _body(state, view, width, room)
    lines = [_heading(state, view, width), _tabs(view, width), *body[:room]]
    lines += [Text("")] * (height - 1 - len(lines))
    return [*lines[: height - 1], _footer(view, width)][-height:]


def page(state: TopState, view: View, width: int) -> list[Text]:
    """Return one look as text: as many lines as there are, without keys."""
    assert state.overview is not None
    listing = listing_of(state, view, is_wide=width >= WIDE)
    lines = [_heading(state, view, width, is_text=True), Text("")]
    lines += _no_writes_notice(state, width)
    if view.name == "overview":
        lines += [*_summary(state, width), *_trouble(state, width, 1_000)]
        lines.append(Text(""))
        queues = queues_of(state, view, is_wide=width >= WIDE)
        listing = queues.with_text(view.search).only(lambda queue: queue.state != "idle")
        if not listing.records:
            return [*lines, Text(no_work_told(state.overview.uploading_jobs))]
    return lines + _table(state, listing, view, width, _MOST_ROWS)


def most_scroll(state: TopState, view: View, width: int, height: int) -> int:
    """Return how many rows of a view can be above the screen, with its last row still on it."""
    if state.overview is None:
        return 0
    listing = listing_of(state, view, is_wide=width >= WIDE)
    room = max(1, height - _AROUND)
    room -= len(_above_rows(state, listing, view, width, room))
    return max(0, len(listing.records) - _shown_rows(state, listing, view, room))


def _heading(state: TopState, view: View, width: int, *, is_text: bool = False) -> Text:
    """Return the first line: whose fleet it is, and when it was read, or since when it is away."""
    left = f"seqd top  {clean(state.server)}"
    style = "bold"
    right = "reading"
    if state.away is not None:
        since = duration(monotonic() - state.away.since_s)
        right, style = f"Redis away since {since}", "bold red"
    elif state.overview is not None:
        right = time.strftime("%H:%M:%S", time.localtime(state.overview.at_ms / 1000))
        right = f"display paused  {right}" if view.is_paused else right
    if is_text:
        return Text(f"{left}  {right}", style="bold")
    left = cut_to(left, max(8, width - len(right) - 2))
    blanks = " " * max(1, width - Text(left).cell_len - len(right))
    return fitting(Text.assemble((left, "bold"), blanks, (right, style)), width)


def _tabs(view: View, width: int) -> Text:
    """Return the line of the views, the one that is shown marked; of a narrow one, that alone."""
    line = Text()
    for number, name in enumerate(VIEWS, 1):
        line.append(f" {number} {name} ", "reverse" if name == view.name else "dim")
        line.append(" ")
    line.rstrip()
    if line.cell_len > width:
        line = Text()
        for number, name in enumerate(VIEWS, 1):
            shown = f" {number} {name} " if name == view.name else f" {number} "
            line.append(shown, "reverse" if name == view.name else "dim")
    return fitting(line, width)


def _footer(view: View, width: int) -> Text:
    if view.is_typing:
        return fitting(Text(f"filter: {clean(view.search)}_  Enter keeps, Esc ends"), width)
    if view.is_help:
        return fitting(Text("any key: back  q quit", style="dim"), width)
    pause = "go on" if view.is_paused else "pause"
    keys = f"q quit  ? help  s sort: {view.sort}  / filter  p {pause}"
    line = Text(keys, style="dim")
    if view.search:
        line = Text.assemble((f"filter: {clean(view.search)}  ", "bold"), line)
    return fitting(line, width)


def _body(state: TopState, view: View, width: int, room: int) -> list[Text]:
    if view.is_help:
        return _help(width)
    if state.overview is None:
        return _unread(state, width)
    listing = listing_of(state, view, is_wide=width >= WIDE)
    above = _above_rows(state, listing, view, width, room)
    return above + _table(state, listing, view, width, room - len(above))


def _above_rows(
    state: TopState, listing: AnyListing, view: View, width: int, room: int
) -> list[Text]:
    """Return what stands above the rows: outages, and in the overview the whole fleet."""
    notice = _away_notice(state, width) + _no_writes_notice(state, width)
    if view.name != "overview":
        return notice
    room -= len(notice)
    least_table = min(4, len(listing.records) + 1)
    above = _summary(state, width)
    left = room - len(above) - least_table - 1
    above += [*_trouble(state, width, min(_MOST_TROUBLE, left)), Text("")]
    return notice + above[: max(0, room - least_table)]


def _shown_rows(state: TopState, listing: AnyListing, view: View, room: int) -> int:
    """Return how many rows there is room for, with their heading and what tells of others."""
    is_all = len(listing.records) <= room - 1 and not _unlisted(state, view)
    return max(1, room - 1 if is_all else room - 2)


def _table(state: TopState, listing: AnyListing, view: View, width: int, room: int) -> list[Text]:
    """Return a heading and as many rows as there is room for, and which of all they are."""
    rows = len(listing.records)
    if not rows:
        nothing = f"No row has {view.search!r}: Esc ends the filter."
        told = nothing if view.search else _empty(state, view)
        return [fitting(Text(clean(told)), width)]
    unlisted, shown = _unlisted(state, view), _shown_rows(state, listing, view, room)
    first = min(view.scroll, max(0, rows - shown))
    lines = listing.lines(first, shown, width)
    rest = rows - (len(lines) - 1)
    told = f"and {count(rest)} more" if rest else ""
    if first:
        told = f"rows {count(first + 1)} to {count(first + len(lines) - 1)} of {count(rows)}"
    if unlisted:
        what = "jobs" if view.name == "jobs" else "dead letters"
        told += f"{', and ' if rest else 'and '}{count(unlisted)} older {what} that are not listed"
    return [*lines, fitting(Text(told, style="dim"), width)] if told else lines


def _empty(state: TopState, view: View) -> str:
    assert state.overview is not None
    if view.name == "workers" and state.overview.no_writes is not None:
        return "No worker can report."
    return _EMPTY[view.name]


def _unlisted(state: TopState, view: View) -> int:
    """Return how many open jobs, or dead letters, stand behind those that were read."""
    overview = state.overview
    if overview is not None and view.name == "jobs":
        return max(0, overview.open_jobs - len(overview.jobs))
    if overview is not None and view.name == "failures":
        return max(0, (overview.failure_count or 0) - len(overview.failures or ()))
    return 0


def _trouble(state: TopState, width: int, most: int) -> list[Text]:
    """Return what is wrong, a few lines each; the last one says how many more there are."""
    assert state.overview is not None
    blocks = [
        [
            Text(f"{'  ' if number else '! '}{part}", style=STYLES[one.severity])
            for number, part in enumerate(
                _first_lines(clean(f"{one.what} {one.do}"), max(1, width - 2))
            )
        ]
        for one in judged(state.overview)
    ]
    lines: list[Text] = []
    for number, block in enumerate(blocks):
        is_last = number + 1 == len(blocks)
        if len(lines) + len(block) > (most if is_last else most - 1):
            lines.append(Text(f"! and {len(blocks) - number} more", style="red"))
            break
        lines += block
    return lines[: max(0, most)]


def _first_lines(text: str, room: int) -> list[str]:
    """Return the first lines of a text; where there are more it shows, and no command is cut."""
    parts = broken(text, room)
    if len(parts) <= _MOST_LINES:
        return parts
    *before, last = parts[:_MOST_LINES]
    told = "\n".join([*before, cut_to(f"{last} …", room)])
    if told.count("`") % 2:
        told = f"{told[: told.rindex('`')].rstrip()} …"
    return [cut_to(line, room) for line in told.split("\n")]


def _away_notice(state: TopState, width: int) -> list[Text]:
    if state.away is None:
        return []
    old = duration(monotonic() - state.read_at_s)
    told = f"What is shown was read {old} ago. {clean(state.away.reason)}"
    return [Text(part, style="red") for part in broken(told, width)[:_MOST_NOTICE]]


def _no_writes_notice(state: TopState, width: int) -> list[Text]:
    assert state.overview is not None
    refusal = state.overview.no_writes
    if refusal is None:
        return []
    told = broken(clean(no_writes_line(refusal)), width)
    return [Text(part, style="bold yellow") for part in told[:_MOST_NOTICE]]


def _unread(state: TopState, width: int) -> list[Text]:
    if state.away is None:
        return [Text("")]
    return [Text(part, style="red") for part in broken(clean(state.away.reason), width)]


def _summary(state: TopState, width: int) -> list[Text]:
    """Return five lines on the whole fleet, each of at most `width` columns."""
    overview = state.overview
    assert overview is not None
    per_s, errors = overview.items_per_s, overview.errors_per_min
    facts = {
        "speed": f"{rate(per_s) if per_s else 0} items/s, {rate(errors) if errors else 0} "
        "errors/min",
        "workers": _workers_told(overview),
        "items": _items_told(overview),
        "jobs": _jobs_told(overview),
        "Redis": _redis_told(overview),
    }
    lines = [Text.assemble((f"{name:<{_LABEL}}", "dim"), told) for name, told in facts.items()]
    return [fitting(line, width) for line in lines]


def _workers_told(overview: FleetOverview) -> str:
    states = Counter(shown_state(worker, overview.unheard) for worker in overview.workers)
    gone = {"drained": states.pop("drained", 0), "silent": len(overview.silent)}
    parts = [f"{count(number)} {state}" for state, number in sorted(states.items())]
    listed = f": {', '.join(parts)}" if parts else ""
    away = [f"{count(number)} {state}" for state, number in gone.items() if number]
    return "; ".join((f"{count(states.total())} up{listed}", *away))


def _items_told(overview: FleetOverview) -> str:
    waiting = sum(one.waiting_items for one in overview.queues)
    in_hand = sum(one.items_in_hand for one in overview.queues)
    paused = sum(one.paused_items for one in overview.queues)
    left_s = sum(one.work_left_s for one in overview.queues)
    told = f"{count(waiting)} waiting, {count(in_hand)} in hand"
    told += f", {count(paused)} paused" if paused else ""
    about = "" if all(one.is_measured for one in overview.queues if one.work_left_s) else "~"
    return told + (f": {about}{duration(left_s)} of one slot" if left_s else "")


def _jobs_told(overview: FleetOverview) -> str:
    told = f"{count(overview.open_jobs)} open"
    told += f", {count(overview.uploading_jobs)} uploading" if overview.uploading_jobs else ""
    inbox = overview.inbox.entries
    return told + (f"; {counted(inbox, 'request')} in the inbox" if inbox else "")


def _redis_told(overview: FleetOverview) -> str:
    memory = overview.memory
    if memory is None:
        return "memory not known: this user may not read it"
    most = memory.max_bytes
    return f"{size(memory.used_bytes)}{'' if most is None else f' of {size(most)}'}"


def _help(width: int) -> list[Text]:
    notes = (fitting(Text(note, style="dim"), width) for note in HELP_NOTES)
    return [*fact_lines(dict(HELP), width), Text(""), *notes]

"""The first lines of the overview: how fast it goes, who works, what waits, and what is wrong."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.text import Text

from seqd.cli.top.reading import TopState
from seqd.cli.ui.findings import STYLES
from seqd.cli.ui.numbers import count, counted, duration, rate, size
from seqd.cli.ui.tables import fitting
from seqd.doctor.judging import judged
from seqd.serving import shown_state

if TYPE_CHECKING:
    from seqd.ledger.overview import FleetOverview

#: Columns of the names on the left, and of a course at least and at most.
_LABEL: Final = 10
_LEAST_COURSE: Final = 10
_MOST_COURSE: Final = 60

_BARS: Final = "▁▂▃▄▅▆▇█"


def summary_lines(state: TopState, width: int) -> list[Text]:
    """Return four lines on the whole fleet, each of at most `width` columns."""
    overview = state.overview
    assert overview is not None
    errors = f"{rate(overview.errors_per_min) if overview.errors_per_min else 0} errors/min"
    speed = f"{rate(overview.items_per_s) if overview.items_per_s else 0} items/s"
    room = min(_MOST_COURSE, width - _LABEL - len(speed) - len(errors) - 4)
    course = bars(state.rates.items_course, room) if room >= _LEAST_COURSE else ""
    first = Text.assemble(
        (f"{'speed':<{_LABEL}}", "dim"),
        (speed, "bold"),
        ("  " + course if course else "", "green"),
        "  ",
        (errors, "red" if overview.errors_per_min else ""),
    )
    facts = {
        "workers": _workers_told(overview),
        "items": _items_told(overview),
        "jobs": _jobs_told(overview),
        "Redis": _redis_told(overview),
    }
    lines = [Text.assemble((f"{name:<{_LABEL}}", "dim"), told) for name, told in facts.items()]
    return [fitting(line, width) for line in (first, *lines)]


def bars(course: Sequence[float], width: int) -> str:
    """Return the last points of a course as bars, a column each; the highest is the full height."""
    points = course[-width:] if width > 0 else ()
    highest = max(points, default=0.0)
    if highest <= 0:
        return ""
    return "".join(_BARS[round(point / highest * (len(_BARS) - 1))] for point in points)


def trouble_told(overview: "FleetOverview") -> list[tuple[str, str]]:
    """Return what `seqd doctor` finds of a fleet, the worst first: sentences with their styles."""
    return [(f"{one.what} {one.do}", STYLES[one.severity]) for one in judged(overview)]


def _workers_told(overview: "FleetOverview") -> str:
    states = Counter(shown_state(worker, overview.unheard) for worker in overview.workers)
    gone = {"drained": states.pop("drained", 0), "silent": len(overview.silent)}
    parts = [f"{count(number)} {state}" for state, number in sorted(states.items())]
    listed = f": {', '.join(parts)}" if parts else ""
    away = [f"{count(number)} {state}" for state, number in gone.items() if number]
    return "; ".join((f"{count(states.total())} up{listed}", *away))


def _items_told(overview: "FleetOverview") -> str:
    waiting = sum(one.waiting_items for one in overview.queues)
    in_hand = sum(one.items_in_hand for one in overview.queues)
    paused = sum(one.paused_items for one in overview.queues)
    left_s = sum(one.work_left_s for one in overview.queues)
    told = f"{count(waiting)} waiting, {count(in_hand)} in hand"
    told += f", {count(paused)} paused" if paused else ""
    about = "" if all(one.is_measured for one in overview.queues if one.work_left_s) else "~"
    return told + (f": {about}{duration(left_s)} of one slot" if left_s else "")


def _jobs_told(overview: "FleetOverview") -> str:
    told = f"{count(overview.open_jobs)} open"
    told += f", {count(overview.uploading_jobs)} uploading" if overview.uploading_jobs else ""
    inbox = overview.inbox.entries
    return told + (f"; {counted(inbox, 'request')} in the inbox" if inbox else "")


def _redis_told(overview: "FleetOverview") -> str:
    memory = overview.memory
    if memory is None:
        return "memory not known: this user may not read it"
    most = memory.max_bytes
    return f"{size(memory.used_bytes)}{'' if most is None else f' of {size(most)}'}"

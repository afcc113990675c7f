"""The first lines of the overview: how fast it goes, who works, and what waits."""

from collections import Counter
from typing import TYPE_CHECKING, Final

from rich.text import Text

from seqd.cli.top.reading import TopState
from seqd.cli.ui.numbers import count, counted, duration, rate, size
from seqd.cli.ui.tables import fitting
from seqd.serving import shown_state

if TYPE_CHECKING:
    from seqd.ledger.overview import FleetOverview

#: Columns of the names on the left.
_LABEL: Final = 10


def summary_lines(state: TopState, width: int) -> list[Text]:
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

"""What is said of a job's events: a line for each that changed how it stands."""

from collections.abc import Iterable
from typing import Final

from seqd.views.columns import Cell, Column
from seqd.views.jobs import log_told
from seqd.views.numbers import clock
from seqd_schemas import (
    Epoch,
    Event,
    Expired,
    Expiring,
    Failed,
    Log,
    Paused,
    Progress,
    Rejected,
    Sample,
    Started,
    Step,
)

#: How each level of a log is shown.
_STYLES = {"warning": "yellow", "error": "red"}


def standing_events(events: Iterable[Event]) -> list[Event]:
    """Return the events of a job without those that tell of progress alone."""
    return [one for one in events if not isinstance(one, Progress | Step | Epoch | Sample)]


def _told(event: Event) -> Cell:
    match event:
        case Started():
            return Cell(f"{event.worker} claimed the first unit")
        case Log():
            run = "" if event.run is None else f"{event.run}: "
            return Cell(run + log_told(event), _STYLES.get(event.level, ""))
        case Paused():
            return Cell("" if event.by is None else f"by {event.by}")
        case Failed() | Expired() | Rejected():
            return Cell(f"{event.failure.code}: {event.failure.message}", "red")
        case Expiring():
            return Cell(f"the {event.what}, at {clock(event.expires_at_ms)}", "yellow")
    return Cell("")


#: What a table says of an event.
EVENT_COLUMNS: Final[tuple[Column[Event], ...]] = (
    Column("when", lambda event: clock(event.at_ms)),
    Column("event", lambda event: event.event),
    Column("what", _told),
)

"""The progress of a bulk job: a bar on a terminal, else a line every few seconds.

Told events of the job as they come, from one thread at a time; knows nothing of results.
"""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from seqd.cli.rendering.numbers import count, counted, duration, rate
from seqd.cli.rendering.pace import Pace, paused_note
from seqd.cli.rendering.screen import Screen
from seqd_schemas import Counts, Event, JobRecord, JobState
from seqd_schemas import Progress as ProgressEvent

#: Seconds between two lines where there is no terminal.
LINE_EVERY_S = 3.0


class BulkView(Protocol):
    """Shows a bulk job's progress for the time of a `with` block."""

    @property
    def was_paused(self) -> bool:
        """True when the job stood still for a while, so that it has no pace as a whole."""

    def show(self, event: Event) -> None:
        """Take in an event."""

    def finish(self, record: JobRecord) -> None:
        """Show where the job ended."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def bulk_view(
    screen: Screen, record: JobRecord, total_is_final: Callable[[], bool], *, may_move: bool = True
) -> BulkView:
    """Give the view that suits the screen; the total may grow until `total_is_final()`.

    `record` is the job as it is when the view begins. Nothing may move where results are printed
    on the same terminal: they would tear the bar.
    """
    if screen.is_live and may_move:
        # Here: rich's progress takes long to import, and most programs' output is no terminal.
        from seqd.cli.rendering.bulk_bar import BarView

        return BarView(screen, record, total_is_final)
    return LineView(screen, record, total_is_final)


class LineView:
    """A line now and then."""

    def __init__(
        self, screen: Screen, record: JobRecord, total_is_final: Callable[[], bool]
    ) -> None:
        self._screen = screen
        self._title = title_of(record)
        self._total_is_final = total_is_final
        self._pace = Pace(is_paused=record.state is JobState.PAUSED)
        #: Of a job that has ended, nobody need hear that it once was paused.
        self._had_ended = record.state.is_terminal
        self._said_at_s = time.monotonic()

    @property
    def was_paused(self) -> bool:
        """True when the job stood still for a while."""
        return self._pace.was_paused

    def show(self, event: Event) -> None:
        """Print a line when the last one is old enough."""
        if self._pace.take(event) and not self._had_ended:
            said = paused_note(event.job_id) if self._pace.is_paused else event.event
            self._screen.say(f"{self._title}: {said}")
        elif event.event == "log":
            self._screen.say(f"{self._title}: {event.message}")
        elif isinstance(event, ProgressEvent) and self._is_time():
            self._said_at_s = time.monotonic()
            self._screen.say(self._line(event))

    def finish(self, record: JobRecord) -> None:
        """Print nothing: the summary says it."""

    def _is_time(self) -> bool:
        return time.monotonic() - self._said_at_s >= LINE_EVERY_S

    def _line(self, event: ProgressEvent) -> str:
        is_final = self._total_is_final()
        items = items_of(event.counts, is_final=is_final)
        return f"{self._title}: {', '.join((items, *self._pace.told(event, is_final=is_final)))}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


def title_of(record: JobRecord) -> str:
    """Name the model of a job, with its version once it is known."""
    return record.model if record.version is None else f"{record.model}@{record.version}"


def seconds_of(record: JobRecord) -> float | None:
    """Give the seconds from a job's first claim to its end; None where one did not happen."""
    if record.started_at_ms is None or record.ended_at_ms is None:
        return None
    return (record.ended_at_ms - record.started_at_ms) / 1000


def items_of(counts: Counts, *, is_final: bool) -> str:
    """Say how many items are done, of how many, and how many of them have errors."""
    done, total = count(counts.done), count(counts.total)
    items = f"{done}/{total}" if is_final else f"{done} of {total}+"
    return items + (f" ({counted(counts.errored, 'error')})" if counts.errored else "")


def whole_pace(record: JobRecord, *, was_paused: bool) -> str:
    """Say how fast an ended job was, or how long it took where it was paused."""
    seconds = seconds_of(record)
    if not seconds:
        return "0/s"
    if was_paused:
        return f"{duration(seconds)} with its pauses"
    return f"{rate(record.counts.done / seconds)}/s  {duration(seconds)}"

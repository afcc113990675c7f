"""The progress of a bulk job: a bar on a terminal, else a line every few seconds.

Told events of the job as they come, from one thread at a time; knows nothing of results.
"""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from seqd.cli.rendering.numbers import count, counted, duration, rate
from seqd.cli.rendering.screen import Screen, printable
from seqd_schemas import Counts, Event, JobRecord
from seqd_schemas import Progress as ProgressEvent

#: Seconds between two lines where there is no terminal.
LINE_EVERY_S = 3.0


#: What stands in the place of the pace after an event.
_SAID = {"started": "loading", "paused": "paused", "resumed": "waiting for a worker"}


class BulkView(Protocol):
    """Shows a bulk job's progress for the time of a `with` block."""

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
    screen: Screen, title: str, total_is_final: Callable[[], bool], *, may_move: bool = True
) -> BulkView:
    """Give the view that suits the screen; the total may grow until `total_is_final()`.

    Nothing may move where results are printed on the same terminal: they would tear the bar.
    """
    if screen.is_live and may_move:
        return BarView(screen, title, total_is_final)
    return LineView(screen, title, total_is_final)


class BarView:
    """A bar that is drawn over."""

    def __init__(self, screen: Screen, title: str, total_is_final: Callable[[], bool]) -> None:
        self._total_is_final = total_is_final
        self._progress = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[items]}", markup=False, justify="right"),
            TextColumn("{task.fields[pace]}", markup=False),
            console=screen.console,
            expand=True,
            # Else rich sends stdout, where results may go into a file or a pipe, to the terminal.
            redirect_stdout=False,
        )
        self._task = self._progress.add_task(
            printable(title), total=None, items="0", pace="waiting for a worker"
        )

    def show(self, event: Event) -> None:
        """Move the bar."""
        if event.event in _SAID:
            self._progress.update(self._task, pace=_SAID[event.event])
        elif event.event == "log":
            self._progress.console.print(printable(event.message), markup=False)
        elif isinstance(event, ProgressEvent):
            is_final = self._total_is_final()
            pace = f"{rate(event.rate_per_s)}/s"
            if is_final and event.eta_s is not None:
                pace += f"  {duration(event.eta_s)} left"
            self._draw(event.counts, pace, is_final=is_final)

    def finish(self, record: JobRecord) -> None:
        """Leave the bar where the job ended, with the pace of the whole job."""
        self._draw(record.counts, _whole_pace(record), is_final=True)

    def _draw(self, counts: Counts, pace: str, *, is_final: bool) -> None:
        self._progress.update(
            self._task,
            completed=counts.done,
            # Without a total the bar only pulses: what is known so far would promise too much.
            total=counts.total if is_final else None,
            items=_items(counts, is_final=is_final),
            pace=pace,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()


class LineView:
    """A line now and then."""

    def __init__(self, screen: Screen, title: str, total_is_final: Callable[[], bool]) -> None:
        self._screen = screen
        self._title = title
        self._total_is_final = total_is_final
        self._said_at_s = time.monotonic()

    def show(self, event: Event) -> None:
        """Print a line when the last one is old enough."""
        if event.event == "log":
            self._screen.say(f"{self._title}: {event.message}")
        elif event.event in ("paused", "resumed"):
            self._screen.say(f"{self._title}: {event.event}")
        elif isinstance(event, ProgressEvent) and self._is_time():
            self._said_at_s = time.monotonic()
            self._screen.say(self._line(event))

    def finish(self, record: JobRecord) -> None:
        """Print nothing: the summary says it."""

    def _is_time(self) -> bool:
        return time.monotonic() - self._said_at_s >= LINE_EVERY_S

    def _line(self, event: ProgressEvent) -> str:
        is_final = self._total_is_final()
        items = _items(event.counts, is_final=is_final)
        line = f"{self._title}: {items}, {rate(event.rate_per_s)}/s"
        if is_final and event.eta_s is not None:
            line += f", {duration(event.eta_s)} left"
        return line

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


def _items(counts: Counts, *, is_final: bool) -> str:
    done, total = count(counts.done), count(counts.total)
    items = f"{done}/{total}" if is_final else f"{done} of {total}+"
    return items + (f" ({counted(counts.errored, 'error')})" if counts.errored else "")


def _whole_pace(record: JobRecord) -> str:
    seconds = seconds_of(record)
    if not seconds:
        return "0/s"
    return f"{rate(record.counts.done / seconds)}/s  {duration(seconds)}"

"""The progress of a sweep: a line for each combination, and the whole below them.

On a terminal the lines are drawn over as the trainings get on; anywhere else a line is printed
for each epoch and for each combination that is done. Told events and results as they come.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from seqd.cli.rendering.numbers import count, duration, metric
from seqd.cli.rendering.pace import Pace, paused_note
from seqd.cli.rendering.screen import Screen, printable
from seqd.cli.rendering.sweep_board import Result, Row, SweepBoard
from seqd.combinations import combinations_of
from seqd.sweep_report import sweep_job_of
from seqd_schemas import (
    Epoch,
    Event,
    ItemFailure,
    ItemSuccess,
    JobRecord,
    JobState,
    Log,
    TrainedVersion,
)

#: Figures that have a column while a sweep runs, in order, of those that there are.
_COLUMNS = (
    "loss",
    "accuracy",
    "validation_loss",
    "validation_accuracy",
    "bits_per_char",
    "validation_bits_per_char",
)

#: Lines of a terminal that are left for what is not a combination.
_OTHER_LINES = 5

_STYLES = {"trained": "green", "failed": "red", "training": "cyan", "waiting": "dim"}


class SweepView:
    """Shows a sweep for the time of a `with` block."""

    def __init__(self, screen: Screen, record: JobRecord) -> None:
        """Begin with the sweep as it is: `record`."""
        self._screen = screen
        self._model = record.model
        self._pace = Pace(is_paused=record.state is JobState.PAUSED)
        self._job_id = record.job_id
        self._had_ended = record.state.is_terminal
        names = [combination.name for combination in combinations_of(sweep_job_of(record))]
        self._board = SweepBoard(names)
        self._width = max(len(name) for name in names)
        self._began_s = time.monotonic()
        self._live = Live(
            get_renderable=self.drawn,
            console=screen.console,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
        )

    def show(self, event: Event) -> None:
        """Take in an event."""
        row = self._board.take(event)
        if self._pace.take(event) and not self._had_ended and not self._screen.is_live:
            said = paused_note(event.job_id) if self._pace.is_paused else event.event
            self._screen.say(f"{self._model}: {said}")
        elif isinstance(event, Log) and (event.level != "info" or not self._screen.is_live):
            name = "" if event.run is None else f"{event.run}: "
            self._screen.say(name + event.message, "dim" if event.level == "info" else "yellow")
        elif isinstance(event, Epoch) and row is not None and not self._screen.is_live:
            self._screen.say(_epoch_line(row, event))

    def settle(self, results: Mapping[str, Result]) -> None:
        """Take in the results that are there by now."""
        done = self._board.settle(results)
        if not self._screen.is_live and not self._had_ended:
            for row in done:
                self._screen.say(_done_line(row), "red" if row.state == "failed" else "")

    def drawn(self) -> Group:
        """Draw all rows that there is room for, and the whole."""
        most = max(3, self._screen.console.height - _OTHER_LINES)
        rows, left_out = self._board.shown(most)
        lines: list[Table | Text] = [self._table(rows)]
        if left_out:
            lines.append(Text(f"and {count(left_out)} more", style="dim"))
        return Group(*lines, Text(self._whole(), style="bold"))

    def _table(self, rows: Sequence[Row]) -> Table:
        figures = [
            name
            for name in _COLUMNS
            if any(name in row.metrics for row in self._board.rows.values())
        ]
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name in ("combination", "", "epoch"):
            table.add_column(name, header_style="dim", no_wrap=True)
        for name in (*figures, "time"):
            shown = name.replace("validation", "valid.").replace("_", " ")
            table.add_column(shown, justify="right", header_style="dim", no_wrap=True)
        for row in rows:
            table.add_row(*_cells(row, figures), style="dim" if row.state == "waiting" else "")
        return table

    def _whole(self) -> str:
        if self._pace.is_paused:
            return paused_note(self._job_id)
        counted = self._board.counted()
        parts = [f"{count(number)} {state}" for state, number in counted.items()]
        return f"{self._model}: {', '.join(parts)}  {duration(time.monotonic() - self._began_s)}"

    def __enter__(self) -> Self:
        if self._screen.is_live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._screen.is_live:
            self._live.stop()


def _cells(row: Row, figures: Sequence[str]) -> Iterator[str]:
    yield escape(printable(row.name))
    share = f" {row.share:.0%}" if row.state == "training" and row.share is not None else ""
    yield f"[{_STYLES[row.state]}]{row.state}{share}"
    yield f"{row.epoch}/{row.epochs}" if row.epochs else ""
    for name in figures:
        yield metric(row.metrics[name]) if name in row.metrics else ""
    seconds = row.seconds(time.monotonic())
    yield "" if seconds is None else duration(seconds)


def _epoch_line(row: Row, epoch: Epoch) -> str:
    figures = [f"{name.replace('_', ' ')} {metric(value)}" for name, value in epoch.metrics.items()]
    parts = [f"epoch {epoch.epoch}/{epoch.epochs}", *figures, duration(epoch.seconds)]
    return f"{row.name}: {', '.join(parts)}"


def _done_line(row: Row) -> str:
    if isinstance(row.result, ItemFailure):
        return f"{row.name}: failed, {row.result.error.message}"
    output = row.result.output if isinstance(row.result, ItemSuccess) else None
    if not isinstance(output, TrainedVersion):
        return f"{row.name}: done"
    return f"{row.name}: {output.model}@{output.version} after {duration(output.seconds)}"

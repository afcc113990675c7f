"""What people see of a sweep: a line for each combination while it runs, a table at its end.

On a terminal the lines are redrawn as the trainings get on; anywhere else a line is printed for
each epoch and for each combination that is done.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from seqd.analysis.sweeps import SweepReport, combinations_of, is_less_better, shown, sweep_job_of
from seqd.cli.ui.deaths import log_told
from seqd.cli.ui.numbers import count, counted, duration, metric
from seqd.cli.ui.progress import EPOCHS_GONE, ProgressView, paused_note
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_rows
from seqd.escaping import printable
from seqd_schemas import (
    Epoch,
    Event,
    ItemFailure,
    ItemSuccess,
    JobRecord,
    JobState,
    Log,
    Missed,
    ModelReference,
    Step,
    SweepJob,
    TrainedVersion,
)

Result = ItemSuccess | ItemFailure

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

#: Figures that have a column, the deciding one included.
_MOST_FIGURES = 5


@dataclass(slots=True)
class Row:
    """How far one combination is."""

    name: str
    #: Share of its steps that are done, None until it is known.
    share: float | None = None
    epoch: int = 0
    epochs: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    result: Result | None = None
    #: When its first event came, on the monotonic clock.
    began_s: float | None = None

    @property
    def state(self) -> str:
        """`trained`, `failed`, `training` or `waiting`."""
        if self.result is not None:
            return "trained" if isinstance(self.result, ItemSuccess) else "failed"
        return "waiting" if self.began_s is None else "training"

    def seconds(self, now_s: float) -> float | None:
        """Return the seconds that it took, or since its first event; None before that."""
        if isinstance(self.result, ItemSuccess) and isinstance(self.result.output, TrainedVersion):
            return self.result.output.seconds
        if self.result is not None or self.began_s is None:
            return None
        return now_s - self.began_s


class SweepProgress:
    """How far each combination of a sweep is, in order, by its events and results."""

    def __init__(self, names: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self.rows = {name: Row(name) for name in names}
        self._clock = clock

    def add(self, event: Event) -> Row | None:
        """Add an event; return the row that it is about, if any."""
        if not isinstance(event, Step | Epoch | Log) or event.run is None:
            return None
        row = self.rows.get(event.run)
        if row is None or row.result is not None:
            return row
        if row.began_s is None:
            row.began_s = self._clock()
        if not isinstance(event, Log):
            row.metrics |= event.metrics
        if isinstance(event, Epoch):
            row.epoch, row.epochs = event.epoch, event.epochs
        elif isinstance(event, Step) and event.total:
            row.share = event.done / event.total
        return row

    def add_results(self, results: Mapping[str, Result]) -> list[Row]:
        """Add the results that are there; return the rows that were not done before."""
        new = []
        for name, result in results.items():
            row = self.rows.get(name)
            if row is not None and row.result is None:
                row.result = result
                if isinstance(result, ItemSuccess) and isinstance(result.output, TrainedVersion):
                    row.metrics = dict(result.output.metrics)
                new.append(row)
        return new

    def counts(self) -> dict[str, int]:
        """Return how many rows are in each state that any is in."""
        states = [row.state for row in self.rows.values()]
        order = ("trained", "failed", "training", "waiting")
        return {state: states.count(state) for state in order if state in states}

    def visible(self, most: int) -> tuple[list[Row], int]:
        """Return the rows to show where there is room for `most`, and how many are left out.

        Those in training come first, then the last ones that are done.
        """
        rows = list(self.rows.values())
        rank = {"training": 0, "trained": 1, "failed": 1, "waiting": 2}
        latest = sorted(range(len(rows)), key=lambda at: (rank[rows[at].state], _recent(rows, at)))
        kept = sorted(latest[:most])
        return [rows[at] for at in kept], len(rows) - len(kept)


class SweepView(ProgressView):
    """Shows a sweep while it runs."""

    def __init__(self, screen: Screen, record: JobRecord) -> None:
        super().__init__(record)
        self._screen = screen
        self._model = record.model
        self._job_id = record.job_id
        names = [combination.name for combination in combinations_of(sweep_job_of(record))]
        self._progress = SweepProgress(names)
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
        """Show the next event."""
        row = self._progress.add(event)
        if self._rate.add(event) and not self._had_ended and not self._screen.is_live:
            self._screen.say(f"{self._model}: {self._rate.change(event)}")
        elif isinstance(event, Log) and (event.level != "info" or not self._screen.is_live):
            name = "" if event.run is None else f"{event.run}: "
            self._screen.say(name + log_told(event), "dim" if event.level == "info" else "yellow")
        elif isinstance(event, Missed) and event.lasting:
            self._screen.say(EPOCHS_GONE, "yellow")
        elif isinstance(event, Epoch) and row is not None and not self._screen.is_live:
            self._screen.say(_epoch_line(row, event))

    def add_results(self, results: Mapping[str, Result]) -> None:
        """Show the results that are there by now."""
        done = self._progress.add_results(results)
        if not self._screen.is_live and not self._had_ended:
            for row in done:
                self._screen.say(_done_line(row), "red" if row.state == "failed" else "")

    def start(self) -> None:
        """Begin to draw, on a terminal."""
        if self._screen.is_live:
            self._live.start()

    def stop(self, *, failed: bool) -> None:
        """End drawing."""
        if self._screen.is_live:
            self._live.stop()

    def drawn(self) -> Group:
        """Return all rows that there is room for, and the counts of all."""
        most = max(3, self._screen.console.height - _OTHER_LINES)
        rows, left_out = self._progress.visible(most)
        lines: list[Table | Text] = [self._table(rows)]
        if left_out:
            lines.append(Text(f"and {count(left_out)} more", style="dim"))
        return Group(*lines, Text(self._summary(), style="bold"))

    def _table(self, rows: Sequence[Row]) -> Table:
        figures = [
            name
            for name in _COLUMNS
            if any(name in row.metrics for row in self._progress.rows.values())
        ]
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name in ("combination", "", "epoch"):
            table.add_column(name, header_style="dim", no_wrap=True)
        for name in (*figures, "time"):
            title = name.replace("validation", "valid.").replace("_", " ")
            table.add_column(title, justify="right", header_style="dim", no_wrap=True)
        for row in rows:
            table.add_row(*_cells(row, figures), style="dim" if row.state == "waiting" else "")
        return table

    def _summary(self) -> str:
        if self._rate.is_paused:
            return paused_note(self._job_id)
        counts = self._progress.counts()
        parts = [f"{count(number)} {state}" for state, number in counts.items()]
        return f"{self._model}: {', '.join(parts)}  {duration(time.monotonic() - self._began_s)}"


def print_sweep(screen: Screen, report: SweepReport) -> None:
    """Print the versions with their figures, the one that decides first, and then the errors."""
    figures = _figures_of(report)
    columns = [*report.parameters, *(name.replace("_", " ") for name in figures)]
    rows = [
        _table_row(one, report.parameters, figures, is_best=name == report.best)
        for name, one in report.trained.items()
    ]
    if rows:
        print_rows(screen, [*columns, "seconds", "version", ""], rows)
    for failure in report.failed:
        screen.say(f"{failure.custom_id}: {failure.error.code}: {failure.error.message}", "red")


def say_best(
    screen: Screen, report: SweepReport, record: JobRecord, in_service: int | None = None
) -> None:
    """Say which version is best, by what, which labels it has got, and what the name means."""
    job = sweep_job_of(record)
    if report.figure is None or report.best is None:
        _say_no_best(screen, report, job)
        return
    best = report.trained[report.best]
    name = report.figure.replace("_", " ")
    which = "lowest" if is_less_better(report.figure) else "highest"
    ref = ModelReference(best.model, best.version)
    figure = metric(best.metrics[report.figure])
    screen.say(f"Best: {ref} ({report.best}), with the {which} {name}, {figure}.", "bold green")
    if job.labels and record.state is JobState.COMPLETED:
        screen.say(f"Labelled {', '.join(job.labels)}: {ref}")
    if in_service not in (None, best.version):
        means = ModelReference(best.model, in_service)
        screen.say(f"{best.model} means {means}. To change that: seqd models promote {ref}")


def say_sweep_headline(screen: Screen, report: SweepReport, seconds: float | None) -> None:
    """Say how many combinations were trained, and in what time."""
    total = counted(len(report.trained) + len(report.failed), "combination")
    share = f"{count(len(report.trained))} of {total}" if report.failed else total
    line = f"{share} of {report.model} trained"
    if seconds is not None and report.trained:
        line += f" in {duration(seconds)}"
    screen.say(line)


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


def _recent(rows: Sequence[Row], at: int) -> int:
    """Return the sort key of row `at`: of those that are done, the last one first."""
    return at if rows[at].result is None else -at


def _say_no_best(screen: Screen, report: SweepReport, job: SweepJob) -> None:
    if not report.trained:
        return
    known = sorted({name for one in report.trained.values() for name in one.metrics})
    missing = "a figure to compare by" if job.metric is None else f"the figure {job.metric!r}"
    labels = ", and no label was moved" if job.labels else ""
    screen.say(
        f"No version is called best{labels}: not all have {missing}. Their figures: "
        f"{', '.join(known) or 'none'}; --metric names one.",
        "yellow",
    )


def _figures_of(report: SweepReport) -> list[str]:
    """Return the figures to show: the one that decides, then those that differ."""
    metrics = [one.metrics for one in report.trained.values()]
    names = dict.fromkeys(name for figures in metrics for name in figures)
    differing = [
        name
        for name in names
        if len(metrics) == 1 or len({figures.get(name) for figures in metrics}) > 1
    ]
    first = [] if report.figure is None else [report.figure]
    return list(dict.fromkeys([*first, *differing]))[:_MOST_FIGURES]


def _table_row(
    one: TrainedVersion, parameters: Sequence[str], figures: Sequence[str], *, is_best: bool
) -> tuple[object, ...]:
    values = [shown(one.parameters.get(name)) for name in parameters]
    measured = [metric(one.metrics[name]) if name in one.metrics else "" for name in figures]
    mark = "best" if is_best else ""
    return (*values, *measured, f"{one.seconds:.1f}", ModelReference(one.model, one.version), mark)

"""The progress of a training: a table that grows by a row an epoch, with samples in between.

On a terminal a bar of the steps moves below it, and the learning curve stands there at the end. The
table's columns are the figures of the first epoch.
"""

import textwrap
from collections.abc import Mapping, Sequence

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

from seqd.analysis.curves import LearningCurve
from seqd.analysis.sweeps import SweepReport, is_less_better, shown, sweep_job_of
from seqd.cli.ui.charts import MOST_COLUMNS, epochs_chart
from seqd.cli.ui.progress import EPOCHS_GONE, ProgressView, paused_note
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_rows
from seqd.escaping import printable
from seqd.views.jobs import log_told
from seqd.views.numbers import count, counted, duration, metric, rate
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
    Sample,
    Step,
    SweepJob,
    TrainedVersion,
)

#: Characters of a sample that are shown; the whole of it is in the event stream.
SAMPLE_CHARS = 210

#: Ending of the name of a figure that is a rate.
_RATE = "_per_s"

#: Reported among the figures, and left out: it says nothing about the model.
_SETTING = "learning_rate"

#: What stands in the place of the figures after an event.
_NOTES = {"started": "preparing", "resumed": "waiting for a worker"}

_Result = ItemSuccess | ItemFailure
#: Figures that have a column, the deciding one included.
_MOST_FIGURES = 5


class TrainingView(ProgressView):
    """Shows a training."""

    def __init__(self, screen: Screen, record: JobRecord) -> None:
        super().__init__(record)
        self._screen = screen
        self._title = record.model
        self._columns: tuple[str, ...] = ()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            console=screen.console,
            expand=True,
            transient=True,
        )
        self._curve = LearningCurve()
        is_paused = self._rate.is_paused
        self._task = self._progress.add_task(
            printable(record.model),
            total=None,
            rate=paused_note(record.job_id) if is_paused else "waiting for a worker",
        )

    def show(self, event: Event) -> None:
        """Show an event in the table and the bar."""
        if self._rate.add(event) and not self._had_ended and not self._screen.is_live:
            self._screen.say(f"{self._title}: {self._rate.change(event)}")
        elif event.event in ("paused", *_NOTES):
            note = paused_note(event.job_id) if self._rate.is_paused else _NOTES[event.event]
            self._progress.update(self._task, rate=note)
        elif event.event == "log":
            self._screen.say(log_told(event), "yellow" if event.level != "info" else "dim")
        elif isinstance(event, Missed) and event.lasting:
            self._screen.say(EPOCHS_GONE, "yellow")
        elif isinstance(event, Step):
            self._show_step(event)
        elif isinstance(event, Epoch):
            self._show_epoch(event)
        elif isinstance(event, Sample):
            for line in sample_lines(event, self._width()):
                self._screen.say(line)

    def start(self) -> None:
        """Begin to draw, on a terminal."""
        if self._screen.is_live:
            self._progress.start()

    def stop(self, *, failed: bool) -> None:
        """Replace what moved by the learning curve."""
        if not self._screen.is_live:
            return
        self._progress.stop()
        self._screen.block(epochs_chart(self._curve.epochs, self._width()))

    def _show_step(self, step: Step) -> None:
        figures = _step_figures(step)
        if step.eta_s is not None:
            figures.append(f"{duration(step.eta_s)} left")
        if self._rate.is_paused:
            figures = [paused_note(step.job_id)]
        self._progress.update(
            self._task, completed=step.done, total=step.total or None, rate="  ".join(figures)
        )

    def _show_epoch(self, epoch: Epoch) -> None:
        self._curve.add(epoch.epoch, epoch.seconds, epoch.metrics)
        if not self._columns:
            self._columns = _columns_of(epoch)
            self._screen.say(_heading(self._columns), "bold")
        self._screen.say(_row(epoch, self._columns))

    def _width(self) -> int:
        return min(self._screen.console.width, MOST_COLUMNS)


def sample_lines(sample: Sample, width: int) -> list[str]:
    """Return a sample's temperature, its prompt and its text, set to the width."""
    prompt = " ".join(sample.prompt.split())
    text = " ".join(sample.text.split())
    shown = f"{prompt} │ {text}" if prompt else text
    if len(shown) > SAMPLE_CHARS:
        shown = shown[:SAMPLE_CHARS].rstrip() + " …"
    first = f"   {sample.temperature:<4g} "
    return textwrap.wrap(
        printable(shown), max(28, width), initial_indent=first, subsequent_indent=" " * len(first)
    )


def _step_figures(step: Step) -> list[str]:
    """Return a step's figures, rates last; no loss beside its bits a character."""
    figures = {name: figure for name, figure in step.metrics.items() if name != _SETTING}
    if "bits_per_char" in figures:
        figures.pop("loss", None)
    rates = [name for name in figures if name.endswith(_RATE)]
    return [
        *(f"{_shown(name)} {metric(figures[name])}" for name in figures if name not in rates),
        *(f"{rate(figures[name])} {_shown(name.removesuffix(_RATE))}/s" for name in rates),
    ]


def _columns_of(epoch: Epoch) -> tuple[str, ...]:
    """Return the figures of the table: no held-out loss beside its bits a character."""
    figures = dict.fromkeys(epoch.metrics)
    figures.pop(_SETTING, None)
    if "validation_bits_per_char" in figures:
        figures.pop("validation_loss", None)
    return tuple(figures)


def _heading(columns: tuple[str, ...]) -> str:
    cells = [f"{_shown(name):>{_width(name)}}" for name in columns]
    return "  ".join(["   epoch", *cells, "  seconds"])


def _row(epoch: Epoch, columns: tuple[str, ...]) -> str:
    cells = [
        f"{metric(epoch.metrics[name]) if name in epoch.metrics else '':>{_width(name)}}"
        for name in columns
    ]
    number = f"{count(epoch.epoch)}/{count(epoch.epochs)}"
    return "  ".join([f"{number:>8}", *cells, f"{epoch.seconds:>9.1f}"])


def _shown(name: str) -> str:
    return name.replace("_", " ")


def _width(name: str) -> int:
    return max(8, len(name))


class SweepView(ProgressView):
    """Prints lines on a sweep while it runs."""

    def __init__(self, screen: Screen, record: JobRecord) -> None:
        super().__init__(record)
        self._screen = screen
        self._model = record.model
        #: Combinations of which the result was told.
        self._done = set[str]()

    def show(self, event: Event) -> None:
        """Show the next event."""
        if self._rate.add(event) and not self._had_ended:
            self._screen.say(f"{self._model}: {self._rate.change(event)}")
        elif isinstance(event, Log):
            name = "" if event.run is None else f"{event.run}: "
            self._screen.say(name + log_told(event), "dim" if event.level == "info" else "yellow")
        elif isinstance(event, Missed) and event.lasting:
            self._screen.say(EPOCHS_GONE, "yellow")
        elif isinstance(event, Epoch) and event.run is not None:
            self._screen.say(_epoch_line(event))

    def add_results(self, results: Mapping[str, _Result]) -> None:
        """Show the results that are there by now, each once."""
        for name, result in results.items():
            if name not in self._done and not self._had_ended:
                self._screen.say(_done_line(result), "" if result.ok else "red")
        self._done |= results.keys()


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


def _epoch_line(epoch: Epoch) -> str:
    figures = [f"{name.replace('_', ' ')} {metric(value)}" for name, value in epoch.metrics.items()]
    parts = [f"epoch {epoch.epoch}/{epoch.epochs}", *figures, duration(epoch.seconds)]
    return f"{epoch.run}: {', '.join(parts)}"


def _done_line(result: _Result) -> str:
    if isinstance(result, ItemFailure):
        return f"{result.custom_id}: failed, {result.error.message}"
    made = result.output
    if not isinstance(made, TrainedVersion):
        return f"{result.custom_id}: done"
    return f"{result.custom_id}: {made.model}@{made.version} after {duration(made.seconds)}"


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

"""The progress of a training: a table that grows by a row an epoch, with samples in between.

On a terminal a bar of the steps moves below it, and the learning curve stands there at the end. The
table's columns are the figures of the first epoch.
"""

import textwrap

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

from seqd.analysis.curves import LearningCurve
from seqd.cli.ui.charts import MOST_COLUMNS, epochs_chart
from seqd.cli.ui.numbers import count, duration, metric, rate
from seqd.cli.ui.progress import EPOCHS_GONE, ProgressView, log_told, paused_note
from seqd.cli.ui.screen import Screen
from seqd.escaping import printable
from seqd_schemas import Epoch, Event, JobRecord, Missed, Sample, Step

#: Characters of a sample that are shown; the whole of it is in the event stream.
SAMPLE_CHARS = 210

#: Ending of the name of a figure that is a rate.
_RATE = "_per_s"

#: Reported among the figures, and left out: it says nothing about the model.
_SETTING = "learning_rate"

#: What stands in the place of the figures after an event.
_NOTES = {"started": "preparing", "resumed": "waiting for a worker"}


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

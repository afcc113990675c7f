"""The progress of a training: a table that grows by an epoch at a time, samples in between.

On a terminal its curve and a bar of the steps move below it; the curve stays at the end. The
table's columns are the figures of the first epoch. Told events of the job as they come.
"""

import textwrap
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.text import Text

from seqd.cli.rendering.numbers import count, duration, metric, rate
from seqd.cli.rendering.pace import Pace, paused_note
from seqd.cli.rendering.screen import Screen, printable
from seqd.cli.rendering.training_chart import ROWS, TrainingChart
from seqd_schemas import Epoch, Event, JobRecord, JobState, Sample, Step

#: Characters of a sample that are shown; the whole of it is in the event stream.
SAMPLE_CHARS = 210

#: Widest that samples are set, for the eye's sake.
_MOST_COLUMNS = 100

_SAMPLE_INDENT = " " * 8

#: Lines of a terminal below which there is no room for a curve under a table.
_LEAST_LINES = ROWS + 10

_FRAMES_A_SECOND = 4

#: How a figure that is a rate is called.
_RATE = "_per_s"

#: What is told as a figure and is none: there is no room for it.
_SETTING = "learning_rate"

#: What stands in the place of the figures after an event.
_SAID = {"started": "preparing", "resumed": "waiting for a worker"}


class TrainingView:
    """Shows a training for the time of a `with` block."""

    def __init__(self, screen: Screen, record: JobRecord) -> None:
        """Begin with the training as it is: `record`."""
        self._screen = screen
        self._title = record.model
        self._pace = Pace(is_paused=record.state is JobState.PAUSED)
        self._had_ended = record.state.is_terminal
        self._columns: tuple[str, ...] = ()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[pace]}", markup=False),
            console=screen.console,
            expand=True,
        )
        self._chart = TrainingChart()
        self._live = Live(
            console=screen.console,
            transient=True,
            refresh_per_second=_FRAMES_A_SECOND,
            get_renderable=self._frame,
        )
        is_paused = self._pace.is_paused
        self._task = self._progress.add_task(
            printable(record.model),
            total=None,
            pace=paused_note(record.job_id) if is_paused else "waiting for a worker",
        )

    def show(self, event: Event) -> None:
        """Take in an event."""
        self._chart.take(event)
        if self._pace.take(event) and not self._had_ended and not self._screen.is_live:
            said = paused_note(event.job_id) if self._pace.is_paused else event.event
            self._screen.say(f"{self._title}: {said}")
        elif event.event in ("paused", *_SAID):
            self._say_in_the_bar(event)
        elif event.event == "log":
            self._screen.say(event.message, "yellow" if event.level != "info" else "dim")
        elif isinstance(event, Step):
            self._show_step(event)
        elif isinstance(event, Epoch):
            self._show_epoch(event)
        elif isinstance(event, Sample):
            self._show_sample(event)

    def _say_in_the_bar(self, event: Event) -> None:
        said = paused_note(event.job_id) if self._pace.is_paused else _SAID[event.event]
        self._progress.update(self._task, pace=said)

    def _show_step(self, step: Step) -> None:
        figures = _step_figures(step)
        if step.eta_s is not None:
            figures.append(f"{duration(step.eta_s)} left")
        if self._pace.is_paused:
            figures = [paused_note(step.job_id)]
        self._progress.update(
            self._task, completed=step.done, total=step.total or None, pace="  ".join(figures)
        )

    def _show_epoch(self, epoch: Epoch) -> None:
        if not self._columns:
            self._columns = _columns_of(epoch)
            self._screen.say(_heading(self._columns), "bold")
        self._screen.say(_row(epoch, self._columns))

    def _show_sample(self, sample: Sample) -> None:
        self._screen.block(sample_lines(sample, self._width()))

    def _frame(self) -> RenderableType:
        chart = self._chart.draw(self._width()) if self._has_room() else []
        return Group(*chart, self._progress.get_renderable())

    def _has_room(self) -> bool:
        return self._screen.console.height >= _LEAST_LINES

    def _width(self) -> int:
        return min(self._screen.console.width, _MOST_COLUMNS)

    def __enter__(self) -> Self:
        if self._screen.is_live:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._screen.is_live:
            return
        self._live.stop()
        if self._chart.has_epochs and self._has_room():
            self._screen.block(self._chart.draw(self._width()))


def sample_lines(sample: Sample, width: int) -> list[Text]:
    """Lay a sample out: its temperature, its prompt dimmed, its text, set to the width."""
    prompt = " ".join(sample.prompt.split())
    text = " ".join(sample.text.split())
    shown = f"{prompt} │ {text}" if prompt else text
    if len(shown) > SAMPLE_CHARS:
        shown = shown[:SAMPLE_CHARS].rstrip() + " …"
    lines = textwrap.wrap(printable(shown), max(20, width - len(_SAMPLE_INDENT)))
    first = f"   {sample.temperature:<4g} "
    laid_out = [
        Text((first if number == 0 else _SAMPLE_INDENT) + line) for number, line in enumerate(lines)
    ]
    if laid_out and len(laid_out[0]) > len(first):
        laid_out[0].stylize("cyan", 0, len(first))
    _dim_prompt(laid_out)
    return laid_out


def _dim_prompt(lines: list[Text]) -> None:
    """Dim everything up to the bar that ends the prompt."""
    for number, line in enumerate(lines):
        end = line.plain.find("│")
        if end >= 0:
            for before in lines[:number]:
                before.stylize("dim", len(_SAMPLE_INDENT))
            line.stylize("dim", len(_SAMPLE_INDENT), end + 1)
            return


def _step_figures(step: Step) -> list[str]:
    """Give a step's figures: of the loss and its bits a character one, and rates at the end."""
    told = {name: figure for name, figure in step.metrics.items() if name != _SETTING}
    if "bits_per_char" in told:
        told.pop("loss", None)
    rates = [name for name in told if name.endswith(_RATE)]
    return [
        *(f"{_shown(name)} {metric(told[name])}" for name in told if name not in rates),
        *(f"{rate(told[name])} {_shown(name.removesuffix(_RATE))}/s" for name in rates),
    ]


def _columns_of(epoch: Epoch) -> tuple[str, ...]:
    """Name the figures that the table shows: those that say something that the others do not."""
    told = dict.fromkeys(epoch.metrics)
    told.pop(_SETTING, None)
    if "validation_bits_per_char" in told:
        told.pop("validation_loss", None)
    return tuple(told)


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

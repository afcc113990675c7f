"""The learning curve of a training as a chart in text, of its events or of a version's epochs.

Over the steps until two epochs are through, over the epochs from then on. Called by
`training_view` and by the tables of a version.
"""

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from seqd.cli.rendering.line_chart import Axis, Line, line_chart
from seqd.cli.rendering.numbers import count
from seqd.curves import LearningCurve, curve_of, figure_of, spoken
from seqd_schemas import Epoch, EpochMetrics, Event, Step

#: Rows of the plot, and the widest that a chart is drawn.
ROWS: Final = 8
_MOST_COLUMNS: Final = 100

_TRAINING_STYLE, _HELD_OUT_STYLE = "blue", "yellow"
_TRAINING, _HELD_OUT = "training", "held out"

#: Points of the first epochs that are kept; every other one goes when there are more.
_MOST_STEPS: Final = 512


def epochs_chart(epochs: Sequence[EpochMetrics], width: int) -> list[Text]:
    """Draw a training's epochs; nothing for less than two, or where there is no room."""
    curve = curve_of(epochs) if len(epochs) > 1 else None
    if curve is None:
        return []
    lines = _lines(curve.training, curve.held_out)
    axis = Axis("epoch", count(epochs[0].epoch), count(epochs[-1].epoch))
    return _drawn(lines, axis, curve.figure, width)


class TrainingChart:
    """Draws what the events of a training have told so far."""

    def __init__(self) -> None:
        self._curve = LearningCurve()
        self._figure: str | None = None
        self._steps: list[tuple[float, float]] = []
        self._every = 1
        self._seen = 0
        #: Steps in all, and epochs in all, once they are known.
        self._total = 0
        self._epochs = 0

    @property
    def has_epochs(self) -> bool:
        """True once there are epochs to draw."""
        return len(self._curve.epochs) > 1

    def take(self, event: Event) -> None:
        """Take in an event; what is neither step nor epoch changes nothing."""
        if isinstance(event, Epoch):
            self._epochs = event.epochs
            self._curve.take(event.epoch, event.seconds, event.metrics)
        elif isinstance(event, Step):
            self._total = event.total
            self._take_step(event)

    def draw(self, width: int) -> list[Text]:
        """Draw it; nothing while there is nothing to see, or where there is no room."""
        if self.has_epochs:
            return epochs_chart(self._curve.epochs, width)
        if self._figure is None or len(self._steps) < 2:
            return []
        axis = Axis("step", count(round(self._steps[0][0])), count(round(self._steps[-1][0])))
        return _drawn(_lines(self._steps, self._held_out()), axis, self._figure, width)

    def _take_step(self, step: Step) -> None:
        if self._figure is None:
            self._figure = figure_of(step.metrics)
        if self._figure not in step.metrics or self.has_epochs:
            return
        self._seen += 1
        if self._seen % self._every:
            return
        self._steps.append((step.done, step.metrics[self._figure]))
        if len(self._steps) > _MOST_STEPS:
            self._steps = self._steps[::2]
            self._every *= 2

    def _held_out(self) -> list[tuple[float, float]]:
        """Give the held-out figure of the one epoch that there is, at the step that it ended with.

        Steps that were told before the epoch, or after it, are the frame.
        """
        curve = curve_of(self._curve.epochs, self._figure)
        if curve is None or not self._total or not self._epochs:
            return []
        last = self._steps[-1][0]
        ends = [(epoch / self._epochs * self._total, value) for epoch, value in curve.held_out]
        return [(min(step, last), value) for step, value in ends]


def _lines(
    training: Sequence[tuple[float, float]], held_out: Sequence[tuple[float, float]]
) -> list[Line]:
    named = (
        Line(_TRAINING, training, _TRAINING_STYLE),
        Line(_HELD_OUT, held_out, _HELD_OUT_STYLE),
    )
    return [line for line in named if line.points]


def _drawn(lines: Sequence[Line], axis: Axis, figure: str, width: int) -> list[Text]:
    width = min(width, _MOST_COLUMNS)
    return line_chart(lines, axis, width=width, rows=ROWS, title=spoken(figure))

"""A training's learning curve: its epochs as a version keeps them, and the figures to draw of them.

`LearningCurve` collects the epochs, each once, in memory that a long training cannot outgrow. What
is kept depends on the last epoch's number alone. So a training that was killed and resumed from its
checkpoint, which carries the epochs before it, keeps what an undisturbed one does.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from seqd_schemas import MAX_KEPT_EPOCHS, EpochMetrics

#: Figures that are kept of an epoch, the first of them.
MAX_FIGURES: Final = 16

#: What a figure of held-out data is called, beside that of the training data.
HELD_OUT: Final = "validation_"

#: Figures that a curve is best drawn of, the first that is there.
_PREFERRED: Final = ("bits_per_char", "loss")

#: Figures as people call them, where their names are not what to show.
_SPOKEN: Final[Mapping[str, str]] = {"bits_per_char": "bits a character"}

#: A second curve, where there is one.
_SECOND: Final = "accuracy"

_Points = tuple[tuple[float, float], ...]


class LearningCurve:
    """The epochs of one training. `add` each as it ends; adding one again changes nothing."""

    def __init__(self, epochs: Iterable[EpochMetrics] = ()) -> None:
        self.restore(epochs)

    @property
    def epochs(self) -> tuple[EpochMetrics, ...]:
        """The epochs that are kept, ascending, the first and the last among them.

        All up to `MAX_KEPT_EPOCHS`, else every 2nd, 4th and so on.
        """
        return tuple(self._epochs)

    def add(self, epoch: int, seconds: float, metrics: Mapping[str, float]) -> None:
        """Add an epoch, counted from 1, without the figures that are not finite.

        Later epochs are dropped: a training that was resumed goes through them again.
        """
        finite = [(name, figure) for name, figure in metrics.items() if math.isfinite(figure)]
        kept = dict(finite[:MAX_FIGURES])
        self._append(EpochMetrics(epoch=epoch, seconds=seconds, metrics=kept))

    def restore(self, epochs: Iterable[EpochMetrics]) -> None:
        """Replace all epochs by those of a checkpoint."""
        self._epochs = list[EpochMetrics]()
        self._stride = 1
        for one in epochs:
            self._append(one)

    def _append(self, added: EpochMetrics) -> None:
        kept = self._epochs
        while kept and kept[-1].epoch >= added.epoch:
            kept.pop()
        if kept and (kept[-1].epoch - 1) % self._stride:
            kept.pop()  # it was there as the last
        stride = 1
        while added.epoch > stride * (MAX_KEPT_EPOCHS - 1):
            stride *= 2
        if stride != self._stride:
            kept[:] = [one for one in kept if (one.epoch - 1) % stride == 0]
            self._stride = stride
        kept.append(added)


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure over the epochs; each point is an epoch's number and the figure."""

    #: Such as `bits_per_char`.
    figure: str
    training: _Points
    #: Of data that was not learnt from; empty where nothing was held out.
    held_out: _Points


def spoken(figure: str) -> str:
    """Return a figure's name as people read it."""
    return _SPOKEN.get(figure, figure.replace("_", " "))


def curve_of(epochs: Sequence[EpochMetrics], figure: str | None = None) -> Curve | None:
    """Return the curve of a figure; None where no epoch has it.

    Without one it is that of bits a character, else of the loss, else of the first that there is.
    """
    if figure is None:
        names = dict.fromkeys(name.removeprefix(HELD_OUT) for one in epochs for name in one.metrics)
        preferred = (name for name in _PREFERRED if name in names)
        figure = next(preferred, next(iter(names), ""))
    curve = Curve(figure, _points(epochs, figure), _points(epochs, HELD_OUT + figure))
    return curve if curve.training or curve.held_out else None


def curves_of(epochs: Sequence[EpochMetrics]) -> tuple[Curve, ...]:
    """Return the curves of a picture: that of the loss, and of the accuracy if there is one."""
    curves = [curve_of(epochs), curve_of(epochs, _SECOND)]
    return tuple({curve.figure: curve for curve in curves if curve is not None}.values())


def _points(epochs: Sequence[EpochMetrics], name: str) -> _Points:
    return tuple((one.epoch, one.metrics[name]) for one in epochs if name in one.metrics)

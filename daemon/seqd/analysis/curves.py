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
        self._epochs: dict[int, EpochMetrics] = {}
        self.restore(epochs)

    @property
    def epochs(self) -> tuple[EpochMetrics, ...]:
        """The epochs that are kept, ascending, the first and the last among them.

        All up to `MAX_KEPT_EPOCHS`, else every 2nd, 4th and so on.
        """
        return tuple(self._epochs.values())

    def add(self, epoch: int, seconds: float, metrics: Mapping[str, float]) -> None:
        """Add an epoch, counted from 1, without the figures that are not finite.

        Later epochs are dropped: a training that was resumed goes through them again.
        """
        finite = [(name, figure) for name, figure in metrics.items() if math.isfinite(figure)]
        added = EpochMetrics(epoch=epoch, seconds=seconds, metrics=dict(finite[:MAX_FIGURES]))
        earlier = [one for number, one in self._epochs.items() if number < epoch]
        self._keep([*earlier, added])

    def restore(self, epochs: Iterable[EpochMetrics]) -> None:
        """Replace all epochs by those of a checkpoint."""
        self._keep(list(epochs))

    def _keep(self, epochs: list[EpochMetrics]) -> None:
        stride = 1
        while epochs and epochs[-1].epoch > stride * (MAX_KEPT_EPOCHS - 1):
            stride *= 2
        kept = [one for one in epochs[:-1] if (one.epoch - 1) % stride == 0] + epochs[-1:]
        self._epochs = {one.epoch: one for one in kept}


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

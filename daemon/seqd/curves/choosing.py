"""Says which of a training's figures make its curve, whatever plugin told them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from seqd_schemas import EpochMetrics

#: What a figure of held-out data is called, beside that of the training data.
HELD_OUT: Final = "validation_"

#: Figures that a curve is best drawn of, the first that is there.
_PREFERRED: Final = ("bits_per_char", "loss")

#: Figures as people call them, where their names are not what to show.
_SPOKEN: Final[Mapping[str, str]] = {"bits_per_char": "bits a character"}

#: A second curve, where there is one.
_SECOND: Final = "accuracy"

_Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure over the epochs; each point is an epoch's number and the figure."""

    #: Such as `bits_per_char`.
    figure: str
    training: _Points
    #: Of data that was not learnt from; empty where nothing was held out.
    held_out: _Points


def figure_of(metrics: Mapping[str, float]) -> str | None:
    """Name the figure that makes the curve: bits a character, else the loss, else any.

    None where there are no figures at all.
    """
    names = {name.removeprefix(HELD_OUT): None for name in metrics}
    preferred = (name for name in _PREFERRED if name in names)
    return next(preferred, next(iter(names), None))


def spoken(figure: str) -> str:
    """Give a figure's name as people read it."""
    return _SPOKEN.get(figure, figure.replace("_", " "))


def curve_of(epochs: Sequence[EpochMetrics], figure: str | None = None) -> Curve | None:
    """Give the curve of a figure, or of the one that is best; None where no epoch has it."""
    every = {name: value for one in epochs for name, value in one.metrics.items()}
    figure = figure or figure_of(every)
    if figure is None:
        return None
    curve = Curve(figure, _points(epochs, figure), _points(epochs, HELD_OUT + figure))
    return curve if curve.training or curve.held_out else None


def curves_of(epochs: Sequence[EpochMetrics]) -> tuple[Curve, ...]:
    """Give all that a picture shows: the curve, and that of the accuracy where there is one."""
    found = (curve_of(epochs), curve_of(epochs, _SECOND))
    curves = [curve for curve in found if curve is not None]
    return tuple({curve.figure: curve for curve in curves}.values())


def _points(epochs: Sequence[EpochMetrics], name: str) -> _Points:
    return tuple((one.epoch, one.metrics[name]) for one in epochs if name in one.metrics)

"""Collects a training's epochs, each once, in memory that a long training cannot outgrow.

What is kept hangs on the last epoch's number alone. So a training that was killed and went on from
its checkpoint, which carries what was collected before it, keeps what an undisturbed one does.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final

from seqd_schemas import MAX_KEPT_EPOCHS, EpochMetrics

#: Figures that are kept of an epoch, the first that are told.
MAX_FIGURES: Final = 16


class LearningCurve:
    """The epochs of one training. `take` each as it ends; once more is the same as once."""

    def __init__(self, epochs: Iterable[EpochMetrics] = ()) -> None:
        self._epochs: dict[int, EpochMetrics] = {}
        self.restore(epochs)

    @property
    def epochs(self) -> tuple[EpochMetrics, ...]:
        """What is kept, ascending: all up to `MAX_KEPT_EPOCHS`, else every 2nd, 4th … and the last.

        The first is always among them.
        """
        return tuple(self._epochs.values())

    def take(self, epoch: int, seconds: float, metrics: Mapping[str, float]) -> None:
        """Take in an epoch, counted from 1; what is not finite is left out.

        A training that goes through an epoch again does so from before it: later ones fall.
        """
        finite = [(name, figure) for name, figure in metrics.items() if math.isfinite(figure)]
        taken = EpochMetrics(epoch=epoch, seconds=seconds, metrics=dict(finite[:MAX_FIGURES]))
        earlier = [one for number, one in self._epochs.items() if number < epoch]
        self._keep([*earlier, taken])

    def restore(self, epochs: Iterable[EpochMetrics]) -> None:
        """Begin again with what a checkpoint has; what was taken since then is forgotten."""
        self._keep(list(epochs))

    def _keep(self, epochs: list[EpochMetrics]) -> None:
        stride = 1
        while epochs and epochs[-1].epoch > stride * (MAX_KEPT_EPOCHS - 1):
            stride *= 2
        kept = [one for one in epochs[:-1] if (one.epoch - 1) % stride == 0] + epochs[-1:]
        self._epochs = {one.epoch: one for one in kept}

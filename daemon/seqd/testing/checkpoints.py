"""A training's checkpoints in memory, through the same bytes as on a worker's disk."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import JsonValue

from seqd.analysis.curves import LearningCurve
from seqd.checkpoints import Content, decode, encode, read_state
from seqd.hookspecs import Checkpoint

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class MemoryCheckpoints:
    """`Checkpoints` that outlive the training that saved them, for another to go on from.

    `due` is true every `due_every` questions, so that a test decides it and not the clock; None
    never says so. What cannot be kept on a disk cannot be kept here: it goes through the same
    safetensors and JSON.
    """

    def __init__(self, *, due_every: int | None = None) -> None:
        self._due_every = due_every
        self._asked = 0
        self._last: Content | None = None
        self._curve = LearningCurve()
        #: How often `save` was called, by all trainings.
        self.saves = 0
        #: How often `load` gave a checkpoint.
        self.resumes = 0

    @property
    def last(self) -> Checkpoint | None:
        """What was saved last."""
        return None if self._last is None else decode(self._last)

    def carry(self, curve: LearningCurve) -> None:
        """Save these epochs from now on, and put what was saved back into them at a `load`."""
        self._curve = curve

    def load(self) -> Checkpoint | None:
        """Give what was saved last."""
        if self._last is not None:
            self.resumes += 1
            self._curve.restore(read_state(self._last.state).epochs)
        return self.last

    def due(self) -> bool:
        """True each time that `due_every` more questions have been asked."""
        self._asked += 1
        return self._due_every is not None and self._asked % self._due_every == 0

    def save(
        self, arrays: "Mapping[str, npt.NDArray[np.generic]]", progress: Mapping[str, JsonValue]
    ) -> None:
        """Keep it in the place of what was there. Raises PluginFault for what cannot be kept."""
        self._last = encode(arrays, progress, epochs=self._curve.epochs)
        self.saves += 1

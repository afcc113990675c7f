"""Where a training is, beside its network: what a checkpoint keeps as its progress.

Used by `training`. An epoch's order, its cuts and its samples hang on the seed and the epoch's
number alone, so they are not kept.
"""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seqd.errors import CheckpointDamaged


class Mean(BaseModel):
    """A mean over predictions, of means over batches."""

    model_config = ConfigDict(extra="forbid")

    total: float = 0.0
    predictions: int = Field(default=0, ge=0)

    def add(self, loss: float, predictions: int) -> None:
        """Take a batch's mean over so many predictions."""
        self.total += loss * predictions
        self.predictions += predictions

    @property
    def value(self) -> float:
        """The mean so far; of nothing there is none."""
        return self.total / self.predictions


class Best(BaseModel):
    """The epoch with the best held-out figure so far."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epoch: int = Field(ge=1)
    metrics: dict[str, float]


class Place(BaseModel):
    """A place between two steps."""

    model_config = ConfigDict(extra="forbid")

    #: The epoch that goes on, from 1; one beyond the last when all is done.
    epoch: int = Field(default=1, ge=1)
    #: Batches of it that have been learnt from.
    batches: int = Field(default=0, ge=0)
    #: Their losses.
    losses: Mean = Field(default_factory=Mean)
    #: Figures of the epoch before.
    metrics: dict[str, float] = Field(default_factory=dict)
    #: None until an epoch is measured, where the best one is kept.
    best: Best | None = None

    @classmethod
    def of(cls, progress: Mapping[str, object]) -> Self:
        """Read a checkpoint's progress; raises CheckpointDamaged."""
        try:
            return cls.model_validate(dict(progress))
        except ValidationError as error:
            raise CheckpointDamaged(
                f"The checkpoint's progress is not char_lstm's: {error.errors()[0]['msg']}. It was "
                "saved by another version of the plugin. Train anew."
            ) from None

    def after_epoch(self, metrics: Mapping[str, float]) -> "Place":
        """Give the beginning of the next epoch."""
        return Place(epoch=self.epoch + 1, metrics=dict(metrics), best=self.best)

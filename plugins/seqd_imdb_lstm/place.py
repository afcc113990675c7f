"""Where a training is, beside its network: what a checkpoint keeps as its progress.

Used by `learning`. An epoch's order of reviews hangs on the seed and the epoch's number alone, so
it is not kept.
"""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seqd.errors import CheckpointDamaged


class Best(BaseModel):
    """The epoch with the lowest validation loss so far."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epoch: int = Field(ge=1)
    figures: dict[str, float]


class Place(BaseModel):
    """A place between two steps."""

    model_config = ConfigDict(extra="forbid")

    #: The epoch that goes on, from 1; one beyond the last when all is done.
    epoch: int = Field(default=1, ge=1)
    #: Batches of it that have been learnt from, the reviews in them, and sums over these.
    batches: int = Field(default=0, ge=0)
    reviews: int = Field(default=0, ge=0)
    loss: float = 0.0
    right: int = 0
    #: Figures of the epoch before.
    figures: dict[str, float] = Field(default_factory=dict)
    #: None until an epoch is validated, where the best one is kept.
    best: Best | None = None

    @classmethod
    def of(cls, progress: Mapping[str, object]) -> Self:
        """Read a checkpoint's progress; raises CheckpointDamaged."""
        try:
            return cls.model_validate(dict(progress))
        except ValidationError as error:
            raise CheckpointDamaged(
                f"The checkpoint's progress is not imdb_lstm's: {error.errors()[0]['msg']}. It was "
                "saved by another version of the plugin. Train anew."
            ) from None

    def add(self, loss: float, accuracy: float, reviews: int) -> None:
        """Take one batch's mean loss and accuracy."""
        self.batches += 1
        self.reviews += reviews
        self.loss += loss * reviews
        self.right += round(accuracy * reviews)

    def means(self) -> dict[str, float]:
        """Give the means over the epoch's reviews so far, each from before its step."""
        return {"loss": self.loss / self.reviews, "accuracy": self.right / self.reviews}

    def after_epoch(self, figures: Mapping[str, float]) -> "Place":
        """Give the beginning of the next epoch."""
        return Place(epoch=self.epoch + 1, figures=dict(figures), best=self.best)

"""A loaded model that classifies texts, of which a plugin writes `probabilities` alone.

`TextClassifier` adds what the contract asks of `classify`: one outcome an item, an error in the
place of a text that cannot be classified, batches, and stop requests.
"""

import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

from seqd.errors import Stopped
from seqd.hookspecs import LoadedModel, PluginParameters, RunContext, WorkItem
from seqd_modelkit.classification_parameters import ClassificationParameters
from seqd_schemas import Classification, ItemError, ItemErrorCode

#: Decimals that scores are rounded to. What else is in a batch moves a score by about 1e-7, so
#: that most show nothing of it, and none more than one rounding step.
_SCORE_DECIMALS: Final = 5

_BLANK: Final = ItemError(
    code=ItemErrorCode.INVALID_INPUT,
    message="The text is blank. Send one with words in it, or leave the item out.",
)
_NO_TEXT: Final = ItemError(
    code=ItemErrorCode.DECODE_ERROR,
    message="The text has a lone surrogate, which is no character. Send valid text.",
)


class TextClassifier(LoadedModel):
    """A version in memory. A subclass has `probabilities`, and sets `memory_bytes`."""

    #: Texts that `probabilities` gets at most; the stop request is checked between two batches.
    batch_items: ClassVar[int] = 64

    def __init__(self, classes: Sequence[str]) -> None:
        """`classes` are the labels, in the order of the columns of `probabilities`."""
        self.classes = tuple(classes)

    @abstractmethod
    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.floating]:
        """Return (texts, classes), each row summing to 1; no text is blank.

        A row must not depend on the other texts, but for rounding.
        """

    def is_truncated(self, text: str) -> bool:
        """Return whether a text is longer than the model reads; by default no text is."""
        del text
        return False

    def warm_up(self) -> None:
        """Classify a word."""
        self.probabilities(["warm"])

    def classify(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Classification | ItemError]:
        """Return an outcome an item, in order; an error for a blank text, and for no text.

        Raises Stopped before the next batch.
        """
        with_all = ClassificationParameters.model_validate(parameters).probabilities
        outcomes = list[Classification | ItemError]()
        for start in range(0, len(items), self.batch_items):
            if context.stop_requested():
                raise Stopped("The classification was asked to stop.")
            texts = [item.text for item in items[start : start + self.batch_items]]
            outcomes.extend(self._batch(texts, with_all, context))
        return outcomes

    def _batch(
        self, texts: Sequence[str], with_all: bool, context: RunContext
    ) -> Iterator[Classification | ItemError]:
        refusals = [_refusal(text) for text in texts]
        readable = [text for text, error in zip(texts, refusals, strict=True) if error is None]
        began_s = time.perf_counter()
        rows = iter(self.probabilities(readable) if readable else ())
        seconds = time.perf_counter() - began_s
        costs = [self.cost_tokens(text) for text in readable] or [0]
        context.batch(
            items=len(texts),
            real_tokens=sum(costs),
            computed_tokens=max(costs) * len(readable),
            vectorise_s=0.0,
            compute_s=seconds,
        )
        for text, error in zip(texts, refusals, strict=True):
            yield error or self._classification(text, next(rows), with_all)

    def _classification(
        self, text: str, row: npt.NDArray[np.floating], with_all: bool
    ) -> Classification:
        shares = [round(float(share), _SCORE_DECIMALS) for share in row]
        likeliest = int(row.argmax())
        return Classification(
            label=self.classes[likeliest],
            score=shares[likeliest],
            truncated=self.is_truncated(text),
            probabilities=dict(zip(self.classes, shares, strict=True)) if with_all else None,
        )


def _refusal(text: str) -> ItemError | None:
    """Return why a text cannot be classified, or None when it can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _NO_TEXT
    return None if text.strip() else _BLANK

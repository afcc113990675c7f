"""Classifies: raw text in, label and score out, or the reason why there is none.

A loaded version. The words are `reviews`' work, the numbers an engine's; this is where an
item becomes an outcome and where each item answers for itself alone.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from seqd.errors import Stopped
from seqd.hookspecs import LoadedModel, PluginParameters, RunContext, WorkItem
from seqd_imdb_lstm.engine import Engine
from seqd_imdb_lstm.reviews import EncodedReview
from seqd_imdb_lstm.version import Version
from seqd_schemas import Classification, ItemError, ItemErrorCode

#: Items between two looks at the stop request; a fifth of a second on one core.
_BATCH_ITEMS: Final = 512

#: A score is rounded to so many decimals. What else is in a batch moves a score by about
#: 1e-7, so that most show nothing of it, and none more than one step; and results stay short.
_SCORE_DECIMALS: Final = 5

_NO_TEXT: Final = ItemError(
    code=ItemErrorCode.INVALID_INPUT,
    message="The item's text has no words in it; imdb_lstm needs at least one word that it "
    "knows. Send the review's text, or leave the item out.",
)


class LoadedImdbLstm(LoadedModel):
    """A version in memory."""

    def __init__(self, version: Version, engine: Engine) -> None:
        self._vocabulary = version.vocabulary
        self._config = version.config
        self._engine = engine
        # A word costs about 200 bytes: a str, its UTF-8, an int and a place in the dict.
        self.memory_bytes = engine.memory_bytes + 200 * len(self._vocabulary.words)

    def warm_up(self) -> None:
        """Run one review of full length, so that memory is touched and kernels are built."""
        words = " ".join(self._vocabulary.words[:1] * self._config.max_tokens)
        self._engine.probabilities([self._encode(words).ids])

    def cost_tokens(self, text: str) -> int:
        """Estimate the ids that the network reads: an English word is five letters, a space."""
        return min(1 + len(text) // 6, self._config.max_tokens)

    def classify(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Classification | ItemError]:
        """See `LoadedModel.classify`. An item without a known word has an error in its place."""
        outcomes: list[Classification | ItemError] = []
        for start in range(0, len(items), _BATCH_ITEMS):
            if context.stop_requested():
                raise Stopped("The classification was asked to stop.")
            outcomes.extend(self._classify_batch(items[start : start + _BATCH_ITEMS]))
        return outcomes

    def _classify_batch(self, items: Sequence[WorkItem]) -> Iterator[Classification | ItemError]:
        reviews = [self._encode(item.text) for item in items]
        readable = [review.ids for review in reviews if _refusal(review) is None]
        scores = iter(self._engine.probabilities(readable).tolist())
        for review in reviews:
            yield _refusal(review) or self._classification(review, next(scores))

    def _encode(self, text: str) -> EncodedReview:
        return self._vocabulary.encode(text, self._config.max_tokens)

    def _classification(self, review: EncodedReview, probability: float) -> Classification:
        """Name the likelier class; `probability` is the second one's."""
        is_second = probability > 0.5
        return Classification(
            label=self._config.labels[is_second],
            score=round(probability if is_second else 1.0 - probability, _SCORE_DECIMALS),
            truncated=review.truncated,
            unknown_share=round(review.unknown_words / review.words, 4),
        )


def _refusal(review: EncodedReview) -> ItemError | None:
    """Say why a review cannot be classified, or None when it can."""
    if not review.words:
        return _NO_TEXT
    if review.unknown_words < review.words:
        return None
    return ItemError(
        code=ItemErrorCode.INVALID_INPUT,
        message=f"The model knows no word of the text ({review.words:,} in all), so its answer "
        "would mean nothing. It knows the frequent words of what it was trained on; is the text "
        "in another language or encoding?",
    )

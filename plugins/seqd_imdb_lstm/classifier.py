"""Classifies: raw text in, label and score out, or the reason why there is none.

A loaded version. The words are `reviews`' work, the numbers an engine's; this is where an
item becomes an outcome and where each item answers for itself alone.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from seqd.errors import Stopped
from seqd.hookspecs import LoadedModel, PluginParameters, RunContext, WorkItem
from seqd_imdb_lstm.engine import Engine
from seqd_imdb_lstm.parameters import ClassifyParameters
from seqd_imdb_lstm.reviews import EncodedReview
from seqd_imdb_lstm.version import Probabilities, Version
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
        self._engine.probabilities([self._encode([words])[0].ids])

    def cost_tokens(self, text: str) -> int:
        """Estimate the ids that the network reads: an English word is five letters, a space."""
        chars = 6
        if self._config.tokenizer == "unicode-1":  # punctuation too, and Chinese character by one
            chars = 5 if text.isascii() else 2
        return min(1 + len(text) // chars, self._config.max_tokens)

    def classify(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Classification | ItemError]:
        """See `LoadedModel.classify`. An item without a known word has an error in its place."""
        with_all = ClassifyParameters.model_validate(parameters).probabilities
        outcomes: list[Classification | ItemError] = []
        for start in range(0, len(items), _BATCH_ITEMS):
            if context.stop_requested():
                raise Stopped("The classification was asked to stop.")
            batch = items[start : start + _BATCH_ITEMS]
            outcomes.extend(self._classify_batch(batch, with_all, context))
        return outcomes

    def _classify_batch(
        self, items: Sequence[WorkItem], with_all: bool, context: RunContext
    ) -> Iterator[Classification | ItemError]:
        began_s = time.perf_counter()
        reviews = self._encode([item.text for item in items])
        refusals = [_refusal(review) for review in reviews]
        readable = [review.ids for review, no in zip(reviews, refusals, strict=True) if no is None]
        encoded_s = time.perf_counter()
        probabilities = self._engine.probabilities(readable)
        computed_s = time.perf_counter()
        context.batch(
            items=len(items),
            real_tokens=sum(map(len, readable)),
            computed_tokens=self._engine.computed_tokens(readable),
            vectorise_s=encoded_s - began_s,
            compute_s=computed_s - encoded_s,
        )
        answers = iter(_answers(probabilities))
        every = iter(probabilities.tolist()) if with_all else None
        for review, refusal in zip(reviews, refusals, strict=True):
            if refusal is not None:
                yield refusal
            else:
                yield self._classification(review, next(answers), next(every) if every else None)

    def _encode(self, texts: Sequence[str]) -> list[EncodedReview]:
        return self._vocabulary.encode_all(texts, self._config.max_tokens)

    def _classification(
        self, review: EncodedReview, answer: tuple[int, float], every: Sequence[float] | None
    ) -> Classification:
        """`answer` is the likeliest class and its probability, `every` that of each class."""
        labels = self._config.labels
        likeliest, probability = answer
        return Classification(
            label=labels[likeliest],
            score=round(probability, _SCORE_DECIMALS),
            truncated=review.truncated,
            unknown_share=round(review.unknown_words / review.words, 4),
            probabilities=every
            and {
                label: round(one, _SCORE_DECIMALS) for label, one in zip(labels, every, strict=True)
            },
        )


def _answers(probabilities: Probabilities) -> list[tuple[int, float]]:
    """Give each review's likeliest class with its probability; of equal ones the first."""
    likeliest = probabilities.argmax(axis=1)
    scores = np.take_along_axis(probabilities, likeliest[:, np.newaxis], axis=1)[:, 0]
    return list(zip(likeliest.tolist(), scores.tolist(), strict=True))


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

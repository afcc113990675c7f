"""Serve a version: classify texts, and show a person what the version has learnt.

An item that cannot be classified gets an error in its place, and the others are classified as if it
were not there.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from seqd.errors import Stopped
from seqd.hookspecs import Inspection, LoadedModel, PluginParameters, RunContext, WorkItem
from seqd_imdb_lstm.artifact import Probabilities, Version, VersionConfig, read_version, shapes_of
from seqd_imdb_lstm.engine import Engine
from seqd_imdb_lstm.parameters import ClassifyParameters
from seqd_imdb_lstm.tokenizer import tokenize
from seqd_imdb_lstm.vocabulary import INDEX_FROM, EncodedReview, Vocabulary
from seqd_schemas import Classification, ItemError, ItemErrorCode

#: Items between two checks of the stop request; a fifth of a second on one core.
_BATCH_ITEMS: Final = 512

#: Decimals that scores are rounded to. What else is in a batch moves a score by about 1e-7, so
#: that most show nothing of it, and none more than one rounding step; and results stay short.
_SCORE_DECIMALS: Final = 5

#: Bytes of a word of the vocabulary: a str, its UTF-8, an int and an entry in a dict.
_BYTES_PER_WORD: Final = 200

#: Words of the table of the most frequent ones.
_MOST_FREQUENT: Final = 20

_NO_WORDS: Final = ItemError(
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
        self.classes = version.config.labels
        self.memory_bytes = engine.memory_bytes + _BYTES_PER_WORD * len(self._vocabulary.words)

    def warm_up(self) -> None:
        """Classify one text of full length, so that memory is touched and kernels are compiled."""
        words = " ".join(self._vocabulary.words[:1] * self._config.max_tokens)
        self._engine.probabilities([self._encode([words])[0].ids])

    def cost_tokens(self, text: str) -> int:
        """Estimate the tokens that the network reads: an English word has 5 letters and a space."""
        chars = 6
        if self._config.tokenizer == "unicode-1":  # punctuation too, and each Chinese character
            chars = 5 if text.isascii() else 2
        return min(1 + len(text) // chars, self._config.max_tokens)

    def classify(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Classification | ItemError]:
        """Return an outcome an item, in order; an error for one without a known word.

        Raises Stopped within one batch of 512 items.
        """
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
        likeliest = iter(_likeliest(probabilities))
        every = iter(probabilities.tolist()) if with_all else None
        for review, refusal in zip(reviews, refusals, strict=True):
            if refusal is not None:
                yield refusal
            else:
                yield self._classification(review, next(likeliest), next(every) if every else None)

    def _encode(self, texts: Sequence[str]) -> list[EncodedReview]:
        return self._vocabulary.encode_all(texts, self._config.max_tokens)

    def _classification(
        self, review: EncodedReview, likeliest: tuple[int, float], every: Sequence[float] | None
    ) -> Classification:
        labels = self._config.labels
        target, probability = likeliest
        return Classification(
            label=labels[target],
            score=round(probability, _SCORE_DECIMALS),
            truncated=review.truncated,
            unknown_share=round(review.unknown_words / review.words, 4),
            probabilities=every
            and {
                label: round(one, _SCORE_DECIMALS) for label, one in zip(labels, every, strict=True)
            },
        )


def inspect_version(folder: Path, focus: str | None) -> Sequence[Inspection]:
    """Return tables of sizes, classes, weights and frequent words; of a `focus`, its words' ranks.

    Raises ArtifactDamaged.
    """
    version = read_version(folder)
    if focus is not None:
        return [_ranks(version, focus)]
    return [
        _sizes(version),
        _classes(version.config),
        _weights(version),
        _most_frequent(version.vocabulary),
    ]


def _likeliest(probabilities: Probabilities) -> list[tuple[int, float]]:
    """Return each review's likeliest class and its probability; of equal ones the first."""
    likeliest = probabilities.argmax(axis=1)
    scores = np.take_along_axis(probabilities, likeliest[:, np.newaxis], axis=1)[:, 0]
    return list(zip(likeliest.tolist(), scores.tolist(), strict=True))


def _refusal(review: EncodedReview) -> ItemError | None:
    """Return why a review cannot be classified, or None when it can."""
    if not review.words:
        return _NO_WORDS
    if review.unknown_words < review.words:
        return None
    return ItemError(
        code=ItemErrorCode.INVALID_INPUT,
        message=f"The model knows no word of the text ({review.words:,} in all), so its answer "
        "would mean nothing. It knows the frequent words of what it was trained on; is the text "
        "in another language or encoding?",
    )


def _sizes(version: Version) -> Inspection:
    config = version.config
    rows = (
        ("classes", len(config.labels)),
        ("known words", len(version.vocabulary.words)),
        ("of these known to the LSTM", min(len(version.vocabulary.words), _lstm_words(config))),
        ("tokens read of a text", config.max_tokens),
        ("padding", config.padding),
        ("directions", 2 if config.bidirectional else 1),
        ("pooling", config.pooling),
        ("tokenizer", config.tokenizer),
    )
    return Inspection("Version", ("what", "value"), rows)


def _lstm_words(config: VersionConfig) -> int:
    return max(config.embedded_words - INDEX_FROM - 1, 0)


def _classes(config: VersionConfig) -> Inspection:
    counted = zip(config.labels, config.class_counts, strict=True)
    rows = tuple((target, label, count) for target, (label, count) in enumerate(counted))
    return Inspection("Classes", ("number", "class", "reviews trained on"), rows)


def _weights(version: Version) -> Inspection:
    rows = []
    for name, shape in shapes_of(version.config).items():
        array = getattr(version.weights, name)
        shown = " × ".join(map(str, shape))
        rows.append((name, shown, array.size, round(float(np.sqrt(np.mean(array**2))), 4)))
    return Inspection("Weights", ("array", "shape", "numbers", "root mean square"), tuple(rows))


def _most_frequent(vocabulary: Vocabulary) -> Inspection:
    words = vocabulary.words[:_MOST_FREQUENT]
    rows = tuple((rank, word) for rank, word in enumerate(words, start=1))
    return Inspection("Most frequent words", ("rank", "word"), rows)


def _ranks(version: Version, text: str) -> Inspection:
    rows = []
    for word in tokenize(text, version.config.tokenizer):
        rank = version.vocabulary.id_of(word) - INDEX_FROM
        rows.append((word.decode("utf-8", "replace"), rank if rank > 0 else "not known"))
    return Inspection("Words", ("word", "rank"), tuple(rows))

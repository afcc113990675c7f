"""A version in memory: makes vectors of texts, and compares them.

A vector has 256 numbers. Each feature belongs to one of them, with a sign, both drawn by its hash,
so two features that share a number do as often subtract as add (feature hashing, Weinberger et al.
2009). A feature weighs (1 + ln count) · idf, and the vector is scaled to the length 1.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from seqd.errors import Stopped
from seqd.hookspecs import LoadedModel, PluginParameters, RunContext, WorkItem
from seqd_embed.hashing import FEATURES, count_features, mix, normalized
from seqd_embed.records import (
    DIMENSIONS,
    MAX_CHARS,
    Embedding256,
    Match,
    Matches,
    Query,
    SimilarParameters,
)
from seqd_embed.weights import Weights
from seqd_schemas import ItemError, ItemErrorCode, Vector

Vectors: TypeAlias = npt.NDArray[np.float64]

#: Items, and characters, that are computed at once: between two of them a stop is asked about.
BATCH_ITEMS: Final = 256
BATCH_CHARS: Final = 500_000

_NO_TEXT: Final = ItemError(
    code=ItemErrorCode.INVALID_INPUT,
    message="The text is blank. Send one with words in it, or leave the item out.",
)
_NO_CHARACTER: Final = ItemError(
    code=ItemErrorCode.DECODE_ERROR,
    message="The text has a lone surrogate, which is no character. Send valid text.",
)


class LoadedNgrams(LoadedModel):
    """A version in memory."""

    def __init__(self, weights: Weights) -> None:
        drawn = mix(np.arange(1, FEATURES + 1, dtype=np.uint64))
        self._dimensions = (drawn % np.uint64(DIMENSIONS)).astype(np.int64)
        signs = np.where(drawn >> np.uint64(63), 1.0, -1.0)
        self._weights: Vectors = signs * weights.idf
        self.memory_bytes = self._dimensions.nbytes + self._weights.nbytes

    def warm_up(self) -> None:
        """Embed a word."""
        self._vectors([normalized("warm")])

    def cost_tokens(self, text: str) -> int:
        """Return the tokens of what is read of a text."""
        return max(1, min(len(text), MAX_CHARS) // 5)

    def run(
        self,
        task: str,
        items: Sequence[WorkItem],
        parameters: PluginParameters,
        context: RunContext,
    ) -> Sequence[BaseModel | ItemError]:
        """Embed texts, or find what is similar: one outcome per item, in order."""
        if isinstance(parameters, SimilarParameters):
            return [self._similar(item, parameters.top, context) for item in items]
        outcomes = list[BaseModel | ItemError]()
        for batch in _batches(items):
            if context.stop_requested():
                raise Stopped
            outcomes += self._embedded(batch, context)
        return outcomes

    def _embedded(
        self, items: Sequence[WorkItem], context: RunContext
    ) -> Iterator[Embedding256 | ItemError]:
        began = time.monotonic()
        words = [_words_of(item.text) for item in items]
        texts = [text for text in words if isinstance(text, str)]
        vectorised = time.monotonic()
        # Rows of their own: a vector takes the bytes of an array as they are.
        vectors = iter(self._vectors(texts).astype("<f4"))
        tokens = sum(map(len, texts)) // 5
        context.batch(
            items=len(items),
            real_tokens=tokens,
            computed_tokens=tokens,
            vectorise_s=vectorised - began,
            compute_s=time.monotonic() - vectorised,
        )
        for item, text in zip(items, words, strict=True):
            if isinstance(text, ItemError):
                yield text
            else:
                vector = Vector(next(vectors).tobytes())
                yield Embedding256(vector=vector, truncated=len(item.text) > MAX_CHARS)

    def _similar(self, item: WorkItem, top: int, context: RunContext) -> Matches | ItemError:
        if context.stop_requested():
            raise Stopped
        assert isinstance(item.record, Query)
        query = _words_of(item.record.query)
        if isinstance(query, ItemError):
            return query
        vectors = self._vectors([query, *map(normalized, item.record.candidates)])
        cosines = np.clip((vectors[1:] * vectors[0]).sum(axis=1), -1.0, 1.0)
        best = np.argsort(-cosines, kind="stable")[:top]
        return Matches(
            matches=tuple(Match(index=int(at), cosine=float(cosines[at])) for at in best)
        )

    def _vectors(self, texts: Sequence[str]) -> Vectors:
        """Return a row of length 1 for each normalized text; zeros where it has no words.

        A row is summed in the order of its own features, so it does not depend on the others.
        """
        found = count_features(texts)
        values = (1 + np.log(found.counts)) * self._weights[found.features]
        places = found.texts * DIMENSIONS + self._dimensions[found.features]
        sums = np.bincount(places, weights=values, minlength=len(texts) * DIMENSIONS)
        vectors = sums.reshape(len(texts), DIMENSIONS)
        lengths = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
        scaled: Vectors = vectors / np.where(lengths > 0, lengths, 1.0)
        return scaled


def _words_of(text: str) -> str | ItemError:
    """Return the normalized text; the error of one that is blank or no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _NO_CHARACTER
    return normalized(text[:MAX_CHARS]) or _NO_TEXT


def _batches(items: Sequence[WorkItem]) -> Iterator[Sequence[WorkItem]]:
    """Yield the items in order, so many at once as are read in bounded memory."""
    batch, chars = list[WorkItem](), 0
    for item in items:
        read = min(len(item.text), MAX_CHARS)
        if batch and (len(batch) == BATCH_ITEMS or chars + read > BATCH_CHARS):
            yield batch
            batch, chars = [], 0
        batch.append(item)
        chars += read
    if batch:
        yield batch

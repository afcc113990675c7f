"""A plugin for seqd: embeddings of texts by hashed words and n-grams of characters.

Each word and n-gram belongs to one of a vector's 256 numbers, with a sign, both by its hash: two
that share a number do as often subtract as add (feature hashing, Weinberger et al. 2009). One
weighs (1 + ln count) · idf, and the vector is scaled to the length 1.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Self
from zlib import crc32

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from seqd.plugin import (
    BadItem,
    Dimensions,
    Embedding,
    InvalidData,
    LabelledRecord,
    TaskOutput,
    Vector,
    load_arrays,
    model,
    save_arrays,
    task,
)

FEATURES: Final = 65_536
DIMENSIONS: Final = 256
MAX_CHARS: Final = 100_000


class Embedding256(Embedding):
    """The text as a vector of 256 numbers, whose length is 1."""

    vector: Annotated[Vector, Dimensions(DIMENSIONS)] = Field(description="The vector.")


class Query(BaseModel):
    """A text, and those to choose from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str = Field(max_length=10_000, description="The text to find others like.")
    candidates: tuple[Annotated[str, Field(max_length=10_000)], ...] = Field(
        min_length=1, max_length=1_000, description="The texts to choose from."
    )


class Match(TaskOutput):
    """A candidate, and how like the query it is."""

    index: int = Field(ge=0, lt=1_000, description="Its place among the candidates, from 0.")
    cosine: float = Field(ge=-1, le=1, description="1 for the same words, 0 for no common ones.")


class Matches(TaskOutput):
    """The candidates that are most like the query."""

    matches: tuple[Match, ...] = Field(max_length=100, description="The matches, the best first.")


@model(
    "ngrams",
    summary="Embeds texts by their words and n-grams of characters, and finds the most similar.",
    presets={"best": {"min_texts": 5}},
    libraries=["numpy"],
)
class Ngrams:
    """The inverse document frequency of each feature: ln((1 + texts) / (1 + texts with it)) + 1."""

    def __init__(self, idf: npt.NDArray[np.generic]) -> None:
        features = np.arange(FEATURES)  # which are hashes: their bits are as good as drawn
        self.places, signs = features % DIMENSIONS, 1 - 2 * (features // DIMENSIONS % 2)
        self.idf = idf.astype(np.float16)  # precise enough, and half of the file
        self.weights = signs * self.idf.astype(np.float64)
        self.memory_bytes = self.places.nbytes + self.weights.nbytes + self.idf.nbytes
        self.metrics = dict[str, float]()

    @classmethod
    def train(
        cls,
        records: Iterable[LabelledRecord],
        min_texts: Annotated[int, Field(ge=1, le=1_000_000)] = 2,
    ) -> Self:
        """Count in how many texts each feature is. Labels are not used.

        min_texts: Texts that a word or n-gram has to be in; a rarer one counts as not seen.
        """
        texts, texts_with = 0, np.zeros(FEATURES)
        for record in records:
            found = features_of(record.text)
            texts_with[np.unique(found)] += 1
            texts += len(found) > 0
        if not texts:
            raise InvalidData("no text has a word; at least one is due")
        texts_with[texts_with < min_texts] = 0
        made = cls(np.log((1 + texts) / (1 + texts_with)) + 1)
        made.metrics = {"texts": texts, "features": int(np.count_nonzero(texts_with))}
        return made

    def save(self, folder: Path) -> None:
        """Write weights.safetensors."""
        save_arrays(folder / "weights.safetensors", {"idf": self.idf})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        return cls(load_arrays(folder / "weights.safetensors", {"idf": (FEATURES,)})["idf"])

    @task("embed", unit_items=4_096)
    def embed(self, text: str) -> Embedding256:
        """Return a vector of 256 numbers and length 1 of a text."""
        vector = self.vector_of(text)
        if not vector.any():
            raise BadItem("the text is blank")
        return Embedding256(
            vector=Vector(vector.astype("<f4").tobytes()), truncated=len(text) > MAX_CHARS
        )

    @task("similar", unit_items=64)
    def similar(self, query: Query, top: Annotated[int, Field(ge=1, le=100)] = 5) -> Matches:
        """Return the candidates that are most like a query.

        top: Matches to give, the best first.
        """
        if not query.query.strip():
            raise BadItem("the query is blank")
        vectors = np.stack([self.vector_of(text) for text in (query.query, *query.candidates)])
        cosines = (vectors[1:] @ vectors[0]).clip(-1, 1)
        best = np.argsort(-cosines, kind="stable")[:top]
        return Matches(matches=[Match(index=at, cosine=cosines[at]) for at in best.tolist()])

    def vector_of(self, text: str) -> npt.NDArray[np.float64]:
        """Return a vector of length 1; zeros for a text without words."""
        found, counts = np.unique(features_of(text), return_counts=True)
        weights = (1 + np.log(counts)) * self.weights[found]
        vector = np.bincount(self.places[found], weights, minlength=DIMENSIONS)
        return vector / (np.linalg.norm(vector) or 1.0)


def features_of(text: str) -> npt.NDArray[np.int64]:
    """Return the numbers of a text's words, and of their parts of 3 and 4 characters."""
    words = re.findall(r"[^\W_]+", text[:MAX_CHARS].casefold()) or text[:MAX_CHARS].split()
    parts = [
        f" {word} "[at : at + size]
        for word in words
        for size in (3, 4)
        for at in range(len(word) + 3 - size)
    ]
    return np.array([crc32(one.encode()) % FEATURES for one in (*words, *parts)], np.int64)

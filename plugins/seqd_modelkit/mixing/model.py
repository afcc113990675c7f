"""A model that mixes contexts, as other modules see it: learnt, read and written by, in arrays.

See `kernels` for how it predicts. An unknown character, -1, has a fixed share of each prediction,
and all code points are equally probable there.
"""

import copy
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from seqd.errors import Stopped
from seqd.hookspecs import TrainContext, check_arrays
from seqd_modelkit.mixing import kernels
from seqd_modelkit.mixing.kernels import (
    CONTEXTS,
    Alphabet,
    Counts,
    Doubles,
    Ints,
    Longs,
    Model,
    Past,
    Weights,
)
from seqd_modelkit.packing import deflate, inflate

Ids = npt.NDArray[np.integer]
Arrays = Mapping[str, npt.NDArray[np.generic]]

#: Characters that are learnt from at most, which take 100 bytes each, and different ones: each of
#: these makes a whole distribution longer.
MAX_CHARACTERS: Final = 10_000_000
MAX_ALPHABET: Final = 10_000

#: Characters that are read between two looks whether to stop: a tenth of a second of learning.
_AT_ONCE: Final = 4_096

#: Parts of the text that are taken out, one at a time, to learn how to predict them. With 5 or 20
#: it predicts worse by 0.01 bits a character, and a second pass gains nothing.
_PARTS: Final = 10

#: Characters of each part that are learnt from at most.
_LEARNT: Final = 200_000

#: The rate of the mixers at the beginning, the share of it at the end, and that of adapting.
_RATE, _LAST_SHARE, _ADAPTIVE_RATE = 0.006, 0.02, 0.0007

#: Characters that a place depends on, but for hashes of words that are longer.
_READ: Final = 400

#: The count that a class stands for, before it has learnt its own probability.
_TYPICAL: Final = (0, 1, 2, 3, 4, 5.5, 8, 11.5, 16.5, 25, 45, 90, 180, 500, 3_000, 20_000)

#: No weight is near it, and no number of decisions.
_LARGEST: Final = 1e9

_CODE_POINTS: Final = 0x110000
_PACKED: Final = ("text", "key_steps", "sizes", "symbols", "counts")


@dataclass(frozen=True)
class Mixture:
    """A model in memory, which nothing changes."""

    model: Model
    #: The probability of any unknown character, in each prediction; 0 where none is predicted.
    unknown_share: float

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for part in self.model for array in part)

    def arrays(self) -> dict[str, npt.NDArray[np.uint8]]:
        """Return all that `from_arrays` needs beside the vocabulary, by name."""
        keys, *lists = _in_order_of_keys(*_lists(self.model.counts))
        steps = np.diff(keys, prepend=0)  # of half as many bytes as keys once they are deflated
        rows = zip(_PACKED, (self.model.past.ids, steps, *lists), strict=True)
        packed = {name: deflate(row.astype(np.min_scalar_type(row.max()))) for name, row in rows}
        weights = self.model.weights._asdict()
        return packed | {name: deflate(array.reshape(-1)) for name, array in weights.items()}

    @classmethod
    def from_arrays(cls, arrays: Arrays, vocabulary: str, unknown_share: float = 0.0) -> Self:
        """Return the model of some arrays. Raises ValueError, which says what is wrong."""
        due = {*_PACKED, *Weights._fields}
        if arrays.keys() != due or len(vocabulary) < 2:
            raise ValueError(f"arrays {sorted(arrays)} are there; due are {sorted(due)}")
        symbols = len(vocabulary)
        symbol, count = (0, symbols - 1), (1, MAX_CHARACTERS)
        bounds = (symbol, (0, 2**31 - 1), (1, symbols), symbol, count)
        text, steps, sizes, followers, counts = (
            _row(inflate(arrays[name], name), name, *of_row)
            for name, of_row in zip(_PACKED, bounds, strict=True)
        )
        keys = np.cumsum(steps, dtype=np.int64)
        if keys[-1] >= 2**31:
            raise ValueError("'key_steps' lead to a key above 31 bits")
        if not len(keys) == len(sizes) or not sizes.sum() == len(followers) == len(counts):
            raise ValueError("'key_steps', 'sizes', 'symbols' and 'counts' are not of one model")
        if counts.sum() != CONTEXTS * len(text):
            raise ValueError("'counts' are not those of the text")
        model = _fresh_model(vocabulary, text)._replace(
            counts=_counts_of(keys.astype(np.int32), sizes, followers, counts)
        )
        for name, fresh in model.weights._asdict().items():
            saved = inflate(arrays[name], name)
            if (saved.size, saved.dtype) != (fresh.size, fresh.dtype):
                raise ValueError(f"'{name}' is {saved.dtype} of {saved.size:,} numbers")
            if not (np.abs(saved.astype(np.float64)) <= _LARGEST).all():
                raise ValueError(f"'{name}' has values that are no numbers, or too large")
            fresh[...] = saved.reshape(fresh.shape)
        kernels.index(model.past, beginning(), model.alphabet, 0, 0)
        return cls(model, unknown_share)

    def state_after(self, ids: Ids) -> Longs:
        """Return the place behind a text; behind the most frequent character for an empty one."""
        some = ids if len(ids) else np.array([self.model.tree.depths.argmin()])
        return _place_behind(some, self.model)

    def probabilities(self, state: Longs) -> Doubles:
        """Return the probability of each symbol in a state; the rest is of unknown characters."""
        logs = np.zeros(len(self.model.tree.depths))
        for symbol in range(len(logs)):
            one = np.array([symbol], np.int32)
            kernels.predict(self.model, state.copy(), one, 0.0, -1, logs[symbol : symbol + 1])
        return np.exp(logs) * (1.0 - self.unknown_share)

    def reader(self, check_stop: Callable[[], None], *, adapts: bool) -> "Reader":
        """Return a reader of a text from its beginning, or of what goes on behind the learnt one.

        One that adapts learns from each character that it has predicted. It keeps the weights, and
        counts the learnt text anew, since weights for one pass want counts that have grown.
        """
        model = self.model
        if not adapts:
            return Reader(model, self.unknown_share, check_stop)
        reader = Reader(
            model._replace(
                counts=_no_counts(),
                past=Past(np.empty(0, np.int32), np.full_like(model.past.last, -1)),
                weights=copy.deepcopy(model.weights),
            ),
            self.unknown_share,
            check_stop,
            rate=_ADAPTIVE_RATE,
        )
        reader.log_probs(model.past.ids)
        return reader


@dataclass
class Reader:
    """Reads a text piece by piece; with a rate above 0 the model is its own, and learns."""

    model: Model
    unknown_share: float
    check_stop: Callable[[], None]
    rate: float = 0.0

    def __post_init__(self) -> None:
        self._place, self._read = beginning(), 0

    def log_probs(self, ids: Ids) -> Doubles:
        """Return the log-probability of each symbol that comes next."""
        text, logs = np.ascontiguousarray(ids, np.int32), np.zeros(len(ids))
        for first in range(0, len(text), _AT_ONCE):
            self.check_stop()
            some, since = text[first : first + _AT_ONCE], -1
            if self.rate:
                since, self._read = self._read, self._read + len(some)
                self.model = _with_room(self.model, len(some), self._read)
            kernels.predict(
                self.model, self._place, some, self.rate, since, logs[first:][: len(some)]
            )
        code_points = _CODE_POINTS - len(self.model.tree.depths)
        share = self.unknown_share
        unknown = math.log(share / code_points) if share else -math.inf
        return np.where(text < 0, unknown, logs + math.log1p(-share))


class _Progress(BaseModel):
    """What was learnt: parts, characters of them, and their code length by what was known."""

    parts: int = Field(default=0, ge=0, le=_PARTS)
    characters: int = Field(default=0, ge=0)
    bits: float = 0.0


class Learning:
    """Learns a text: counts all of it, then learns to predict parts by the counts of all others.

    Weights that are learnt while the counts grow know what rare contexts are worth when few are
    known, which is worse by 0.015 bits a character.
    """

    def __init__(
        self, ids: Ids, vocabulary: str, context: TrainContext, *, keeps: bool = True
    ) -> None:
        """`keeps` saves and resumes by the context's checkpoints; else it begins anew."""
        text = np.ascontiguousarray(ids, np.int32)
        self._model, self._text, self._context = _fresh_model(vocabulary, text), text, context
        edges = np.linspace(0, len(text), _PARTS + 1).astype(int)
        parts = [(a, min(b, a + _LEARNT)) for a, b in itertools.pairwise(edges)]
        self._parts = [parts[number] for number in np.random.default_rng(0).permutation(_PARTS)]
        self._learnt_characters = sum(end - first for first, end in parts)
        self._progress = _Progress()
        self._keeps = keeps
        #: Weights and progress at the beginning of the part, once there is one.
        self._kept: tuple[Arrays, dict[str, int | float]] | None = None

    def run(self) -> tuple[Mixture, float]:
        """Return the model, and the bits a character of the parts, each predicted by the others.

        Goes on behind the last part that a checkpoint has. Raises Stopped.
        """
        place = beginning()
        for first in range(0, len(self._text), _AT_ONCE):
            self._report(first)
            some = self._text[first : first + _AT_ONCE]
            self._model = _with_room(self._model, len(some))
            kernels.count_all(self._model, place, some, 0)
        self._resume()
        while self._progress.parts < _PARTS:
            self._keep()
            self._learn_part(*self._parts[self._progress.parts])
        model = self._model
        kernels.index(model.past, beginning(), model.alphabet, 0, 0)
        frequencies = np.bincount(self._text)
        share = (int((frequencies == 1).sum()) + 1) / (len(self._text) + 1)
        self._report(len(self._text))
        # In memory as it will be when it is loaded: the list of each context in one place.
        mixture = Mixture(model._replace(counts=_counts_of(*_lists(model.counts))), min(share, 0.5))
        return mixture, self._progress.bits / self._learnt_characters

    def _resume(self) -> None:
        checkpoint = self._context.checkpoints.load() if self._keeps else None
        if checkpoint is not None:
            weights = self._model.weights._asdict()
            shapes = {name: array.shape for name, array in weights.items()}
            check_arrays(checkpoint.arrays, shapes, "markov")
            for name, array in weights.items():
                array[...] = checkpoint.arrays[name]
            self._progress = _Progress.model_validate(dict(checkpoint.progress))

    def _keep(self) -> None:
        """Keep what a checkpoint needs: a part that is half learnt is learnt again."""
        if not self._keeps:
            return
        weights = {name: array.copy() for name, array in self._model.weights._asdict().items()}
        self._kept = weights, self._progress.model_dump()
        if self._context.checkpoints.due():
            self._context.checkpoints.save(*self._kept)

    def _learn_part(self, start: int, end: int) -> None:
        kernels.index(self._model.past, beginning(), self._model.alphabet, start, end)
        self._count(start, end, -1)
        place = _place_behind(self._text[:start], self._model)
        for first in range(start, end, _AT_ONCE):
            self._report(len(self._text))
            some = self._text[first : min(first + _AT_ONCE, end)]
            learnt = self._progress.characters / self._learnt_characters
            cosine = (1.0 + math.cos(math.pi * learnt)) / 2.0
            logs = np.zeros(len(some))
            rate = _RATE * (_LAST_SHARE + (1.0 - _LAST_SHARE) * cosine)
            kernels.predict(self._model, place, some, rate, -1, logs)
            self._progress.characters += len(some)
            self._progress.bits -= float(logs.sum()) / math.log(2.0)
        self._count(start, end, 1)
        self._progress.parts += 1

    def _count(self, start: int, end: int, by: int) -> None:
        place = _place_behind(self._text[:start], self._model)
        for first in range(start, end, _AT_ONCE):
            kernels.count_all(
                self._model, place, self._text[first : min(first + _AT_ONCE, end)], by
            )

    def _report(self, counted: int) -> None:
        """Tell how far it is, and end where that is asked for."""
        learnt, bits = self._progress.characters, self._progress.bits
        done, total = counted + learnt, len(self._text) + self._learnt_characters
        self._context.step(done, total, **({"bits_per_char": bits / learnt} if learnt else {}))
        if self._context.stop_requested():
            if self._kept is not None:
                self._context.checkpoints.save(*self._kept)
            raise Stopped(
                f"The training was stopped after {done:,} of {total:,} characters; it made no "
                "version."
            )


def _fresh_model(vocabulary: str, text: Ints) -> Model:
    """Return a model that has counted and learnt nothing yet."""
    symbols = len(vocabulary)
    plain = np.arange(symbols, dtype=np.int32)
    letters, line_ends = np.zeros(symbols, np.bool_), np.zeros(symbols, np.bool_)
    for symbol, character in enumerate(vocabulary):
        letters[symbol] = character.isalpha()
        line_ends[symbol] = character in "\r\n"
        if line_ends[symbol] and " " in vocabulary:
            plain[symbol] = vocabulary.index(" ")
    typical = np.array(_TYPICAL) + 0.4
    odds = np.log(typical[None, :] / typical[:, None])  # (of 0, of 1)
    logits = np.tile(np.repeat(odds.ravel(), 4), (CONTEXTS, 1)).astype(np.float32)
    mixers = np.zeros((kernels.rows_of_mixers(symbols), kernels.INPUTS), np.float32)
    mixers[:, 0 : 3 * CONTEXTS : 3] = 0.15
    points = (1.0 / (1.0 + np.exp(8.0 - np.arange(kernels.POINTS) / 2.0))).astype(np.float32)
    size = 1 << min(22, max(10, int(2 * len(text)).bit_length()))
    return Model(
        kernels.huffman_tree(np.bincount(text, minlength=symbols).tolist()),
        Alphabet(plain, letters, line_ends),
        _no_counts(),
        Past(text, np.full(size, -1, np.int32)),
        Weights(
            (1.0 / (1.0 + np.exp(-logits))).astype(np.float32),
            logits,
            np.zeros(logits.shape, np.int32),
            np.full(kernels.HISTORY, 0.9, np.float32),
            mixers,
            np.full((symbols - 1, kernels.SETS), 1.0 / kernels.SETS, np.float32),
            np.tile(points, (min((symbols - 1) * (symbols + 1), kernels.MAP_ROWS), 1)),
            np.tile(points, (kernels.MAP_ROWS, 1)),
        ),
    )


def beginning() -> Longs:
    """Return the place at the beginning of a text."""
    place = np.zeros(kernels.PLACE, np.int64)
    place[: kernels.HISTORY] = -1
    return place


def _place_behind(text: Ids, model: Model) -> Longs:
    place = beginning()
    kernels.read_all(place, np.ascontiguousarray(text[-_READ:], np.int32), model.alphabet)
    return place


def _no_counts() -> Counts:
    slots = np.full((1 << 10, 2), -1, np.int32)
    return Counts(slots, np.zeros((0, 3), np.int32), np.zeros(2, np.int64))


def _with_room(model: Model, more: int, past: int = 0) -> Model:
    """Return the model with room to count more characters, and for a past of some characters."""
    slots, entries, sizes = model.counts
    due = CONTEXTS * more
    if sizes[1] + due > len(entries):
        entries = np.concatenate([entries, np.zeros((len(entries) + due, 3), np.int32)])
    while sizes[0] + due > 0.75 * len(slots):
        larger = np.full((2 * len(slots), 2), -1, np.int32)
        kernels.put_into(larger, slots[:, 0], slots[:, 1])
        slots = larger
    ids = model.past.ids
    if past > len(ids):
        ids = np.resize(ids, 2 * past)
    return model._replace(counts=Counts(slots, entries, sizes), past=model.past._replace(ids=ids))


def _lists(counts: Counts) -> tuple[Ints, Ints, Ints, Ints]:
    """Return the keys of contexts, how many symbols followed each, these, and how often."""
    contexts, entries = counts.sizes
    keys, sizes = np.zeros(contexts, np.int32), np.zeros(contexts, np.int32)
    listed = np.zeros((2, entries), np.int32)
    kernels.list_all(counts, keys, sizes, listed)
    return keys, sizes, listed[0], listed[1]


def _in_order_of_keys(
    keys: Ints, sizes: Ints, symbols: Ints, counts: Ints
) -> tuple[Ints, Ints, Ints, Ints]:
    """Return the lists by rising keys."""
    order = np.argsort(keys)
    firsts = (np.cumsum(sizes) - sizes)[order]
    sizes = sizes[order]
    entries = np.arange(sizes.sum()) + np.repeat(firsts - (np.cumsum(sizes) - sizes), sizes)
    return keys[order], sizes, symbols[entries], counts[entries]


def _counts_of(keys: Ints, sizes: Ints, symbols: Ints, counts: Ints) -> Counts:
    """Return counts by their lists."""
    ends = np.cumsum(sizes)
    following = np.arange(1, len(symbols) + 1, dtype=np.int32)
    following[ends - 1] = -1
    slots = np.full((1 << max(10, int(1.5 * len(keys)).bit_length()), 2), -1, np.int32)
    kernels.put_into(slots, keys, (ends - sizes).astype(np.int32))
    entries = np.stack([symbols, counts, following], axis=1)
    return Counts(slots, entries, np.array([len(keys), len(symbols)]))


def _row(array: npt.NDArray[np.generic], name: str, least: int, most: int) -> Ints:
    """Return numbers within bounds. Raises ValueError for others."""
    if array.dtype.kind not in "iu" or array.ndim != 1 or not len(array):
        raise ValueError(
            f"'{name}' is {array.dtype} of shape {array.shape}; due is a row of integers"
        )
    lowest, highest = int(array.min()), int(array.max())
    if lowest < least or highest > most:
        raise ValueError(
            f"'{name}' has numbers from {lowest} to {highest}; possible are {least} to {most}"
        )
    return array.astype(np.int32)

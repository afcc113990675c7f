"""A model that mixes contexts, as other modules see it: learnt, measured, drawn from, in arrays.

See `mixing` for how it predicts. Symbols are those of a tokenizer of characters; one that is never
predicted, the beginning of a sentence, is read all the same. An unknown character, -1, has a fixed
share of each prediction, and all code points are equally probable there.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from seqd_markov import mixing
from seqd_markov.mixing import (
    CONTEXTS,
    HISTORY,
    INPUTS,
    LOGARITHMS,
    MAP_ROWS,
    ORDERS,
    POINTS,
    SETS,
    Alphabet,
    Counts,
    Ints,
    Longs,
    Model,
    Past,
    Rates,
    Weights,
)
from seqd_markov.tokenizers import Ids

Doubles = npt.NDArray[np.float64]

#: Characters that are read between two looks whether to stop: a tenth of a second of learning.
_AT_ONCE: Final = 4_096

#: Parts of the text that are taken out, one at a time, to learn how to predict them. With 5 or 20
#: it predicts worse by 0.01 bits a character, and a second pass gains nothing.
_PARTS: Final = 10

#: Characters of each part that are learnt from at most.
_LEARNT: Final = 200_000

#: The rate of the mixers at the beginning, and the share of it at the end.
_RATE, _LAST_SHARE = 0.006, 0.02
_ADAPTIVE_RATE: Final = 0.0007

#: Learning of the joints in relation to the mixers, of a probability that was often seen, of maps.
_JOINTS, _LEAST, _MAPS = 3.0, 0.0003, 0.01

#: Characters that a place depends on, but for hashes of words that are longer.
_READ: Final = 400

#: The count that a class stands for, before it has learnt its own probability.
_TYPICAL: Final = (0, 1, 2, 3, 4, 5.5, 8, 11.5, 16.5, 25, 45, 90, 180, 500, 3_000, 20_000)


@dataclass(frozen=True)
class Mixture:
    """A model in memory; `adapted` alone gives one that goes on learning."""

    model: Model
    #: The probability of any unknown character, in each prediction.
    unknown_share: float
    #: Where a text begins.
    beginning: Longs

    @classmethod
    def learnt(
        cls, ids: Ids, vocabulary: str, never: int | None, check_stop: Callable[[], None]
    ) -> Self:
        """Return what is learnt of a text, one pass of counting and one of learning weights.

        Ids beyond the vocabulary are the beginning and the end of a sentence. `check_stop` raises
        when the training is to end.
        """
        text = np.ascontiguousarray(ids, np.int32)
        symbols = len(vocabulary) + (0 if never is None else 2)
        frequencies = np.bincount(text[text >= 0], minlength=symbols)
        model = _fresh_model(vocabulary, frequencies, never, text)
        beginning = np.zeros(mixing.PLACE, np.int64)
        beginning[:HISTORY] = int(frequencies.argmax())
        share = (int((frequencies == 1).sum()) + 1) / (len(text) + 1)
        mixture = cls(model, min(share, 0.5), beginning)
        mixture = mixture._counted(text, check_stop)
        mixture._learn_weights(text, check_stop)
        return mixture

    def log_probs(
        self, ids: Ids, place: Longs, check_stop: Callable[[], None] = lambda: None
    ) -> Doubles:
        """Return the log-probability of each symbol behind a place, which moves on behind them.

        NaN for one that is never predicted.
        """
        logs = np.full(len(ids), np.nan)
        for first in range(0, len(ids), _AT_ONCE):
            check_stop()
            some = np.ascontiguousarray(ids[first : first + _AT_ONCE], np.int32)
            mixing.predict(
                self.model, place, some, 0, 0, False, False, _no_rates(), logs[first:][: len(some)]
            )
        return self._with_unknown(ids, logs)

    def adapted(
        self, text: Ids, ids: Ids, check_stop: Callable[[], None] = lambda: None
    ) -> Doubles:
        """Return the log-probability of each symbol of `ids` behind `text`, learning all the time.

        Weights are kept; the text that was learnt from is counted anew, since weights for one pass
        want counts that have grown. This model stays as it is.
        """
        both = np.concatenate([text, ids]).astype(np.int32)
        logs = np.full(len(both), np.nan)
        model, place = self.model, self.beginning.copy()
        model = model._replace(
            counts=Counts(
                np.full((1 << 10, 2), -1, np.int32), np.empty((0, 3), np.int32), np.zeros(2, int)
            ),
            past=Past(
                np.full(len(both), -1, np.int32),
                np.full_like(model.past.last, -1),
                model.past.before,
            ),
            weights=Weights(*(array.copy() for array in model.weights)),
        )
        for first in range(0, len(both), _AT_ONCE):
            check_stop()
            some = both[first : first + _AT_ONCE]
            model = model._replace(counts=_with_room(model.counts, CONTEXTS * len(some)))
            rates = _rates(np.full(len(some), _ADAPTIVE_RATE))
            mixing.predict(
                model, place, some, first, first, True, True, rates, logs[first:][: len(some)]
            )
        return self._with_unknown(ids, logs[len(text) :])

    def write(
        self, place: Longs, numbers: Doubles, temperature: float, top_k: int, top_p: float, end: int
    ) -> tuple[Longs, Doubles]:
        """Return a symbol for each number below 1, and its log-probability among known ones.

        The place moves on behind them. `end` ends a sentence, and another one begins; or is -1.
        """
        symbols, logs = np.empty(len(numbers), np.int64), np.empty(len(numbers))
        mixing.write(self.model, place, numbers, temperature, top_k, top_p, end, symbols, logs)
        return symbols, logs

    def state_after(self, ids: Ids) -> Longs:
        """Return the place behind a text."""
        place = self.beginning.copy()
        mixing.read_all(place, np.ascontiguousarray(ids[-_READ:], np.int32), self.model.alphabet)
        return place

    def _with_unknown(self, ids: Ids, logs: Doubles) -> Doubles:
        known = logs + math.log1p(-self.unknown_share)
        code_points = 0x110000 - len(self.model.tree.depths)
        return np.where(ids < 0, math.log(self.unknown_share / code_points), known)

    def _counted(self, text: Ints, check_stop: Callable[[], None]) -> Self:
        """Return the same with a text counted, in a table that grew with it."""
        model, place = self.model, self.beginning.copy()
        for first in range(0, len(text), _AT_ONCE):
            check_stop()
            some = text[first : first + _AT_ONCE]
            model = model._replace(counts=_with_room(model.counts, CONTEXTS * len(some)))
            mixing.count_all(model, place, some, 0)
        counts = model.counts
        entries = counts.entries[: counts.sizes[1]].copy()
        return replace(self, model=model._replace(counts=counts._replace(entries=entries)))

    def _learn_weights(self, text: Ints, check_stop: Callable[[], None]) -> None:
        """Learn to predict parts of the text by the counts of all others.

        Weights that are learnt while the counts grow know what rare contexts are worth when few
        are known, which is worse by 0.015 bits a character.
        """
        past = self.model.past
        before = np.full(len(text), -1, np.int32)
        past.last[:] = -1
        model = self.model._replace(past=past._replace(before=before))
        mixing.index(model.past, self.beginning.copy(), model.alphabet)
        edges = np.linspace(0, len(text), _PARTS + 1).astype(int)
        parts = [(a, min(b, a + _LEARNT)) for a, b in itertools.pairwise(edges)]
        total, done = sum(end - first for first, end in parts), 0
        for number in np.random.default_rng(0).permutation(_PARTS):
            start, end = parts[number]
            place = self.state_after(text[:start])
            self._in_slices(text, start, end, place.copy(), -1, check_stop)
            for first in range(start, end, _AT_ONCE):
                check_stop()
                some = text[first : min(first + _AT_ONCE, end)]
                progress = (done + np.arange(len(some))) / total
                cosine = (1.0 + np.cos(np.pi * progress)) / 2.0
                rates = _rates(_RATE * (_LAST_SHARE + (1.0 - _LAST_SHARE) * cosine))
                logs = np.empty(len(some))
                mixing.predict(model, place, some, start, end, True, False, rates, logs)
                done += len(some)
            self._in_slices(text, start, end, self.state_after(text[:start]), 1, check_stop)

    def _in_slices(
        self, text: Ints, start: int, end: int, place: Longs, by: int,
        check_stop: Callable[[], None],
    ) -> None:  # fmt: skip
        for first in range(start, end, _AT_ONCE):
            check_stop()
            mixing.count_all(self.model, place, text[first : min(first + _AT_ONCE, end)], by)


def _fresh_model(
    vocabulary: str, frequencies: npt.NDArray[np.int64], never: int | None, text: Ints
) -> Model:
    symbols = len(frequencies)
    tree = mixing.huffman_tree(frequencies.tolist(), never)
    nodes = max(1, symbols - 1 - (never is not None))
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
    rows = np.cumsum([0, nodes, ORDERS * 4, symbols + 1, 16 * 8, symbols + 1])
    mixers = np.zeros((rows[-1], INPUTS), np.float32)
    mixers[:, 0 : 3 * CONTEXTS : 3] = 0.15
    points = (1.0 / (1.0 + np.exp(8.0 - np.arange(POINTS) / 2.0))).astype(np.float32)
    size = 1 << min(22, max(10, int(2 * len(text)).bit_length()))
    return Model(
        tree,
        Alphabet(plain, letters, line_ends),
        Counts(np.full((1 << 10, 2), -1, np.int32), np.empty((0, 3), np.int32), np.zeros(2, int)),
        Past(text.copy(), np.full(size, -1, np.int32), np.empty(0, np.int32)),
        Weights(
            (1.0 / (1.0 + np.exp(-logits))).astype(np.float32),
            logits,
            np.zeros(logits.shape, np.int32),
            np.full(HISTORY, 0.9, np.float32),
            mixers,
            np.full((nodes, SETS), 1.0 / SETS, np.float32),
            np.tile(points, (min(nodes * (symbols + 1), MAP_ROWS), 1)),
            np.tile(points, (MAP_ROWS, 1)),
        ),
        rows[:SETS].astype(np.int64),
        np.log(np.arange(LOGARITHMS) + 0.4).astype(np.float32),
    )


def _with_room(counts: Counts, more: int) -> Counts:
    """Return the counts with room for some more contexts and entries."""
    slots, entries, sizes = counts
    if sizes[1] + more > len(entries):
        entries = (
            np.resize(entries, (2 * len(entries) + more, 3))
            if len(entries)
            else (np.zeros((more, 3), np.int32))
        )
    while sizes[0] + more > 0.75 * len(slots):
        larger = np.full((2 * len(slots), 2), -1, np.int32)
        mixing.rehash(slots, larger)
        slots = larger
    return Counts(slots, entries, sizes)


def _rates(of_mixers: Doubles) -> Rates:
    return Rates(of_mixers.astype(np.float32), _JOINTS, _LEAST, _MAPS)


def _no_rates() -> Rates:
    return _rates(np.empty(0))

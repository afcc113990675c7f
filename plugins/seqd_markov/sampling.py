"""Samples symbols from an n-gram model, for many texts at once.

There are two ways. Back-off sampling walks down the contexts of a state, and serves every
temperature above 0. Candidate rows serve what needs the most probable symbols in order: top-k,
top-p and temperature 0. Either way a text's symbols depend on its state and its random numbers
alone, to the last one, whatever else is sampled with it.
"""

import itertools
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqd_markov.data import Ids
from seqd_markov.ngrams.model import NgramModel
from seqd_markov.ngrams.smoothing import Smoothing

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
#: Where a text stands: the number of a context, or the place (`kernels.PLACE`,) of a mixture.
State = int | Indices
#: A text's next random numbers, below 2**32: (steps, numbers of a step).
RandomNumbers = npt.NDArray[np.uint32]

#: Probability 1 as an integer: random numbers are below it.
_ONE = 1 << 32

#: Texts that are sampled together.
_TEXTS_AT_ONCE = 256

#: Temperatures below it are 0: beside the best symbol the others have less than the rounding of 1.
MIN_TEMPERATURE = 1e-9

#: Temperatures that are kept prepared, the last used ones; without top-k and top-p each is 10 ms
#: of work and 2.5 MB for a version of 310,000 n-grams.
_KEPT_TEMPERATURES = 8

#: Cells of candidate rows that are kept, 12 bytes each, however many are needed at once; beyond it
#: all are dropped, and computed again when they are needed. A row takes some for itself.
_KEPT_CELLS, _CELLS_OF_A_ROW = 4_000_000, 64

#: Cells of candidate rows that are computed at once: about 100 MB.
_CELLS_AT_ONCE = 2_000_000

#: A row is sorted whole where more than one in so many of its symbols are wanted.
_SORTED_SHARE = 8


@dataclass(frozen=True)
class SampledSymbols:
    """The next symbols of all texts."""

    symbols: Indices  # (texts, steps)
    log_probs: Floats  # (texts, steps), the model's own, at temperature 1
    states: Sequence[State]  # (texts,), after the last step


class Sampler(ABC):
    """Samples at one temperature, with top-k and top-p."""

    #: Texts that are best sampled together, at most.
    texts_at_once = _TEXTS_AT_ONCE
    #: Bytes beside the model's.
    nbytes = 0

    def __init__(self, temperature: float, top_k: int) -> None:
        #: True when no randomness is left, so that another try gives the same text.
        self.is_deterministic = temperature < MIN_TEMPERATURE or top_k == 1

    @abstractmethod
    def sample(
        self,
        states: Sequence[State],
        streams: Sequence[np.random.BitGenerator],
        steps: int,
        check_stop: Callable[[], None],
    ) -> SampledSymbols:
        """Sample `steps` symbols after each state; of each stream the next numbers are used.

        `check_stop` raises when the job is to end; it is called at least once.
        """


class NgramWriter:
    """What an n-gram model writes by: the state behind a prompt, and samplers."""

    def __init__(self, model: NgramModel, sentence_end: int | None) -> None:
        self._model = model
        self._log_probabilities = LogProbabilities(model, sentence_end=sentence_end)
        self._samplers: dict[tuple[float, int, float], Sampler] = {}
        #: States of short prompts, and what they are extended to; some thousands at most.
        self._extensions: dict[int, int] = {}
        #: Bytes that samplers may take: some temperatures, and one setting with candidate rows.
        self._samplers_bytes = CandidateRows.bytes_for(model)
        self._samplers_bytes += _KEPT_TEMPERATURES * 8 * len(model.arcs.symbols)

    @property
    def nbytes(self) -> int:
        """Bytes of counts, log-probabilities and samplers."""
        return self._model.nbytes + self._log_probabilities.nbytes + self._samplers_bytes

    def state_after(self, ids: Ids) -> int:
        """Return the state after a prompt, extended to the left where Kneser-Ney needs it.

        In sentences the left context is known: the beginning of the sentence is part of the prompt.
        """
        model = self._model
        state = model.state_after(ids)
        context = ids[-model.order :]
        known = len(context) - int(np.flatnonzero(context < 0).max(initial=-1)) - 1
        is_short = 0 < known < model.order and model.begin is None
        if not is_short or model.smoothing is not Smoothing.KNESER_NEY:
            return state
        if state not in self._extensions:
            self._extensions[state] = model.most_frequent_extension(state)
        return self._extensions[state]

    def sampler(self, temperature: float, top_k: int, top_p: float) -> Sampler:
        """Return the sampler of some settings; the last used ones are kept prepared."""
        settings = (temperature, top_k, top_p)
        sampler = self._samplers.pop(settings, None) or self._new_sampler(*settings)
        self._samplers[settings] = sampler
        while len(self._samplers) > 1 and self._kept_bytes > self._samplers_bytes:
            del self._samplers[next(iter(self._samplers))]
        return sampler

    def _new_sampler(self, temperature: float, top_k: int, top_p: float) -> Sampler:
        predictable = self._log_probabilities.predictable
        if 0 < top_k < predictable or top_p < 1.0 or temperature < MIN_TEMPERATURE:
            return CandidateRows(self._log_probabilities, temperature, top_k, top_p)
        return BackoffSampler(self._log_probabilities, temperature, top_k)

    @property
    def _kept_bytes(self) -> int:
        return sum(sampler.nbytes for sampler in self._samplers.values())


class LogProbabilities:
    """The log-probabilities of a model's arcs at temperature 1, and the states that they lead to.

    After the symbol `sentence_end`, where there is one, follows the beginning of another sentence.
    """

    def __init__(self, model: NgramModel, sentence_end: int | None = None) -> None:
        self.model = model
        arcs = model.arcs
        #: The state that each arc leaves: (arcs,).
        self.parents: Indices = np.repeat(np.arange(model.states), np.diff(arcs.starts))
        lower_order, whole = _arc_probabilities(model, self.parents)
        with np.errstate(divide="ignore"):
            #: P(symbol | context) of each arc, and the part of it from lower orders: (arcs,).
            self.log_whole: Floats = np.log(whole)
            self.log_lower_order: Floats = np.log(lower_order)
            #: The back-off weight and the uniform term of each state: (states,).
            self.log_backoffs: Floats = np.log(arcs.backoffs)
            self.log_uniforms: Floats = np.log(arcs.uniforms)
        # Memory views give Python numbers, three times as fast as arrays do one by one.
        self.starts = arcs.starts.data
        self.symbols = arcs.symbols.data
        self._after = _states_after(model, sentence_end)
        self.next_states = self._after.data
        self.lower = arcs.lower.data
        self.uniforms = arcs.uniforms.data
        self._logs_whole, self._logs_backoffs = self.log_whole.data, self.log_backoffs.data

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, beside the model's own."""
        return sum(array.nbytes for array in vars(self).values() if isinstance(array, np.ndarray))

    @property
    def predictable(self) -> int:
        """Number of symbols that can follow at all."""
        return self.model.symbols - (self.model.begin is not None)

    def random_numbers(self, stream: np.random.BitGenerator, steps: int) -> RandomNumbers:
        """Return the next numbers of a stream, the same ones however many steps are asked for."""
        each = (self.model.order + 3) // 2
        return stream.random_raw(steps * each).view(np.uint32).reshape(steps, 2 * each)

    def uniform_symbol(self, number: int) -> int:
        """Return the symbol of a number below 2**32, by the uniform distribution."""
        symbol = number * self.predictable >> 32
        begin = self.model.begin
        return symbol + (begin is not None and symbol >= begin)

    def follow(self, state: int, symbol: int) -> tuple[int, float]:
        """Return the state after a symbol, and the symbol's log-probability in `state`."""
        starts, symbols, log_weight = self.starts, self.symbols, 0.0
        while True:
            end = starts[state + 1]
            arc = bisect_left(symbols, symbol, starts[state], end)
            if arc < end and symbols[arc] == symbol:
                return self.next_states[arc], log_weight + self._logs_whole[arc]
            if self.uniforms[state] or state == 0:
                log_prob = log_weight + float(self.log_uniforms[state])
                return self._after_uniform(state, symbol), log_prob
            log_weight += self._logs_backoffs[state]
            state = self.lower[state]

    def _after_uniform(self, state: int, symbol: int) -> int:
        """Return the state after a symbol that `state` has no arc for."""
        while state:
            state = self.lower[state]
            end = self.starts[state + 1]
            arc = bisect_left(self.symbols, symbol, self.starts[state], end)
            if arc < end and self.symbols[arc] == symbol:
                return self.next_states[arc]
        return 0


def _states_after(model: NgramModel, sentence_end: int | None) -> npt.NDArray[np.int32]:
    """Return the state after each arc: (arcs,)."""
    if sentence_end is None:
        return model.arcs.next_states
    begun = model.state_after(np.array([model.begin]))
    is_end = model.arcs.symbols == sentence_end
    return np.where(is_end, np.int32(begun), model.arcs.next_states)


def _arc_probabilities(model: NgramModel, parents: Indices) -> tuple[Floats, Floats]:
    """Return P(symbol | context) of each arc without its discounted term, and with it: (arcs,)."""
    arcs = model.arcs
    # Arc a leads to state a + 1, and beyond the longest contexts to a state of its suffix.
    shorter = np.append(arcs.lower[1:], arcs.next_states[model.states - 1 :]).astype(np.int64) - 1
    lower_order, whole = np.empty(len(parents)), np.empty(len(parents))
    first = 0
    for size in model.ngrams:  # lower orders first
        level = slice(first, first + size)
        lower_order[level] = arcs.uniforms[parents[level]]
        if first:
            lower_order[level] += arcs.backoffs[parents[level]] * whole[shorter[level]]
        whole[level] = lower_order[level] + arcs.discounted[level]
        first += size
    return lower_order, whole


class BackoffSampler(Sampler):
    """Samples at one temperature by walking down the contexts.

    A state's distribution is that of its own arcs plus a weight times that of its lower-order
    state. At a temperature it still is: with e = 1 / temperature, an arc of probability p, r of it
    from lower orders, has p**e - r**e of its own beside the r**e of the lower-order state. So one
    random number either falls on one of the state's arcs, or the next number goes to the
    lower-order state, and no row of all symbols is computed. Limits are integers, rounded to
    multiples of 2**-32 once.

    It takes one text at a time, in plain Python: a step is a binary search among three arcs on the
    average, and costs 0.8 microseconds. The same in NumPy, all texts a step at a time, took 16
    microseconds for one text and 1.4 for each of 256.
    """

    def __init__(self, log_probabilities: LogProbabilities, temperature: float, top_k: int) -> None:
        super().__init__(temperature, top_k)
        self._log_probabilities = log_probabilities
        limits = _arc_limits(log_probabilities, 1.0 / temperature)
        self.nbytes = limits.nbytes
        self._limits = limits.data

    def sample(
        self,
        states: Sequence[State],
        streams: Sequence[np.random.BitGenerator],
        steps: int,
        check_stop: Callable[[], None],
    ) -> SampledSymbols:
        """Sample text by text; see `Sampler`."""
        check_stop()
        sampled = [
            self._sample(int(state), self._log_probabilities.random_numbers(stream, steps))
            for state, stream in zip(states, streams, strict=True)
        ]
        return SampledSymbols(
            np.array([symbols for symbols, _, _ in sampled]),
            np.array([log_probs for _, log_probs, _ in sampled]),
            [state for _, _, state in sampled],
        )

    def _sample(self, state: int, numbers: RandomNumbers) -> tuple[Indices, Floats, int]:
        """Return the next symbols of a text, their log-probabilities, and the state after them."""
        model, limits = self._log_probabilities, self._limits
        starts, next_states = model.starts, model.next_states
        found, backed_off = [], []
        for step, number in enumerate(numbers[:, 0].tolist()):
            end = starts[state + 1]
            arc = bisect_right(limits, number, starts[state], end)
            if arc < end:
                found.append(arc)
                state = next_states[arc]
            else:
                found.append(0)
                symbol = self._backed_off(state, numbers[step].tolist())
                state, log_prob = model.follow(state, symbol)
                backed_off.append((step, symbol, log_prob))
        symbols = model.model.arcs.symbols[found].astype(np.int64)
        log_probs = model.log_whole[found]
        if backed_off:
            steps, symbols_there, logs_there = zip(*backed_off, strict=True)
            symbols[list(steps)], log_probs[list(steps)] = symbols_there, logs_there
        return symbols, log_probs, state

    def _backed_off(self, state: int, numbers: list[int]) -> int:
        """Return a symbol of the lower orders, by the numbers behind the first."""
        model, limits, column = self._log_probabilities, self._limits, 1
        starts, lower, uniforms = model.starts, model.lower, model.uniforms
        while not uniforms[state]:
            state = lower[state]
            end = starts[state + 1]
            arc = bisect_right(limits, numbers[column], starts[state], end)
            if arc < end:
                return model.symbols[arc]
            column += 1
        return model.uniform_symbol(numbers[column])


def _arc_limits(log_probabilities: LogProbabilities, exponent: float) -> npt.NDArray[np.uint64]:
    """Return the cumulative own probability of each state's arcs, times 2**32: (arcs,)."""
    own, masses, below = _tempered(log_probabilities, exponent)
    starts, parents = log_probabilities.model.arcs.starts, log_probabilities.parents
    cumulated = np.append(0.0, np.cumsum(np.exp(own - masses[parents])))
    within = cumulated[1:] - cumulated[starts[:-1]][parents]
    limits: npt.NDArray[np.uint64] = np.clip(np.rint(within * _ONE), 0, _ONE).astype(np.uint64)
    # A state without lower orders ends with its last arc, whatever rounding says.
    limits[starts[1:][(below == -np.inf) & (np.diff(starts) > 0)] - 1] = _ONE
    return limits


def _tempered(
    log_probabilities: LogProbabilities, exponent: float
) -> tuple[Floats, Floats, Floats]:
    """Return unnormalised log-probabilities raised to `exponent`, 1 / temperature.

    They are the own part of each arc, (arcs,), the sum of each state, and what a state has from
    lower orders, (states,) each.
    """
    arcs, parents = log_probabilities.model.arcs, log_probabilities.parents
    log_whole = log_probabilities.log_whole
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.minimum(exponent * (log_probabilities.log_lower_order - log_whole), 0.0)
        own = exponent * log_whole + np.log(-np.expm1(apart))
    own[arcs.discounted == 0.0] = -np.inf
    below = exponent * log_probabilities.log_uniforms + np.log(log_probabilities.predictable)
    masses = np.empty_like(below)
    first, end, arc = 0, 1, 0
    for size in log_probabilities.model.ngrams:  # lower orders first
        states, level = slice(first, end), slice(arc, arc + size)
        if first:
            log_backoffs = log_probabilities.log_backoffs[states]
            shorter = exponent * log_backoffs + masses[arcs.lower[states]]
            below[states] = np.maximum(below[states], shorter)
        masses[states] = _log_sum(own[level], parents[level] - first, below[states])
        first, end, arc = end, end + size, arc + size
    return own, masses, below


def _log_sum(logs: Floats, groups: Indices, more: Floats) -> Floats:
    """Return the log-sum-exp of each group, `more` (groups,) being one more term of each."""
    highest = more.copy()
    np.maximum.at(highest, groups, logs)
    sums = np.bincount(groups, np.exp(logs - highest[groups]), len(more)) + np.exp(more - highest)
    total: Floats = highest + np.log(sums)
    return total


class CandidateRows(Sampler):
    """Samples at one temperature, 0 included, from the most probable symbols of each state.

    Temperature comes first, then top-k, then top-p. Of equally probable symbols the one with the
    lower id goes first. A row is computed at the first visit of its state, and kept; one of 57
    characters costs 3 microseconds, one of 50,000 words 0.4 milliseconds, and 2 with top-p, which
    sorts it.
    """

    def __init__(
        self, log_probabilities: LogProbabilities, temperature: float, top_k: int, top_p: float
    ) -> None:
        super().__init__(temperature, top_k)
        self._log_probabilities = log_probabilities
        self._model = log_probabilities.model
        self._temperature = temperature
        predictable = log_probabilities.predictable
        wanted = 1 if temperature < MIN_TEMPERATURE else top_k or predictable
        self._width = min(wanted, predictable)
        self._top_p = top_p
        #: Of each state the cumulative probabilities of its candidates times 2**32, and their ids.
        self._rows: dict[int, tuple[memoryview, memoryview]] = {}
        self._cells = 0
        self.nbytes = self.bytes_for(self._model)
        #: Texts whose rows can be kept at the same time, at most.
        self.texts_at_once = max(1, min(_TEXTS_AT_ONCE, _KEPT_CELLS // self._width))

    @staticmethod
    def bytes_for(model: NgramModel) -> int:
        """Return the bytes that one setting takes at most."""
        return 12 * min(_KEPT_CELLS, model.states * (model.symbols + _CELLS_OF_A_ROW))

    def sample(
        self,
        states: Sequence[State],
        streams: Sequence[np.random.BitGenerator],
        steps: int,
        check_stop: Callable[[], None],
    ) -> SampledSymbols:
        """Sample all texts step by step; see `Sampler`. Of a step's numbers the first decides."""
        check_stop()
        model, current = self._log_probabilities, [int(state) for state in states]
        numbers = [model.random_numbers(stream, steps)[:, 0].tolist() for stream in streams]
        symbols: list[list[int]] = [[] for _ in current]
        log_probs: list[list[float]] = [[] for _ in current]
        rows, follow = self._rows, model.follow
        for of_step in zip(*numbers, strict=True):
            self._compute(current, check_stop)
            for text, number in enumerate(of_step):
                limits, candidates = rows[state := current[text]]
                symbol = candidates[bisect_right(limits, number)]
                current[text], log_prob = follow(state, symbol)
                symbols[text].append(symbol)
                log_probs[text].append(log_prob)
        return SampledSymbols(np.array(symbols), np.array(log_probs), current)

    def _compute(self, states: Sequence[int], check_stop: Callable[[], None]) -> None:
        """Compute the rows that these states do not have yet."""
        new = {state for state in states if state not in self._rows}
        if self._cells + len(new) * (self._width + _CELLS_OF_A_ROW) > _KEPT_CELLS:
            self._rows.clear()
            self._cells, new = 0, set(states)
        ordered, at_once = sorted(new), max(1, _CELLS_AT_ONCE // self._model.symbols)
        for first in range(0, len(ordered), at_once):
            check_stop()
            some = ordered[first : first + at_once]
            rows = self._candidates(self._model.probabilities(np.array(some)))
            self._rows.update(zip(some, rows, strict=True))
            self._cells += sum(len(limits) + _CELLS_OF_A_ROW for limits, _ in rows)

    def _candidates(self, probabilities: Floats) -> list[tuple[memoryview, memoryview]]:
        """Return the limits and symbols of each row's candidates."""
        if self._width == 1:
            best, one = probabilities.argmax(axis=1).astype(np.int32).data, np.array([_ONE]).data
            return [(one, best[row : row + 1]) for row in range(len(best))]
        order = most_probable(probabilities, self._width)
        ordered = np.take_along_axis(probabilities, order, axis=1)  # (rows, width), descending
        with np.errstate(divide="ignore"):
            logs = np.log(ordered)
        weights = np.exp((logs - logs[:, :1]) / self._temperature)
        cumulated = np.cumsum(weights, axis=1)
        enough = (cumulated < self._top_p * cumulated[:, -1:]).sum(axis=1) + 1
        kept = np.minimum(enough, (weights > 0.0).sum(axis=1))
        whole = np.take_along_axis(cumulated, kept[:, None] - 1, axis=1)
        left = np.arange(self._width) < kept[:, None]
        limits = np.rint(cumulated / whole * _ONE)[left].astype(np.int64).data
        symbols = order[left].astype(np.int32).data
        ends = itertools.accumulate(kept.tolist(), initial=0)
        return [(limits[a:b], symbols[a:b]) for a, b in itertools.pairwise(ends)]


def most_probable(probabilities: Floats, count: int) -> Indices:
    """Return the `count` most probable symbols of each row, the best first: (rows, count)."""
    symbols = probabilities.shape[1]
    if count * _SORTED_SHARE > symbols:
        return np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    least = np.partition(probabilities, symbols - count, axis=1)[:, symbols - count]
    chosen = np.empty((len(probabilities), count), np.int64)
    for number, row in enumerate(probabilities):
        among = np.flatnonzero(row >= least[number])
        chosen[number] = among[np.argsort(-row[among], kind="stable")[:count]]
    return chosen

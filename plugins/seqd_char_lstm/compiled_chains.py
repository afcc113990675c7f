"""The engine that Numba compiles: chains read and draw some characters in one call.

A chain of a version that reads a stream is one row of `lstm_serving.StackStates`; of one that reads
windows it is `window` rows, the windows that overlap at this point, of which one is complete at
each character and begins anew. Characters that are given are read, the others drawn: reading a
prompt, measuring a text and writing are the same loop.

Characters that one core of a Xeon with AVX-512 writes a second, through the whole `generate`: of
one layer of 256 units 77,000 alone and 142,000 in a batch; of 384, whose weights come from the L3
cache, 17,000 and 68,000. A mixture takes 40 microseconds a character in any batch. Compiled kernels
are kept: see `seqd_modelkit.kept_kernels`.
"""

from functools import partial
from typing import NamedTuple, Self

import numpy as np

from seqd_char_lstm.artifact import Version
from seqd_char_lstm.chains import Characters, Doubles, Ids, Places, input_table
from seqd_char_lstm.compiled_sampling import Choosing, Scratch, draw, find_own
from seqd_modelkit.lstm_cell import compiled
from seqd_modelkit.lstm_serving import (
    StackStates,
    StackWeights,
    chosen_states,
    reset_row,
    stack_weights,
    step_stack,
    zero_states,
)
from seqd_modelkit.mixing.kernels import Beside, Longs, add_mixing, beside_network, read
from seqd_modelkit.mixing.model import beginning
from seqd_modelkit.sampling import RECENT, SamplingRules


class CompiledEngine:
    """See `chains.Engine`."""

    def __init__(self, version: Version) -> None:
        """Lay the weights out."""
        config, weights = version.config, version.weights
        self.ids, self.window = len(config.alphabet), config.window or 0
        self.weights = stack_weights(
            input_table(weights),
            [(layer.kernel, layer.recurrent, layer.bias) for layer in weights.layers],
            weights.dense,
            weights.dense_bias,
        )
        self.mixture = None if version.mixture is None else version.mixture.model

    @property
    def nbytes(self) -> int:
        """See `Engine.nbytes`."""
        return sum(array.nbytes for array in self.weights)

    def chains(self, count: int) -> "CompiledChains":
        """See `Engine.chains`."""
        states = zero_states(self.weights, count, max(self.window, 1))
        recent, places = np.full((count, RECENT), -1, np.int32), np.tile(beginning(), (count, 1))
        context = _Context(recent, places)
        return CompiledChains(self, states, context, clock=0)


class CompiledChains:
    """See `chains.Chains`."""

    def __init__(
        self, engine: CompiledEngine, states: StackStates, context: "_Context", clock: int
    ) -> None:
        """Take states; `clock` counts the steps that led to them."""
        self._engine = engine
        self._states = states
        self._context = context
        self._clock = clock
        self._row_ids = np.zeros((2, len(states.h)), np.int32)
        ids = engine.ids
        self._scratch = Scratch(np.zeros(ids), np.zeros(ids), np.zeros(ids, np.int32))
        self._beside = None if engine.mixture is None else beside_network(engine.mixture)

    def read(self, ids: Ids, starts: Places) -> Characters:
        """See `Chains.read`."""
        cold = np.zeros(len(ids))
        return self._run(ids, starts, cold, np.zeros((len(ids), 0)), SamplingRules())

    def write(self, uniforms: Doubles, temperatures: Doubles, rules: SamplingRules) -> Characters:
        """See `Chains.write`."""
        drawn = np.full(uniforms.shape, -1, np.int32)
        starts = np.zeros(len(uniforms), np.int64)
        return self._run(drawn, starts, temperatures, uniforms, rules)

    def chosen(self, places: Places) -> Self:
        """See `Chains.chosen`."""
        states = chosen_states(self._states, places)
        context = _Context(self._context.recent[places], self._context.places[places])
        return type(self)(self._engine, states, context, self._clock)

    def _run(
        self,
        given: Ids,
        starts: Places,
        temperatures: Doubles,
        uniforms: Doubles,
        rules: SamplingRules,
    ) -> Characters:
        engine = self._engine
        result = Characters(np.full(given.shape, -1, np.int32), np.zeros(given.shape))
        task = _Task(given, starts, temperatures, uniforms, engine.window, self._clock)
        _run(
            engine.weights,
            self._states,
            self._beside,
            self._context,
            Choosing(rules.top_k, rules.top_p, rules.repetition_penalty),
            task,
            self._scratch,
            self._row_ids,
            result.ids,
            result.log_probs,
        )
        self._clock += given.shape[1]
        return result


class _Context(NamedTuple):
    """What a chain has beside its rows."""

    recent: Ids  # (chains, RECENT), last characters, at their number modulo RECENT; -1 for none
    places: Longs  # (chains, PLACE), of the mixture


class _Task(NamedTuple):
    """What one call does."""

    given: Ids  # (chains, steps), -1 where a character is to be drawn
    starts: Places  # (chains,), step at which a chain begins, in rising order
    temperatures: Doubles  # (chains,)
    uniforms: Doubles  # (chains, steps)
    window: int  # 0 of a version that reads a stream
    clock: int  # steps that the chains have taken before


@partial(compiled, inlined=True)
def _advance(
    weights: StackWeights, states: StackStates, ids: Ids, task: _Task, clock: int, scratch: Ids
) -> None:
    """Let the first chains read `ids` (chains,), and compute the next character's logits.

    `scratch` is (2, rows); its second row is zeros.
    """
    width = max(task.window, 1)
    newest = clock % width
    if task.window > 0:
        for chain in range(ids.shape[0]):
            reset_row(states, chain * width + newest)
    count = ids.shape[0] * width
    for row in range(count):
        scratch[0, row] = ids[row // width]
    step_stack(weights, states, scratch[0, :count], scratch[1, :count], width, (clock + 1) % width)


def _run_chains(
    weights: StackWeights,
    rows: StackStates,
    beside: Beside | None,
    context: _Context,
    choosing: Choosing,
    task: _Task,
    scratch: Scratch,
    row_ids: Ids,
    ids: Ids,
    log_probs: Doubles,
) -> None:
    """Fill `ids` and `log_probs` (chains, steps); the chains have then read all of these.

    `row_ids` is what `_advance` scratches in.
    """
    active = 0
    current = np.empty(task.given.shape[0], np.int32)
    for step in range(task.given.shape[1]):
        while active < task.starts.shape[0] and task.starts[active] <= step:
            active += 1
        for chain in range(active):
            find_own(rows.logits[chain], scratch.own)
            if beside is not None:
                add_mixing(beside, context.places[chain], scratch.own)
            id_ = task.given[chain, step]
            if id_ < 0:
                id_ = draw(
                    choosing,
                    scratch,
                    context.recent[chain],
                    task.temperatures[chain],
                    task.uniforms[chain, step],
                )
            ids[chain, step] = current[chain] = id_
            log_probs[chain, step] = scratch.own[id_]
            context.recent[chain, (task.clock + step) % context.recent.shape[1]] = id_
            if beside is not None:
                read(context.places[chain], id_, beside.model.alphabet)
        _advance(weights, rows, current[:active], task, task.clock + step, row_ids)


_run = compiled(_run_chains, called_from_python=True)

"""LSTM layers that serve: forward only, folded weights, compiled by Numba.

Two loops over time share the cell and the product of `lstm_cell`, since no one loop is fast for
both:

- `SequenceKernel` runs whole sequences through one layer and returns features of each: 16
  sequences of like length at a time, the longest first, all ending at the same step, so that only
  real tokens are computed. Meant for layers whose recurrent kernel fits a core's L2 cache.
- `step_stack` moves many rows one token on through a stack of layers, and computes the logits of
  the next token: what generation needs. Weights are cut into panels of `PANEL_UNITS` units; a panel
  stays in the L2 cache while all rows are multiplied by it, and its gates become states at once,
  while they are in the L1 cache.

In both, embedding, input kernel and bias of the first layer are folded into one table (ids, 4 u):
reading a token copies a row of it. Sigmoids' columns are halved (`halved_sigmoids`). A row is
computed by the same instructions in the same order whatever runs beside it: any batching gives
what one by one gives, bit for bit.

There is no BLAS here: its threads cost more than they gain at these sizes, and the order of its
sums depends on the number of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np

from seqd_modelkit.lstm_cell import (
    DEPTH,
    LANES,
    ONE,
    ZERO,
    Floats,
    Ids,
    Offsets,
    add_four_row_product,
    add_product,
    add_row_product,
    aligned,
    aligned_zeros,
    compiled,
    copy,
    halved_sigmoids,
    in_depths,
    keras_sigmoid,
    sigmoid,
    tanh,
)

_F = np.float32

#: Tiles of LANES rows that are multiplied together. Of the tutorial's reviews (100 units) a Zen 5
#: core did 8,900 a second with 2, 10,100 with 4, 9,600 to 9,900 with 6 to 16: the gates of 16 rows
#: are 26 kB, and a core's innermost cache has 48.
_TILES: Final = 4

#: Units of a panel. At 512 units and 128 rows one core did 187 billion operations a second with 32,
#: 113 with 64 and 89 with 128, whose panels leave its second cache.
PANEL_UNITS: Final = 32
#: Columns of a panel: the gates i, f, g, o of its units, one after the other.
PANEL: Final = 4 * PANEL_UNITS
#: Floats of the longest vector; a part of one would be computed number by number.
_VECTOR: Final = 16


@dataclass(frozen=True, slots=True)
class TokenSequences:
    """Sequences of ids, end to end in one array."""

    #: (all tokens,) int32.
    ids: Ids
    #: (sequences,) where each begins in `ids`, its length, and the pads that come before it.
    starts: Offsets
    lengths: Offsets
    pads: Offsets
    #: (sequences,) their numbers, the longest first.
    longest_first: Offsets

    @classmethod
    def of(cls, sequences: Sequence[Ids], padded_to: int | None) -> Self:
        """Lay sequences end to end; pads come before each up to `padded_to` tokens."""
        lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
        pads = np.zeros_like(lengths) if padded_to is None else padded_to - lengths
        ids = np.concatenate([np.empty(0, dtype=np.int32), *sequences], dtype=np.int32)
        longest_first = np.argsort(-lengths, kind="stable")
        return cls(ids, np.cumsum(lengths) - lengths, lengths, pads, longest_first)

    def __len__(self) -> int:
        return len(self.lengths)


class SequenceKernel:
    """One LSTM layer over whole sequences, with Keras's sigmoid. Used by one thread at a time.

    Where pads are read like words, each sequence passes through the same states while it reads its
    pads: they are computed once, and a sequence begins at the state after so many pads.
    """

    def __init__(
        self, input_table: Floats, recurrent_kernel: Floats, *, pads: int = 0, pad_id: int = 0
    ) -> None:
        """Fold the weights; sequences may have up to `pads` pads before them.

        `input_table` (ids, 4 u) is embedding @ input kernel + bias, `recurrent_kernel` (u, 4 u).
        """
        units = self._units = len(recurrent_kernel)
        half = halved_sigmoids(units)
        table = aligned(input_table)
        table *= half
        recurrent = in_depths(recurrent_kernel * half, 4 * units)
        pad_states = np.zeros((2, pads + 1, units), np.float32)
        self._weights = _SequenceWeights(table, recurrent, pad_states[0], pad_states[1])
        widths = (4 * units, DEPTH * len(recurrent), units, units, units)
        self._block = _Block(*(aligned_zeros(LANES, _TILES, width) for width in widths))
        if pads:
            nothing = TokenSequences.of([], None)
            self._run(nothing, np.empty((0, units), np.float32), pools=False, pad_id=pad_id)

    @property
    def memory_bytes(self) -> int:
        """Memory of weights and scratch arrays, in bytes."""
        return sum(array.nbytes for array in (*self._weights, *self._block))

    def last(self, sequences: TokenSequences) -> Floats:
        """Return the hidden state after each sequence's last token: (sequences, u)."""
        features = self._weights.pad_h[sequences.pads]  # what a sequence without a token keeps
        self._run(sequences, features, pools=False)
        return features

    def max_and_mean(self, sequences: TokenSequences) -> tuple[Floats, Floats]:
        """Return maximum and mean of the hidden states over each sequence: (sequences, u) both.

        Over the tokens that a sequence has: it must have one, and no pads before it.
        """
        features = np.empty((len(sequences), 2 * self._units), dtype=np.float32)
        self._run(sequences, features, pools=True)
        return features[:, : self._units], features[:, self._units :]

    def computed_tokens(self, lengths: Offsets) -> int:
        """Return how many tokens are computed when sequences of these lengths run together.

        Beside a sequence that has begun, up to three that have not are computed for nothing.
        """
        longest_of_tile = np.sort(lengths)[::-1][::LANES]
        return LANES * int(longest_of_tile.sum())

    def _run(
        self, sequences: TokenSequences, features: Floats, *, pools: bool, pad_id: int = -1
    ) -> None:
        tokens = _Tokens(sequences.ids, sequences.starts, sequences.lengths, sequences.pads)
        order = sequences.longest_first
        _run(self._weights, self._block, tokens, order, features, pools, pad_id)


class _SequenceWeights(NamedTuple):
    table: Floats  # (ids, 4 u)
    recurrent: Floats  # (u / DEPTH, DEPTH, 4 u)
    pad_h: Floats  # (pads + 1, u), the states after so many pads
    pad_c: Floats


class _Block(NamedTuple):
    """Sequences that run together, row r at [r % LANES, r // LANES]: (LANES, _TILES, ...)."""

    z: Floats  # (..., 4 u), pre-activations
    h: Floats  # (..., u), and zeros up to a multiple of DEPTH
    c: Floats  # (..., u)
    maximum: Floats  # (..., u) of h so far
    total: Floats  # (..., u) of h so far


class _Tokens(NamedTuple):
    """See `TokenSequences`."""

    ids: Ids
    starts: Offsets
    lengths: Offsets
    pads: Offsets


@compiled
def _sequence_cell(z: Floats, c: Floats, h: Floats) -> None:
    """Turn one row's pre-activations `z` (4 u,) into `h` (u,) and, in place, `c` (u,).

    With Keras's sigmoid, so that long sequences stay near Keras.
    """
    units = z.shape[0] // 4
    i, f, g, o = z[:units], z[units : 2 * units], z[2 * units : 3 * units], z[3 * units :]
    # Two loops: in one, the chain of operations is longer than a core looks ahead; 10% slower.
    for j in range(units):
        c[j] = keras_sigmoid(f[j]) * c[j] + keras_sigmoid(i[j]) * tanh(g[j])
    for j in range(units):
        h[j] = keras_sigmoid(o[j]) * tanh(c[j])


@compiled
def _pool(h: Floats, maximum: Floats, total: Floats) -> None:
    for j in range(total.shape[0]):
        maximum[j] = max(maximum[j], h[j])
        total[j] += h[j]


@compiled
def _begin(weights: _SequenceWeights, block: _Block, pads: int, lane: int, tile: int) -> None:
    copy(weights.pad_h[pads], block.h[lane, tile])
    copy(weights.pad_c[pads], block.c[lane, tile])
    block.maximum[lane, tile] = -ONE  # a state is greater
    block.total[lane, tile] = ZERO


@compiled
def _step_block(weights: _SequenceWeights, block: _Block, tiles: int, pools: bool) -> None:
    """Take one step with all rows of the first tiles, whose `z` holds the input's share."""
    h, z = block.h, block.z
    add_product(weights.recurrent, (h[0], h[1], h[2], h[3]), (z[0], z[1], z[2], z[3]), tiles)
    for lane in range(LANES):
        for tile in range(tiles):
            _sequence_cell(z[lane, tile], block.c[lane, tile], h[lane, tile])
            if pools:
                _pool(h[lane, tile], block.maximum[lane, tile], block.total[lane, tile])


@compiled
def _run_block(
    weights: _SequenceWeights, block: _Block, tokens: _Tokens, members: Offsets, pools: bool
) -> None:
    """Run the sequences of a block, the longest first, to their common end."""
    ids, starts, lengths, pads = tokens
    running = 0
    for left in range(lengths[members[0]], 0, -1):  # tokens still to be read
        while running < members.shape[0] and lengths[members[running]] >= left:
            _begin(weights, block, pads[members[running]], running % LANES, running // LANES)
            running += 1
        tiles = (running + LANES - 1) // LANES
        for row in range(LANES * tiles):
            # A row that has not begun reads any token: what it holds is set when it begins.
            token = 0
            if row < running:
                token = ids[starts[members[row]] + lengths[members[row]] - left]
            copy(weights.table[token], block.z[row % LANES, row // LANES])
        _step_block(weights, block, tiles, pools)


@compiled
def _write(block: _Block, lane: int, tile: int, tokens: int, features: Floats, pools: bool) -> None:
    """Write one row's features: its last state, or maximum and mean of its states."""
    units = block.c.shape[2]
    if not pools:
        copy(block.h[lane, tile, :units], features)
        return
    copy(block.maximum[lane, tile], features[:units])
    for j in range(units):
        features[units + j] = block.total[lane, tile, j] / _F(tokens)


@compiled
def _run_pads(weights: _SequenceWeights, block: _Block, pad_id: int, pools: bool) -> None:
    """Fill `pad_h` and `pad_c` with the states after 1, 2, ... pads."""
    pads = weights.pad_h.shape[0] - 1
    # Variables, not literals: Numba would compile what is called for each literal anew.
    none, tiles = pads - pads, pads // pads
    for lane in range(LANES):
        _begin(weights, block, none, lane, none)
    for after in range(1, pads + 1):
        for lane in range(LANES):
            copy(weights.table[pad_id], block.z[lane, 0])
        _step_block(weights, block, tiles, pools)
        copy(block.h[0, 0, : weights.pad_h.shape[1]], weights.pad_h[after])
        copy(block.c[0, 0], weights.pad_c[after])


def _run_sequences(
    weights: _SequenceWeights,
    block: _Block,
    tokens: _Tokens,
    longest_first: Offsets,
    features: Floats,
    pools: bool,
    pad_id: int,
) -> None:
    """Run all sequences and write the features of those that have tokens, each into its row.

    `features` is (sequences, u), or (sequences, 2 u) when it `pools`. Where `pad_id` is not -1,
    the states after pads are computed first: here, so that all is compiled once.
    """
    if pad_id >= 0:
        _run_pads(weights, block, pad_id, pools)
    block_rows = LANES * block.z.shape[1]
    for first in range(0, longest_first.shape[0], block_rows):
        members = longest_first[first : first + block_rows]
        _run_block(weights, block, tokens, members, pools)
        for row in range(members.shape[0]):
            sequence = members[row]
            length = tokens.lengths[sequence]
            if length > 0:
                lane, tile = row % LANES, row // LANES
                _write(block, lane, tile, length, features[sequence], pools)


_run = compiled(_run_sequences, called_from_python=True)


class StackWeights(NamedTuple):
    """Folded weights of a stack of LSTM layers and the output layer, cut into panels.

    u is rounded up to a multiple of `PANEL_UNITS`; the columns and depths that fill it up are 0.
    """

    table: Floats  # (ids, panels, PANEL), what layer 0 takes from an input, bias included
    first: Floats  # (panels, u / DEPTH, DEPTH, PANEL), recurrent kernel of layer 0
    upper: Floats  # (layers - 1, panels, 2 u / DEPTH, DEPTH, PANEL), input and recurrent kernel
    upper_bias: Floats  # (layers - 1, panels, PANEL)
    dense: Floats  # (dense panels, u / DEPTH, DEPTH, width)
    dense_bias: Floats  # (1, dense panels, width)


class StackStates(NamedTuple):
    """States of a number of rows, and scratch memory.

    A chain is `rows / chains` neighbouring rows, of which one at a time is scored.
    """

    h: Floats  # (rows, u), of layer 0
    inputs: Floats  # (layers - 1, rows, 2 u): hidden state of the layer below, own hidden state
    c: Floats  # (layers, rows, u)
    next_h: Floats  # (rows, u), a layer's new states while the old ones are still read
    scored: Floats  # (chains, u), hidden states that the logits come from
    z: Floats  # (LANES, PANEL), pre-activations
    dense_z: Floats  # (LANES, width)
    logits: Floats  # (chains, dense panels · width)


def stack_weights(
    input_table: Floats,
    layers: Sequence[tuple[Floats, Floats, Floats]],
    dense: Floats,
    dense_bias: Floats,
) -> StackWeights:
    """Fold a stack of LSTM layers and its output layer, all in Keras's layout.

    `input_table` (ids, 4 u) is what layer 0 takes from each id, bias included; `layers` are input
    kernel, recurrent kernel and bias of each, `dense` (u, ids), `dense_bias` (ids,).
    """
    true_units, ids = dense.shape
    units = PANEL_UNITS * -(-true_units // PANEL_UNITS)
    half = halved_sigmoids(true_units)
    first = _in_panels(_rows_added(layers[0][1] * half, units), units)
    upper, upper_bias = [], []
    for kernel, recurrent, bias in layers[1:]:
        both = np.concatenate([_rows_added(part, units) for part in (kernel, recurrent)])
        upper.append(_depths_last(_in_panels(both * half, units)))
        upper_bias.append(_in_panels((bias * half)[None], units)[0])
    width = min(PANEL, _VECTOR * -(-ids // _VECTOR))
    padded = np.zeros((units, width * -(-ids // width)), np.float32)
    padded[:true_units, :ids] = dense
    padded_bias = np.zeros((1, padded.shape[1]), np.float32)
    padded_bias[0, :ids] = dense_bias
    return StackWeights(
        table=aligned(_in_panels(input_table * half, units)),
        first=aligned(_depths_last(first)),
        upper=_stacked(upper, 4),
        upper_bias=_stacked(upper_bias, 2),
        dense=aligned(_depths_last(padded.reshape(units, -1, width))),
        dense_bias=aligned(padded_bias.reshape(1, -1, width)),
    )


def zero_states(weights: StackWeights, chains: int, rows_per_chain: int = 1) -> StackStates:
    """Return the states of chains that have read nothing, with the logits of zero states."""
    rows, layers = chains * rows_per_chain, len(weights.upper) + 1
    units, width = DEPTH * weights.first.shape[1], weights.dense.shape[3]
    logits = aligned_zeros(chains, weights.dense_bias.size)
    logits[:] = weights.dense_bias.reshape(-1)
    return StackStates(
        h=aligned_zeros(rows, units),
        inputs=aligned_zeros(layers - 1, rows, 2 * units),
        c=aligned_zeros(layers, rows, units),
        next_h=aligned_zeros(rows, units),
        scored=aligned_zeros(chains, units),
        z=aligned_zeros(LANES, PANEL),
        dense_z=aligned_zeros(LANES, width),
        logits=logits,
    )


def chosen_states(states: StackStates, chains: Offsets) -> StackStates:
    """Copy the states of these chains, each as often as it is named, into states of their own."""
    rows_per_chain = len(states.h) // len(states.scored)
    rows = (chains[:, None] * rows_per_chain + np.arange(rows_per_chain)).reshape(-1)
    return StackStates(
        h=aligned(states.h[rows]),
        inputs=aligned(states.inputs[:, rows]),
        c=aligned(states.c[:, rows]),
        next_h=aligned_zeros(len(rows), states.h.shape[1]),
        scored=aligned(states.scored[chains]),
        z=aligned_zeros(*states.z.shape),
        dense_z=aligned_zeros(*states.dense_z.shape),
        logits=aligned(states.logits[chains]),
    )


@compiled
def reset_row(states: StackStates, row: int) -> None:
    """Begin a row of a one-layer stack at zero states."""
    states.h[row] = ZERO
    states.c[0, row] = ZERO


def _step_stack(
    weights: StackWeights, states: StackStates, ids: Ids, zeros: Ids, stride: int, scored: int
) -> None:
    """Let the first rows read an id each, `ids` (rows,), and compute the logits of the next one.

    Of each `stride` rows the one at `scored` is scored. `zeros` (rows,) are 0.
    """
    count, units, layers = ids.shape[0], states.h.shape[1], states.c.shape[0]
    panels, x, begin, begins = weights.first, states.h[:count], weights.table, ids
    z, c, target = states.z, states.c[0], states.next_h
    for layer in range(layers + 1):
        _multiply(panels, x, begin, begins, z, c, target)
        if layer < layers:
            own = x.shape[1] - units
            for row in range(count):
                copy(target[row], x[row, own:])
        begins = zeros
        if layer < layers - 1:
            for row in range(count):
                copy(target[row], states.inputs[layer, row])
            panels, x = weights.upper[layer], states.inputs[layer, :count]
            begin, c = weights.upper_bias[layer : layer + 1], states.c[layer + 1]
        elif layer == layers - 1:
            for chain in range(count // stride):
                copy(target[chain * stride + scored], states.scored[chain])
            panels, x = weights.dense, states.scored[: count // stride]
            begin, c = weights.dense_bias, states.c[0, :0]
            z, target = states.dense_z, states.logits


@compiled
def _panel_cell(z: Floats, c: Floats, h: Floats) -> None:
    """Do the same for a panel's units, with the faster sigmoid; `c` and `h` may go on behind them.

    A function of its own, since a number of units that the compiler knows makes it a tenth faster.
    """
    i, f = z[:PANEL_UNITS], z[PANEL_UNITS : 2 * PANEL_UNITS]
    g, o = z[2 * PANEL_UNITS : 3 * PANEL_UNITS], z[3 * PANEL_UNITS :]
    for j in range(PANEL_UNITS):
        forget = sigmoid(f[j])
        enter = sigmoid(i[j])
        c[j] = forget * c[j] + enter * tanh(g[j])
    for j in range(PANEL_UNITS):
        h[j] = sigmoid(o[j]) * tanh(c[j])


def _multiply_panels(
    panels: Floats, x: Floats, begin: Floats, begins: Ids, z: Floats, c: Floats, target: Floats
) -> None:
    """Compute `begin[begins[row]]` plus the product of each row of x (rows, depths) and panels.

    Into `target` (rows, columns); or, where `c` has rows, the states that these pre-activations
    lead to: (rows, u) each. `begin` is (some, panels, columns of a panel).
    """
    width = panels.shape[3]
    for p in range(panels.shape[0]):
        for row in range(0, x.shape[0], LANES):
            lanes = min(LANES, x.shape[0] - row)
            for lane in range(lanes):
                copy(begin[begins[row + lane], p], z[lane])
            _add(panels[p], x, row, lanes, z)
            for lane in range(lanes):
                if c.shape[0] > 0:
                    here = p * PANEL_UNITS
                    _panel_cell(z[lane], c[row + lane, here:], target[row + lane, here:])
                else:
                    copy(z[lane], target[row + lane, p * width :])


def _add_rows(panel: Floats, x: Floats, row: int, lanes: int, z: Floats) -> None:
    """Add some rows of x (rows, depths), from `row` on, times a panel to z (LANES, columns)."""
    if lanes == LANES:
        rows = (x[row], x[row + 1], x[row + 2], x[row + 3])
        add_four_row_product(panel, rows, (z[0], z[1], z[2], z[3]))
    else:
        for lane in range(lanes):
            add_row_product(panel, x[row + lane], z[lane])


_add = compiled(_add_rows, inlined=True)
_multiply = compiled(_multiply_panels, inlined=True)
step_stack = compiled(_step_stack, inlined=True)


def _in_panels(columns: Floats, units: int) -> Floats:
    """Sort (depths, 4 u of the layer) into (depths, panels, PANEL), `units` being a multiple."""
    gates = columns.reshape(len(columns), 4, -1)
    padded = np.zeros((len(columns), 4, units), np.float32)
    padded[:, :, : gates.shape[2]] = gates
    panels = padded.reshape(len(columns), 4, -1, PANEL_UNITS).transpose(0, 2, 1, 3)
    return panels.reshape(len(columns), -1, PANEL)


def _depths_last(panels: Floats) -> Floats:
    """Sort (depths, panels, columns) into (panels, depths / DEPTH, DEPTH, columns)."""
    depths, count, columns = panels.shape
    return panels.transpose(1, 0, 2).reshape(count, depths // DEPTH, DEPTH, columns)


def _rows_added(matrix: Floats, rows: int) -> Floats:
    padded = np.zeros((rows, matrix.shape[1]), np.float32)
    padded[: len(matrix)] = matrix
    return padded


def _stacked(layers: Sequence[Floats], dimensions: int) -> Floats:
    """Stack arrays of so many dimensions, also none of them."""
    return aligned(np.stack(layers)) if layers else np.zeros((0, *[0] * dimensions), np.float32)

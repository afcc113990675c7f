"""LSTM layers that learn: forward pass and back-propagation through time, compiled by Numba.

Rows of a batch are packed by time step: step s holds the tokens of the rows that have begun,
side by side, so that only real tokens are computed and a step is one matrix product. Both layers
here keep their activations in that layout (`ForwardCache`) and share the gates of `lstm_cell`:

- `PackedLstm` reads a `PackedBatch`, whose number of rows grows from step to step, and takes all
  steps in one compiled call, in which no Python runs and no lock is held: two threads learn twice
  as fast. Meant for layers whose recurrent kernel fits a core's L2 cache.
- `StreamLstm` reads a constant number of streams, carries their states from batch to batch, and
  leaves the product of each step to BLAS, which is faster where the kernel is large.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from seqd_modelkit.lstm_cell import (
    DEPTH,
    LANES,
    ZERO,
    Floats,
    Ids,
    Offsets,
    add_product,
    cell_backward,
    compiled,
    compiled_forward,
    in_depths,
    keras_sigmoid,
    sigmoid,
)

#: Rows that are multiplied together, over LANES: their gates stay in a core's innermost cache.
_TILES: Final = 4
#: Tokens that go back together, before the gradients of the weights of these are added up.
_BLOCK_TOKENS: Final = 1_024


class ForwardCache(NamedTuple):
    """Activations of the forward pass, packed by time step."""

    gates: Floats  # (tokens, 4 u): x W + b, then the activated gates, then the gradients of z
    tanh_c: Floats  # (tokens, u), tanh of the cell state after each token
    h: Floats  # (tokens + rows, u), hidden state before each token, and at the end
    c: Floats  # (tokens + rows, u), cell state likewise


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Sequences packed by time step; a row is a sequence, or the pads in front.

    All rows end together, the longest first. Where pads are read like words, a row of nothing but
    pads runs in front of the batch, and every sequence begins at the state that row has reached:
    what padding each sequence computes, but each pad once a batch. Gradients flow back the same
    way, so they are exact.
    """

    #: (tokens,) ids of step 0, then those of step 1, and so on.
    ids: Ids
    #: (tokens,) row of each.
    rows: Offsets
    #: (sequences,) which sequence each row is, the pads' row left out.
    order: Offsets
    #: (rows,) tokens of each row, in falling order.
    lengths: Offsets
    #: (steps + 1,) rows that have begun at each step; then, at the end, all of them.
    counts: Offsets
    #: (steps + 1,) where each step's tokens begin; then where the last step's end.
    starts: Offsets
    #: True when row 0 is the pads, from whose states the others begin; else they begin at zeros.
    has_pads: bool

    @classmethod
    def of(cls, sequences: Sequence[Ids], pads: int, pad_id: int = 0) -> Self:
        """Pack sequences, (tokens,) each; with `pads`, as if padded in front to so many tokens.

        No sequence may be longer than `pads`, where there are any.
        """
        lengths = np.array([len(ids) for ids in sequences], dtype=np.int64)
        order = np.argsort(-lengths, kind="stable")
        front = [np.full(pads, pad_id, dtype=np.int32)] if pads else []
        lined_up = front + [sequences[number] for number in order]
        lengths = np.array([len(ids) for ids in lined_up], dtype=np.int64)
        steps = int(lengths[0])
        # At step s those have begun that have at least steps - s tokens.
        counts = np.searchsorted(-lengths, np.arange(steps) - steps, side="right")
        grid = np.zeros((steps, len(lined_up)), dtype=np.int32)
        for row, ids in enumerate(lined_up):
            grid[steps - len(ids) :, row] = ids
        has_begun = np.arange(len(lined_up)) < counts[:, None]  # (steps, rows)
        return cls(
            ids=grid[has_begun],
            rows=np.nonzero(has_begun)[1],
            order=order,
            lengths=lengths,
            counts=np.append(counts, len(lined_up)),
            starts=np.concatenate([[0], np.cumsum(counts)]),
            has_pads=bool(pads),
        )

    @property
    def steps(self) -> int:
        """Time steps, as many as the longest row has tokens."""
        return len(self.counts) - 1

    @property
    def first_sequence(self) -> int:
        """Row of the first sequence."""
        return 1 if self.has_pads else 0

    def mirrored(self) -> Offsets:
        """Return, for each token, the place of its mirror image: the first's is the last's.

        Read in this order, a batch is packed as if its sequences were written backwards.
        """
        step = np.repeat(np.arange(self.steps), self.counts[:-1])
        mirror = 2 * self.steps - 1 - self.lengths[self.rows] - step
        return np.asarray(self.starts[mirror] + self.rows)


class Workspace:
    """Arrays by name that are used again at each step: fresh memory costs page faults."""

    def __init__(self) -> None:
        self._arrays: dict[str, Floats] = {}

    def take(self, name: str, rows: int, columns: int) -> Floats:
        """Return an array of any content, (rows, columns)."""
        size = rows * columns
        array = self._arrays.get(name)
        if array is None or array.size < size:
            array = self._arrays[name] = np.empty(size + size // 4, dtype=np.float32)
        return array[:size].reshape(rows, columns)


class PackedLstm:
    """One LSTM layer over packed sequences, for one training step: `forward`, then `backward`."""

    def __init__(
        self, kernel: Floats, recurrent_kernel: Floats, bias: Floats, workspace: Workspace
    ) -> None:
        """Lay out `kernel` (inputs, 4 u), `recurrent_kernel` (u, 4 u) and `bias` (4 u,)."""
        units = self._units = recurrent_kernel.shape[0]
        self._workspace = workspace
        self._kernel, self._bias = kernel, bias
        self._recurrent = in_depths(recurrent_kernel, 4 * units)
        narrow = DEPTH * -(-units // DEPTH)
        self._recurrent_back = in_depths(recurrent_kernel.T, narrow)
        self._kernel_back: Floats = np.ascontiguousarray(kernel.T)
        self._scratch = _Scratch(
            np.zeros((LANES, _TILES, 4 * units), dtype=np.float32),
            np.zeros((LANES, _TILES, narrow), dtype=np.float32),
        )

    def forward(self, batch: PackedBatch, inputs: Floats, pool: bool) -> Floats:
        """Read `inputs` (tokens, inputs), packed as `batch` is.

        Returns the hidden state after each row's last token, (rows, u); with `pool` (2, rows, u),
        maximum and mean of the hidden states after each of a row's tokens.
        """
        tokens, rows, units = len(inputs), int(batch.counts[-1]), self._units
        take, size = self._workspace.take, tokens + rows
        self._batch, self._inputs, self._pool = batch, inputs, pool
        cache = self._cache = ForwardCache(
            gates=take("gates", tokens, 4 * units),
            tanh_c=take("tanh_c", tokens, units),
            h=take("h", size, units),
            c=take("c", size, units),
        )
        self._pools = _Pools(
            maximum=np.full((rows, units), -1.0, dtype=np.float32),  # every state is greater
            total=np.zeros((rows, units), dtype=np.float32),
        )
        np.matmul(inputs, self._kernel, out=cache.gates)
        cache.gates[:] += self._bias
        cache.h[: batch.counts[0]] = cache.c[: batch.counts[0]] = 0.0
        self._steps = _Steps(batch.starts, batch.counts, batch.has_pads)
        _forward(cache, self._pools, self._steps, self._recurrent, self._scratch, pool)
        if not pool:
            return cache.h[tokens:].copy()
        self._lengths = np.maximum(batch.lengths, 1)[:, None].astype(np.float32)
        maximum = np.where(batch.lengths[:, None] > 0, self._pools.maximum, np.float32(0.0))
        return np.stack([maximum, self._pools.total / self._lengths])

    def backward(self, gradient: Floats) -> tuple[Floats, list[Floats]]:
        """Go back through all steps from the gradient of what `forward` returned.

        Returns the gradient of the inputs (tokens, inputs), which the next call overwrites, and
        those of kernel, recurrent kernel and bias.
        """
        batch, cache = self._batch, self._cache
        zeros = np.zeros_like(self._pools.total)
        if self._pool:
            d_maximum = np.ascontiguousarray(gradient[0])
            states = _StateGradients(zeros, zeros.copy(), d_maximum, gradient[1] / self._lengths)
        else:
            states = _StateGradients(np.array(gradient, order="C"), zeros, zeros, zeros)
        if batch.has_pads:  # a row that has no token ends as the pads do
            states.h[0] += states.h[batch.counts[-2] :].sum(axis=0)
        d_inputs = self._workspace.take("d_inputs", len(self._inputs), self._inputs.shape[1])
        d_kernel = np.zeros_like(self._kernel)
        d_recurrent = np.zeros((self._units, 4 * self._units), np.float32)
        d_bias = np.zeros_like(self._bias)
        for first, end in self._blocks():
            self._backward_block(states, first, end)
            here = slice(batch.starts[first], batch.starts[end])
            d_gates = cache.gates[here]
            np.matmul(d_gates, self._kernel_back, out=d_inputs[here])
            d_kernel += self._inputs[here].T @ d_gates
            d_recurrent += cache.h[here].T @ d_gates
            d_bias += d_gates.sum(axis=0)
        return d_inputs, [d_kernel, d_recurrent, d_bias]

    def _backward_block(self, states: "_StateGradients", first: int, end: int) -> None:
        _backward(
            self._cache,
            self._pools,
            self._steps,
            states,
            self._recurrent_back,
            self._scratch,
            first,
            end,
            self._pool,
        )

    def _blocks(self) -> list[tuple[int, int]]:
        """Return the steps that go back together, from one and before another, the last first."""
        starts, blocks, end = self._batch.starts, [], self._batch.steps
        while end:
            first = end - 1
            while first and starts[end] - starts[first - 1] <= _BLOCK_TOKENS:
                first -= 1
            blocks.append((first, end))
            end = first
        return blocks


class _Pools(NamedTuple):
    """Of the hidden states after the tokens of each row."""

    maximum: Floats  # (rows, u)
    total: Floats  # (rows, u)


class _Steps(NamedTuple):
    """See `PackedBatch`."""

    starts: Offsets
    counts: Offsets
    has_pads: bool


class _Scratch(NamedTuple):
    """Rows that are multiplied together, row r at [r % LANES, r // LANES]."""

    wide: Floats  # (LANES, _TILES, 4 u)
    narrow: Floats  # (LANES, _TILES, u, and zeros up to a multiple of DEPTH)


class _StateGradients(NamedTuple):
    """Gradients on the way back, (rows, u) each."""

    h: Floats  # of the hidden state at this step
    c: Floats  # of the cell state at this step
    maximum: Floats  # of the maximum of a row's hidden states
    mean: Floats  # of each hidden state of a row, for its share of the mean


_compiled = partial(compiled, all_finite=False)  # numbers may be infinite when a training diverges
#: Long sequences stay near Keras; streams are read and written with the faster sigmoid.
_packed_cell = compiled_forward(keras_sigmoid)
_stream_cell = compiled_forward(sigmoid)


@_compiled
def _forward_rows(
    cache: ForwardCache, recurrent: Floats, scratch: _Scratch, start: int, end: int, rows: int
) -> None:
    """Take `rows` rows, from token `start` on, to their next states, from token `end` on."""
    units = cache.c.shape[1]
    tiles = (rows + LANES - 1) // LANES
    z, h = scratch.wide, scratch.narrow
    for row in range(LANES * tiles):
        lane, tile = row % LANES, row // LANES
        z[lane, tile, :] = ZERO
        if row < rows:
            h[lane, tile, :units] = cache.h[start + row]
        else:
            h[lane, tile, :] = ZERO
    add_product(recurrent, (h[0], h[1], h[2], h[3]), (z[0], z[1], z[2], z[3]), tiles)
    for row in range(rows):
        token, after = start + row, end + row
        _packed_cell(
            cache.gates[token],
            z[row % LANES, row // LANES],
            cache.c[token],
            cache.c[after],
            cache.h[after],
            cache.tanh_c[token],
        )


def _forward_steps(
    cache: ForwardCache,
    pools: _Pools,
    steps: _Steps,
    recurrent: Floats,
    scratch: _Scratch,
    pool: bool,
) -> None:
    """Take all steps; `recurrent` is (u / DEPTH, DEPTH, 4 u)."""
    starts, counts = steps.starts, steps.counts
    block = LANES * _TILES
    for step in range(counts.shape[0] - 1):
        start, end, count = starts[step], starts[step + 1], counts[step]
        for first in range(0, count, block):
            rows = min(block, count - first)
            _forward_rows(cache, recurrent, scratch, start + first, end + first, rows)
        if pool:
            for row in range(count):
                for j in range(cache.c.shape[1]):
                    pools.maximum[row, j] = max(pools.maximum[row, j], cache.h[end + row, j])
                    pools.total[row, j] += cache.h[end + row, j]
        for row in range(count, counts[step + 1]):  # those that begin at the next step
            if steps.has_pads:
                cache.h[end + row, :] = cache.h[end]
                cache.c[end + row, :] = cache.c[end]
            else:
                cache.h[end + row, :] = ZERO
                cache.c[end + row, :] = ZERO


@_compiled
def _backward_rows(
    cache: ForwardCache,
    states: _StateGradients,
    recurrent: Floats,
    scratch: _Scratch,
    start: int,
    first: int,
    rows: int,
) -> None:
    """Take `rows` rows from row `first` on, from token `start` on, one step back."""
    units = cache.c.shape[1]
    tiles = (rows + LANES - 1) // LANES
    d_gates, d_h = scratch.wide, scratch.narrow
    for row in range(LANES * tiles):
        lane, tile = row % LANES, row // LANES
        d_h[lane, tile, :] = ZERO
        if row < rows:
            token = start + row
            cell_backward(
                cache.gates[token],
                cache.c[token],
                cache.tanh_c[token],
                states.h[first + row],
                states.c[first + row],
            )
            d_gates[lane, tile, :] = cache.gates[token]
        else:
            d_gates[lane, tile, :] = ZERO
    d, x = d_gates, d_h
    add_product(recurrent, (d[0], d[1], d[2], d[3]), (x[0], x[1], x[2], x[3]), tiles)
    for row in range(rows):
        states.h[first + row, :] = d_h[row % LANES, row // LANES, :units]


def _backward_steps(
    cache: ForwardCache,
    pools: _Pools,
    steps: _Steps,
    states: _StateGradients,
    recurrent: Floats,
    scratch: _Scratch,
    from_step: int,
    to_step: int,
    pool: bool,
) -> None:
    """Take the steps before `to_step` back, the last first, down to `from_step`.

    `recurrent` is the transposed kernel, (4 u / DEPTH, DEPTH, u and zeros behind).
    """
    starts, counts = steps.starts, steps.counts
    units, block = cache.c.shape[1], LANES * _TILES
    for step in range(to_step - 1, from_step - 1, -1):
        start, end, count = starts[step], starts[step + 1], counts[step]
        if pool:
            for row in range(count):
                for j in range(units):
                    states.h[row, j] += states.mean[row, j]
                    if cache.h[end + row, j] == pools.maximum[row, j]:
                        states.h[row, j] += states.maximum[row, j]
        for first in range(0, count, block):
            rows = min(block, count - first)
            _backward_rows(cache, states, recurrent, scratch, start + first, first, rows)
        if steps.has_pads and step > 0:  # the rows that begin here go on as the pads do
            for row in range(counts[step - 1], count):
                for j in range(units):
                    states.h[0, j] += states.h[row, j]
                    states.c[0, j] += states.c[row, j]


_forward = _compiled(_forward_steps, called_from_python=True)
_backward = _compiled(_backward_steps, called_from_python=True)


class StreamLstm:
    """One LSTM layer over streams, whose states are carried from batch to batch."""

    def __init__(self, units: int, streams: int, steps: int) -> None:
        """Make room for batches of up to `steps` steps of `streams` streams each."""
        self._units, self._streams = units, streams
        tokens, states = steps * streams, (steps + 1) * streams
        self._cache = ForwardCache(
            gates=np.empty((tokens, 4 * units), np.float32),
            tanh_c=np.empty((tokens, units), np.float32),
            h=np.zeros((states, units), np.float32),
            c=np.zeros((states, units), np.float32),
        )
        self._recurrent = np.empty((streams, 4 * units), np.float32)

    @property
    def states(self) -> tuple[Floats, Floats]:
        """h and c (streams, u) at which the next batch begins, to be changed in place."""
        return self._cache.h[: self._streams], self._cache.c[: self._streams]

    def forward(self, projected: Floats, recurrent_kernel: Floats) -> Floats:
        """Read `projected` (steps, streams, 4 u), which is x W + b; `recurrent_kernel` (u, 4 u).

        Returns the hidden state after each step, (steps, streams, u), a view into the cache.
        """
        steps, streams = projected.shape[:2]
        gates, tanh_c, h, c = self._cache
        gates[: steps * streams] = projected.reshape(steps * streams, -1)
        for t in range(steps):
            now, after = self._rows(t), self._rows(t + 1)
            np.matmul(h[now], recurrent_kernel, out=self._recurrent)
            _stream_forward(gates[now], self._recurrent, c[now], c[after], h[after], tanh_c[now])
        return h[streams : (steps + 1) * streams].reshape(steps, streams, -1)

    def backward(
        self, d_outputs: Floats, recurrent_kernel: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Go back through all steps from the gradient of the outputs, (steps, streams, u).

        Gradients end at the batch's first step: truncated back-propagation through time. Returns
        the gradients of what was projected (steps, streams, 4 u), a view into the cache, and of
        recurrent kernel and bias.
        """
        steps, streams = d_outputs.shape[:2]
        gates, tanh_c, h, c = self._cache
        transposed = np.ascontiguousarray(recurrent_kernel.T)
        d_h = np.zeros((streams, self._units), np.float32)
        d_c = np.zeros((streams, self._units), np.float32)
        for t in range(steps - 1, -1, -1):
            now = self._rows(t)
            _stream_backward(gates[now], c[now], tanh_c[now], d_h, d_outputs[t], d_c)
            np.matmul(gates[now], transposed, out=d_h)
        d_gates = gates[: steps * streams]
        d_recurrent = h[: steps * streams].T @ d_gates
        return d_gates.reshape(steps, streams, -1), d_recurrent, d_gates.sum(axis=0)

    def carry(self, steps: int) -> None:
        """Let the next batch begin at the states in which this one, of so many steps, ended."""
        for begins, array in zip(self.states, (self._cache.h, self._cache.c), strict=True):
            begins[:] = array[self._rows(steps)]

    def _rows(self, step: int) -> slice:
        return slice(step * self._streams, (step + 1) * self._streams)


def _stream_step_forward(
    gates: Floats, recurrent: Floats, old_c: Floats, c: Floats, h: Floats, tanh_c: Floats
) -> None:
    """Take each stream to its next states."""
    for row in range(c.shape[0]):
        _stream_cell(gates[row], recurrent[row], old_c[row], c[row], h[row], tanh_c[row])


def _stream_step_backward(
    gates: Floats, old_c: Floats, tanh_c: Floats, d_h: Floats, d_output: Floats, d_c: Floats
) -> None:
    """Go one step back with each stream; `d_output` comes from the layer above."""
    for row in range(d_c.shape[0]):
        for j in range(d_c.shape[1]):
            d_h[row, j] += d_output[row, j]
        cell_backward(gates[row], old_c[row], tanh_c[row], d_h[row], d_c[row])


_stream_forward = _compiled(_stream_step_forward, called_from_python=True)
_stream_backward = _compiled(_stream_step_backward, called_from_python=True)


def sums_by_id(ids: npt.NDArray[np.int32], gradients: Floats, count: int) -> Floats:
    """Add up the gradients (tokens, n) of each of `count` ids: an embedding's gradient (count, n).

    In the tokens' order, so that the sums are the same each time.
    """
    sums = np.zeros((count, gradients.shape[1]), dtype=np.float32)
    by_id = np.argsort(ids, kind="stable")
    sorted_ids = ids[by_id]
    firsts = np.flatnonzero(np.diff(sorted_ids, prepend=-1))
    sums[sorted_ids[firsts]] = np.add.reduceat(gradients[by_id], firsts, axis=0)
    return sums

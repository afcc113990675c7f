"""One LSTM over a packed batch, forwards and backwards in time, with its steps compiled.

The same as `packed_lstm`, which does without Numba, and held against it by a test. The products
over all tokens at once (input kernel, weights' gradients) are BLAS's; `compiled_learning` takes the
steps. Called by `packed_network`.
"""

from typing import Final

import numpy as np

from seqd_imdb_lstm.artifact import Floats
from seqd_imdb_lstm.compiled_learning import (
    TILES,
    Pull,
    Scratch,
    Steps,
    Way,
    run_backward,
    run_forward,
)
from seqd_imdb_lstm.compiled_lstm import DEPTH, LANES
from seqd_imdb_lstm.packed_batch import PackedBatch
from seqd_imdb_lstm.packed_lstm import Workspace, gate_order

#: Tokens that go back together, before the weights' gradients of these are added up.
_BLOCK_TOKENS: Final = 1_024


class CompiledLstm:
    """See `packed_lstm.PackedLstm`."""

    def __init__(
        self, kernel: Floats, recurrent_kernel: Floats, bias: Floats, workspace: Workspace
    ) -> None:
        """See `packed_lstm.PackedLstm`."""
        units = self._units = recurrent_kernel.shape[0]
        self._order = gate_order(units)
        self._workspace = workspace
        half = np.full(4 * units, 0.5, dtype=np.float32)
        half[3 * units :] = 1.0  # the sigmoids are handed x/2, the tanh x
        recurrent = recurrent_kernel[:, self._order]
        self._kernel: Floats = kernel[:, self._order] * half
        self._bias: Floats = bias[self._order] * half
        self._recurrent = _in_depths(recurrent * half, 4 * units)
        narrow = DEPTH * -(-units // DEPTH)
        self._recurrent_back = _in_depths(recurrent.T, narrow)
        self._kernel_back: Floats = np.ascontiguousarray(kernel[:, self._order].T)
        self._scratch = Scratch(
            np.zeros((LANES, TILES, 4 * units), dtype=np.float32),
            np.zeros((LANES, TILES, narrow), dtype=np.float32),
        )

    def forward(self, batch: PackedBatch, inputs: Floats, pool: bool) -> Floats:
        """See `packed_lstm.PackedLstm.forward`."""
        tokens, rows, units = len(inputs), batch.counts[-1], self._units
        take, size = self._workspace.take, tokens + rows
        self._batch, self._inputs, self._pool = batch, inputs, pool
        self._steps = Steps(np.array(batch.starts), np.array(batch.counts), batch.has_pads)
        way = self._way = Way(
            gates=take("gates", tokens, 4 * units),
            tanh_c=take("tanh_c", tokens, units),
            h=take("h", size, units),
            c=take("c", size, units),
            greatest=np.full((rows, units), -1.0, dtype=np.float32),  # every state is greater
            total=np.zeros((rows, units), dtype=np.float32),
        )
        np.matmul(inputs, self._kernel, out=way.gates)
        way.gates[:] += self._bias
        way.h[: batch.counts[0]] = way.c[: batch.counts[0]] = 0.0
        run_forward(way, self._steps, self._recurrent, self._scratch, pool)
        if not pool:
            return way.h[tokens:].copy()
        self._lengths = np.maximum(batch.lengths, 1)[:, None].astype(np.float32)
        greatest = np.where(batch.lengths[:, None] > 0, way.greatest, np.float32(0.0))
        return np.stack([greatest, way.total / self._lengths])

    def backward(self, gradient: Floats) -> tuple[Floats, list[Floats]]:
        """See `packed_lstm.PackedLstm.backward`."""
        batch, way = self._batch, self._way
        zeros = np.zeros_like(way.total)
        if self._pool:
            greatest = np.ascontiguousarray(gradient[0])
            pull = Pull(zeros, zeros.copy(), greatest, gradient[1] / self._lengths)
        else:
            pull = Pull(np.array(gradient, order="C"), zeros, zeros, zeros)
        if batch.has_pads:  # a row that has no token ends as the pads do
            pull.h[0] += pull.h[batch.counts[-2] :].sum(axis=0)
        d_inputs = self._workspace.take("d_inputs", len(self._inputs), self._inputs.shape[1])
        parts = [np.zeros_like(self._kernel), np.zeros((self._units, 4 * self._units), np.float32)]
        bias = np.zeros_like(self._bias)
        for first, last in self._blocks():
            run_backward(
                way, self._steps, pull, self._recurrent_back, self._scratch, first, last, self._pool
            )
            here = slice(batch.starts[first], batch.starts[last])
            d_gates = way.gates[here]
            np.matmul(d_gates, self._kernel_back, out=d_inputs[here])
            parts[0] += self._inputs[here].T @ d_gates
            parts[1] += way.h[here].T @ d_gates
            bias += d_gates.sum(axis=0)
        back = np.argsort(self._order)
        return d_inputs, [parts[0][:, back], parts[1][:, back], bias[back]]

    def _blocks(self) -> list[tuple[int, int]]:
        """Give steps that go back together, from one and before another, the last ones first."""
        starts, blocks, last = self._batch.starts, [], self._batch.steps
        while last:
            first = last - 1
            while first and starts[last] - starts[first - 1] <= _BLOCK_TOKENS:
                first -= 1
            blocks.append((first, last))
            last = first
        return blocks


def _in_depths(matrix: Floats, columns: int) -> Floats:
    """Lay (rows, at most `columns`) out as `_add_product` reads it, with zeros around."""
    depths = np.zeros((-(-len(matrix) // DEPTH), DEPTH, columns), dtype=np.float32)
    depths.reshape(-1, columns)[: len(matrix), : matrix.shape[1]] = matrix
    return depths

"""One LSTM over a packed batch, forwards and backwards in time, in NumPy.

The arithmetic is Keras's (activation tanh, recurrent activation sigmoid), rearranged so that most
of the time is spent in matrix products and the rest stays in the processor's cache:

- a step's input, state and a 1 for the bias lie side by side, and so are one product;
- sigmoid(x) is (tanh(x / 2) + 1) / 2, so that one tanh serves all gates; the gates are kept
  doubled, and h too, with the halves in the folded weights;
- gates lie in the order o, i, f, g: o, i, f are finished together, and on the way back i, f, g;
- the way back goes by blocks of steps: first all factors that need no gradient, at once, then the
  steps, then the block's share of the weights' gradients.

Called by `packed_network`, which knows what is before and behind the LSTM. The other NumPy
kernel, `packed_numpy`, serves: it goes forwards only, and keeps nothing of the way.
"""

from typing import Final

import numpy as np

from seqd_imdb_lstm.artifact import Floats
from seqd_imdb_lstm.packed_batch import PackedBatch

#: Tokens of a block on the way back: what it works on, 1.6 kB a token at the tutorial's sizes,
#: stays in a core's cache of 1 MB.
_BLOCK_TOKENS: Final = 256


class Workspace:
    """Arrays by name that are used again at each step: fresh memory costs page faults."""

    def __init__(self) -> None:
        self._arrays: dict[str, Floats] = {}

    def take(self, name: str, rows: int, columns: int) -> Floats:
        """Give an array of any content, (rows, columns)."""
        size = rows * columns
        array = self._arrays.get(name)
        if array is None or array.size < size:
            array = self._arrays[name] = np.empty(size + size // 4, dtype=np.float32)
        return array[:size].reshape(rows, columns)


class PackedLstm:
    """An LSTM's weights, folded for one step of learning. Run `forward`, then `backward`."""

    def __init__(
        self, kernel: Floats, recurrent_kernel: Floats, bias: Floats, workspace: Workspace
    ) -> None:
        """`kernel` (inputs, 4 units), `recurrent_kernel` (units, 4 units), `bias` (4 units,)."""
        self._inputs, self._units = kernel.shape[0], recurrent_kernel.shape[0]
        self._workspace = workspace
        self._order = gate_order(self._units)
        half = np.ones(4 * self._units, dtype=np.float32)
        half[: 3 * self._units] = 0.5
        recurrent = recurrent_kernel[:, self._order]
        stacked = [kernel[:, self._order], recurrent * np.float32(0.5), bias[None, self._order]]
        self._forward_weights: Floats = np.concatenate(stacked) * half
        # On the way back gradients of the gates are kept four-fold, which saves a pass.
        self._to_h: Floats = np.ascontiguousarray(recurrent.T) * np.float32(0.25)
        self._to_inputs: Floats = np.ascontiguousarray(stacked[0].T) * np.float32(0.25)

    def forward(self, batch: PackedBatch, inputs: Floats, pool: bool) -> Floats:
        """Run (tokens, inputs) through all steps.

        Gives (rows, units), the state after the last token; with `pool` (2, rows, units), the
        greatest and the mean of the states after each token of a row.
        """
        tokens, rows, units = len(inputs), batch.counts[-1], self._units
        take, size = self._workspace.take, tokens + rows
        self._batch, self._pool = batch, pool
        #: Of each token: input, doubled h before it, 1; behind them the states at the end.
        self._read = take("read", size, self._inputs + units + 1)
        self._c = take("c", size, units)  # before each token, and at the end
        self._gates = take("gates", tokens, 4 * units)  # 2 o, 2 i, 2 f, g
        self._tanh_c = take("tanh_c", tokens, units)  # after each token
        self._read[:tokens, : self._inputs] = inputs
        self._read[:, -1] = 1.0
        self._h: Floats = self._read[:, self._inputs : -1]
        first = batch.counts[0]
        self._h[:first], self._c[:first] = 0.0, 0.0
        self._greatest = np.full((rows, units), -np.inf, dtype=np.float32)
        self._sum = np.zeros((rows, units), dtype=np.float32)
        self._forward_steps()
        if not pool:
            return np.asarray(self._h[tokens:] * np.float32(0.5))
        self._greatest[batch.lengths == 0] = 0.0
        means = self._sum / np.maximum(batch.lengths, 1)[:, None].astype(np.float32)
        return np.stack([self._greatest, means]) * np.float32(0.5)

    def _forward_steps(self) -> None:
        batch, units = self._batch, self._units
        scratch = np.empty((batch.counts[-1], units), dtype=np.float32)
        for step in range(batch.steps):
            start, end, count = batch.starts[step], batch.starts[step + 1], batch.counts[step]
            gates, product = self._gates[start:end], scratch[:count]
            np.matmul(self._read[start:end], self._forward_weights, out=gates)
            np.tanh(gates, out=gates)
            gates[:, : 3 * units] += 1.0
            c, h = self._c[end : end + count], self._h[end : end + count]
            np.multiply(self._c[start:end], gates[:, 2 * units : 3 * units], out=c)
            np.multiply(gates[:, units : 2 * units], gates[:, 3 * units :], out=product)
            c += product
            c *= 0.5
            tanh_c = self._tanh_c[start:end]
            np.tanh(c, out=tanh_c)
            np.multiply(tanh_c, gates[:, :units], out=h)  # 2 o tanh(c)
            if self._pool:
                np.maximum(self._greatest[:count], h, out=self._greatest[:count])
                self._sum[:count] += h
            self._begin(end + count, end + batch.counts[step + 1], end)

    def _begin(self, start: int, end: int, pads: int) -> None:
        """Set the states of the rows that begin at a step; `pads` is where the pads' row is."""
        if end > start:
            begin_at_pads = self._batch.has_pads
            self._h[start:end] = self._h[pads] if begin_at_pads else 0.0
            self._c[start:end] = self._c[pads] if begin_at_pads else 0.0

    def backward(self, gradient: Floats) -> tuple[Floats, list[Floats]]:
        """Run back from the gradient of what `forward` gave, of the same shape.

        Gives the gradient of the inputs (tokens, inputs), which the next call overwrites, and those
        of kernel, recurrent kernel and bias.
        """
        batch, units = self._batch, self._units
        rows, tokens = batch.counts[-1], batch.starts[-1]
        self._dc = np.zeros((rows, units), dtype=np.float32)
        self._dh = np.zeros((rows, units), dtype=np.float32)
        if self._pool:
            self._d_greatest = gradient[0]
            self._d_mean = gradient[1] / np.maximum(batch.lengths, 1)[:, None].astype(np.float32)
        else:
            self._dh[:] = gradient
        self._end(batch.counts[-2], rows)
        d_inputs = self._workspace.take("d_inputs", tokens, self._inputs)
        d_weights = np.zeros_like(self._forward_weights)
        last = batch.steps
        while last:
            first = self._block_before(last)
            start, end = batch.starts[first], batch.starts[last]
            d_gates = self._backward_block(first, last)  # (end - start, 4 units)
            np.matmul(d_gates, self._to_inputs, out=d_inputs[start:end])
            d_weights += self._read[start:end].T @ d_gates
            last = first
        return d_inputs, self._unfolded(d_weights)

    def _block_before(self, last: int) -> int:
        """Give the first step of the block that ends before step `last`."""
        starts = self._batch.starts
        first = last - 1
        while first and starts[last] - starts[first - 1] <= _BLOCK_TOKENS:
            first -= 1
        return first

    def _backward_block(self, first: int, last: int) -> Floats:
        batch, units = self._batch, self._units
        block = batch.starts[first]
        d_gates, to_c, forget = self._factors(block, batch.starts[last])
        dh_all, dc_all = self._dh, self._dc
        scratch = np.empty((batch.counts[last - 1], units), dtype=np.float32)
        for step in range(last - 1, first - 1, -1):
            start, end, count = batch.starts[step], batch.starts[step + 1], batch.counts[step]
            dh, dc, product = dh_all[:count], dc_all[:count], scratch[:count]
            here = slice(start - block, end - block)
            if self._pool:
                h = self._h[end : end + count]
                dh += self._d_mean[:count]
                np.multiply(h == self._greatest[:count], self._d_greatest[:count], out=product)
                dh += product
            np.multiply(dh, to_c[here], out=product)
            dc += product
            gates = d_gates[here]
            gates[:, :units] *= dh
            gates.reshape(count, 4, units)[:, 1:] *= dc[:, None]
            dc *= forget[here]
            np.matmul(gates, self._to_h, out=dh)
            if step:
                self._end(batch.counts[step - 1], count)
        return d_gates

    def _factors(self, start: int, end: int) -> tuple[Floats, Floats, Floats]:
        """Give what a block's gradients are multiplied by.

        By dh and dc to give those of the gates (four-fold), by dh to give dc's, and by dc to give
        the dc before it.
        """
        units, take = self._units, self._workspace.take
        gates, tanh_c = self._gates[start:end], self._tanh_c[start:end]
        o, i, f, g = (gates[:, part * units : (part + 1) * units] for part in range(4))
        factors = take("factors", end - start, 4 * units)
        sigmoids, of_g = factors[:, : 3 * units], factors[:, 3 * units :]
        np.subtract(2.0, gates[:, : 3 * units], out=sigmoids)
        sigmoids *= gates[:, : 3 * units]
        factors[:, :units] *= tanh_c
        factors[:, units : 2 * units] *= g
        factors[:, 2 * units : 3 * units] *= self._c[start:end]
        np.multiply(g, g, out=of_g)
        np.subtract(1.0, of_g, out=of_g)
        of_g *= i
        of_g *= 2.0
        to_c, forget = take("to_c", end - start, units), take("forget", end - start, units)
        np.multiply(tanh_c, tanh_c, out=to_c)
        np.subtract(1.0, to_c, out=to_c)
        to_c *= o
        to_c *= 0.5
        np.multiply(f, 0.5, out=forget)
        return factors, to_c, forget

    def _end(self, start: int, end: int) -> None:
        """Take the rows that begin at a step out, on the way back: they are the pads' before it."""
        if self._batch.has_pads and end > start:
            self._dh[0] += self._dh[start:end].sum(axis=0)
            self._dc[0] += self._dc[start:end].sum(axis=0)

    def _unfolded(self, d_weights: Floats) -> list[Floats]:
        """Give the gradients in Keras's order of gates, and of their true size."""
        back = np.argsort(self._order)
        d_weights = d_weights[:, back] * np.float32(0.25)
        kernel, recurrent, bias = np.split(d_weights, [self._inputs, len(d_weights) - 1])
        return [kernel, recurrent * np.float32(0.5), bias[0]]


def gate_order(units: int) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    """Give the places of Keras's i, f, c, o in the order o, i, f, c."""
    gates = np.arange(4 * units)
    return np.concatenate([gates[3 * units :], gates[: 3 * units]])

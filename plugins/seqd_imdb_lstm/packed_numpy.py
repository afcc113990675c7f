"""The packed kernel in NumPy alone, for where Numba is missing; and the states after pads.

The same sums as `packed_compiled`, step by step as NumPy calls: sequences are sorted by length and
end together, so that each step is a matrix product over exactly those that have begun, and the
input's share of a step is a look-up in a folded (words, 4 units) table. Sigmoid gates and the new
value lie in arrays of their own, since passes over whole arrays are quicker than over parts.

Where pads are read like words, every sequence passes through the same states while it reads its
pads: they are computed once, and a sequence begins at "the state after so many pads".

Threads of the BLAS library gain little at these sizes: run one kernel a core.
"""

from typing import Final

import numpy as np

from seqd_imdb_lstm import keras_sigmoid as ks
from seqd_imdb_lstm.artifact import Floats
from seqd_imdb_lstm.packed_sequences import Lstm, PackedSequences, Places
from seqd_imdb_lstm.vocabulary import PAD_ID, Ids

#: Sequences that run together: what a step works on, 2 kB each, then stays in a cache of 1 MB.
BATCH_SEQUENCES: Final = 256


class NumpyKernel:
    """See `packed_sequences.Kernel`."""

    def __init__(self, lstm: Lstm, pads: int) -> None:
        """Fold the weights; sequences may have up to `pads` pads before them."""
        self._cell = _Cell(lstm)
        self._pad_h, self._pad_c = states_after_pads(lstm, pads)

    @property
    def memory_bytes(self) -> int:
        """See `Kernel.memory_bytes`."""
        return self._cell.memory_bytes + self._pad_h.nbytes + self._pad_c.nbytes

    def last(self, sequences: PackedSequences) -> Floats:
        """See `Kernel.last`."""
        features = self._pad_h[sequences.pads]  # what a sequence without a token keeps
        for block in _blocks(sequences):
            features[block] = self._run(sequences, block)
        return features

    def greatest_and_mean(self, sequences: PackedSequences) -> tuple[Floats, Floats]:
        """See `Kernel.greatest_and_mean`."""
        shape = (len(sequences), self._cell.units)
        greatest, mean = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for block in _blocks(sequences):
            pools = np.full_like(greatest[block], -1.0), np.zeros_like(mean[block])
            self._run(sequences, block, pools)
            greatest[block] = pools[0]
            mean[block] = pools[1] / sequences.lengths[block, None].astype(np.float32)
        return greatest, mean

    def computed_tokens(self, lengths: Places) -> int:
        """See `Kernel.computed_tokens`: real tokens only."""
        return int(lengths.sum())

    def _run(
        self, sequences: PackedSequences, block: Places, pools: tuple[Floats, Floats] | None = None
    ) -> Floats:
        """Run a block, the longest first → last states; `pools` take their greatest and sum."""
        ends = sequences.starts[block] + sequences.lengths[block]
        h, c = self._pad_h[sequences.pads[block]], self._pad_c[sequences.pads[block]]
        scratch = _Scratch(len(block), self._cell.units)
        negative_lengths = -sequences.lengths[block]
        for left in range(int(sequences.lengths[block[0]]), 0, -1):  # tokens still to be read
            rows = int(np.searchsorted(negative_lengths, -left, side="right"))  # that have begun
            self._cell.step(sequences.ids[ends[:rows] - left], h[:rows], c[:rows], scratch)
            if pools is not None:
                np.maximum(pools[0][:rows], h[:rows], out=pools[0][:rows])
                pools[1][:rows] += h[:rows]
        return h


def states_after_pads(lstm: Lstm, pads: int) -> tuple[Floats, Floats]:
    """Give h and c after 0, 1, ... `pads` pads, each (pads + 1, units)."""
    h = np.zeros((pads + 1, lstm.units), dtype=np.float32)
    c = np.zeros_like(h)
    if pads == 0:
        return h, c
    cell, scratch = _Cell(lstm), _Scratch(1, lstm.units)
    pad = np.array([PAD_ID], dtype=np.int32)
    for after in range(1, pads + 1):
        h[after], c[after] = h[after - 1], c[after - 1]
        cell.step(pad, h[after : after + 1], c[after : after + 1], scratch)
    return h, c


def _blocks(sequences: PackedSequences) -> list[Places]:
    order = sequences.longest_first
    firsts = range(0, len(order), BATCH_SEQUENCES)
    return [order[first : first + BATCH_SEQUENCES] for first in firsts]


class _Scratch:
    """Memory that the steps of one block write to, so that none of them allocates."""

    def __init__(self, rows: int, units: int) -> None:
        # The three sigmoid gates lie side by side in a row: i, f, o.
        self.sigmoids, self.e, self.power, self.whole = (
            np.empty((rows, 3 * units), dtype=np.float32) for _ in range(4)
        )
        self.new: Floats = np.empty((rows, units), dtype=np.float32)
        self.product: Floats = np.empty((rows, units), dtype=np.float32)


class _Cell:
    """The folded weights, and one step with them."""

    def __init__(self, lstm: Lstm) -> None:
        units = self.units = lstm.units
        columns = np.arange(4 * units)
        sigmoids = np.concatenate([columns[: 2 * units], columns[3 * units :]])  # i, f, o
        new = columns[2 * units : 3 * units]
        # (words, embedding) @ (embedding, 4 units) → (words, 4 units)
        inputs = lstm.embedding @ lstm.kernel + lstm.bias
        half = np.float32(0.5)  # the sigmoids are handed x/2
        # Contiguous, which chosen columns are not: a look-up must find a word's numbers together.
        self._inputs, self._recurrent = (
            (np.ascontiguousarray(both[:, sigmoids] * half), np.ascontiguousarray(both[:, new]))
            for both in (inputs, lstm.recurrent_kernel)
        )

    @property
    def memory_bytes(self) -> int:
        """Memory of the folded weights, in bytes."""
        return sum(array.nbytes for array in (*self._inputs, *self._recurrent))

    def step(self, ids: Ids, h: Floats, c: Floats, scratch: _Scratch) -> None:
        """Read one id a row: (rows,), updating h and c, each (rows, units), in place."""
        rows, units = h.shape
        gates, new = scratch.sigmoids[:rows], scratch.new[:rows]
        share, product = scratch.e[:rows], scratch.product[:rows]
        # mode="clip" lets `take` write straight into `out`; the ids are in range by construction
        np.take(self._inputs[0], ids, axis=0, out=gates, mode="clip")
        np.take(self._inputs[1], ids, axis=0, out=new, mode="clip")
        gates += np.matmul(h, self._recurrent[0], out=share)
        new += np.matmul(h, self._recurrent[1], out=product)
        _sigmoid(gates, scratch.e[:rows], scratch.power[:rows], scratch.whole[:rows])
        np.tanh(new, out=new)
        new *= gates[:, :units]  # i g
        c *= gates[:, units : 2 * units]  # f c
        c += new
        np.tanh(c, out=h)
        h *= gates[:, 2 * units :]  # o tanh(c)


def _sigmoid(y: Floats, e: Floats, power: Floats, whole: Floats) -> None:
    """Replace y by the sigmoid of 2 y, as `keras_sigmoid` says; the others are scratch."""
    np.clip(y, np.float32(ks.LOWEST), np.float32(ks.HIGHEST), out=y)
    np.multiply(y, np.float32(ks.LOG2_E), out=power)
    power += np.float32(ks.ROUND)
    np.subtract(power, np.float32(ks.ROUND), out=whole)
    y -= np.multiply(whole, np.float32(ks.LN2_HIGH), out=e)
    y -= np.multiply(whole, np.float32(ks.LN2_LOW), out=e)  # y is r now
    # 1 + r + r² (E2 + r (E3 + r (E4 + r E5)))
    np.multiply(y, np.float32(ks.E5), out=e)
    for coefficient in (ks.E4, ks.E3, ks.E2):
        e += np.float32(coefficient)
        e *= y
    e += np.float32(1.0)
    e *= y
    e += np.float32(1.0)
    bits = power.view(np.int32)
    bits <<= np.int32(ks.MANTISSA_BITS)
    bits += np.int32(ks.ONE_AS_BITS)
    e *= power
    e *= e
    np.add(e, np.float32(1.0), out=power)
    np.divide(e, power, out=y)

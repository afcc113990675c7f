"""The packed kernel that serves on a CPU: `compiled_lstm` with its weights folded and its memory.

Sixteen sequences of like length run together, the longest first, all ending at the same step, so
that only real tokens are computed; beside one that has begun, up to three that have not are
computed for nothing. What makes one core as fast as it is:

- embedding, input kernel and bias are folded into one (words, 4 units) table, so that the input's
  share of a step is a copied row, to which the state's share is added;
- the product is written for these shapes, so that everything but the recurrent kernel stays in
  the core's innermost cache, gates and states too;
- all steps are one call: no array passes through memory, and no Python runs, between two steps.

A sequence is computed by the same instructions in the same order whatever runs beside it: any
batching gives what one by one gives, bit for bit.

Reviews a second, one core of a Zen 5, 1,500 test reviews, the tutorial's network, in turns, by
processor time on a busy machine: this kernel 10,100; NumPy's product with compiled gates 9,000;
the NumPy kernel before this one, whose sigmoid was not TensorFlow's, 6,950; ONNX Runtime's LSTM on
true lengths 5,500; the products alone, by OpenBLAS, 13,500. There is no BLAS in this kernel: held
to an older processor's code (OPENBLAS_CORETYPE=Haswell), OpenBLAS does half, and the others that
stand on it 5,200 and 4,500.

Compiled anew in each process, in 2 s: a cache of compiled code would be a pickle on disk.
Called by `packed_engine` only, which does without where Numba is missing.
"""

from typing import Final

import numpy as np

from seqd_imdb_lstm.artifact import Floats
from seqd_imdb_lstm.compiled_lstm import DEPTH, LANES, Arrays, Rows, Tokens, run
from seqd_imdb_lstm.packed_numpy import states_after_pads
from seqd_imdb_lstm.packed_sequences import Lstm, PackedSequences, Places

#: Tiles of a block. With 2 a core did 8,900 reviews/s, with 4 10,100, with 6 to 16 9,600 to 9,900:
#: the gates of 16 rows are 26 kB at the tutorial's sizes, and a core's innermost cache has 48.
_TILES: Final = 4
#: A vector that lies across two cache lines takes twice as long to load.
_CACHE_LINE_BYTES: Final = 64


class CompiledKernel:
    """See `packed_sequences.Kernel`."""

    def __init__(self, lstm: Lstm, pads: int) -> None:
        """Fold the weights; sequences may have up to `pads` pads before them."""
        units = lstm.units
        half = np.full(4 * units, 0.5, dtype=np.float32)
        half[2 * units : 3 * units] = 1.0  # the sigmoids are handed x/2, the tanh x
        table = _aligned(len(lstm.embedding), 4 * units)
        # (words, embedding) @ (embedding, 4 units) → (words, 4 units)
        table[:] = (lstm.embedding @ lstm.kernel + lstm.bias) * half
        depths = -(-units // DEPTH)
        recurrent = _aligned(depths, DEPTH, 4 * units)
        recurrent.reshape(-1, 4 * units)[:units] = lstm.recurrent_kernel * half
        self._units = units
        self._arrays = Arrays(table, recurrent, *states_after_pads(lstm, pads))
        widths = (4 * units, DEPTH * depths, units, units, units)
        self._rows = Rows(*(_aligned(LANES, _TILES, width) for width in widths))

    @property
    def memory_bytes(self) -> int:
        """See `Kernel.memory_bytes`."""
        return sum(array.nbytes for array in (*self._arrays, *self._rows))

    def last(self, sequences: PackedSequences) -> Floats:
        """See `Kernel.last`."""
        features = self._arrays.pad_h[sequences.pads]  # what a sequence without a token keeps
        self._run(sequences, features, pools=False)
        return features

    def greatest_and_mean(self, sequences: PackedSequences) -> tuple[Floats, Floats]:
        """See `Kernel.greatest_and_mean`."""
        features = np.empty((len(sequences), 2 * self._units), dtype=np.float32)
        self._run(sequences, features, pools=True)
        return features[:, : self._units], features[:, self._units :]

    def computed_tokens(self, lengths: Places) -> int:
        """See `Kernel.computed_tokens`."""
        longest_of_tile = np.sort(lengths)[::-1][::LANES]
        return LANES * int(longest_of_tile.sum())

    def _run(self, sequences: PackedSequences, features: Floats, *, pools: bool) -> None:
        tokens = Tokens(sequences.ids, sequences.starts, sequences.lengths, sequences.pads)
        run(self._arrays, self._rows, tokens, sequences.longest_first, features, pools)


def _aligned(*shape: int) -> Floats:
    """Give zeros that begin at a cache line."""
    size_bytes = 4 * int(np.prod(shape))
    memory = np.zeros(size_bytes + _CACHE_LINE_BYTES, dtype=np.uint8)
    offset = -memory.ctypes.data % _CACHE_LINE_BYTES
    return memory[offset : offset + size_bytes].view(np.float32).reshape(shape)

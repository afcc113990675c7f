"""`forward.Forward`, compiled by Numba: lays weights and states out for `compiled_chains`.

Characters that one core of a Zen 4 with AVX-512 writes a second, through the whole `generate`, by
processor time on a busy machine: of one layer of 512 units that carries its state 17,000 to 20,000
alone, where weights come from the third cache, and 62,000 to 72,000 in a batch of 32 or more, with
or without n-grams; of the tutorial's windows 22,000 to 26,000 in any batch.

There is no BLAS in it: its threads cost more than they gain here, and the order of its sums hangs
on the number of rows. Compiled anew in each process, in 3.5 to 4.2 s of processor time there: a
cache of compiled code would be a pickle on disk.
"""

from typing import Final, Self

import numpy as np
import numpy.typing as npt

from seqd_char_lstm.artifact import Layer, Version
from seqd_char_lstm.compiled_chains import Marks, Mixture, Task, run
from seqd_char_lstm.compiled_panels import DEPTH, LANES, PANEL, PANEL_UNITS, Arrays, Rows
from seqd_char_lstm.compiled_sampling import Choosing, Scratch
from seqd_char_lstm.forward import Doubles, Ids, Piece, Singles, halved, input_table
from seqd_char_lstm.sampling import RECENT, Rules

#: A vector that lies across two cache lines takes twice as long to load.
_CACHE_LINE_BYTES: Final = 64
#: Floats of the longest vector; a part of one would be computed number by number.
_VECTOR: Final = 16


class CompiledForward:
    """See `forward.Forward`."""

    def __init__(self, version: Version) -> None:
        """Lay the weights out. Raises ValueError for n-grams that make too large a table."""
        config, weights = version.config, version.weights
        self.ids, self.window = len(config.alphabet), config.window or 0
        self.units = PANEL_UNITS * -(-config.units // PANEL_UNITS)
        half = halved(config.units)
        upper = [self._stacked(layer) * half for layer in weights.layers[1:]]
        width = min(PANEL, _VECTOR * -(-self.ids // _VECTOR))
        dense = np.zeros((self.units, width * -(-self.ids // width)), np.float32)
        dense[: config.units, : self.ids] = weights.dense
        bias = np.zeros((1, dense.shape[1]), np.float32)
        bias[0, : self.ids] = weights.dense_bias
        first = _rows_added(weights.layers[0].recurrent * half, self.units)
        self.arrays = Arrays(
            table=_aligned(self._panels(input_table(weights) * half)),
            first=_aligned(_in_depths(self._panels(first))),
            upper=_stack([_in_depths(self._panels(matrix)) for matrix in upper], 4),
            upper_bias=_stack(
                [self._panels((layer.bias * half)[None])[0] for layer in weights.layers[1:]], 2
            ),
            dense=_aligned(_in_depths(dense.reshape(self.units, -1, width))),
            dense_bias=_aligned(bias.reshape(1, -1, width)),
        )
        self.mixture = _mixture(version)

    @property
    def nbytes(self) -> int:
        """See `forward.Forward`."""
        tables = (self.mixture.probabilities, self.mixture.following)
        return sum(array.nbytes for array in (*self.arrays, *tables))

    def chains(self, count: int) -> "CompiledChains":
        """See `forward.Forward`."""
        rows, units, layers = count * max(self.window, 1), self.units, len(self.arrays.upper) + 1
        width, outputs = self.arrays.dense.shape[3], self.arrays.dense_bias.size
        scores = _zeros(count, outputs)
        scores[:] = self.arrays.dense_bias.reshape(-1)
        return CompiledChains(
            self,
            Rows(
                h=_zeros(rows, units),
                inputs=_zeros(layers - 1, rows, 2 * units),
                c=_zeros(layers, rows, units),
                fresh=_zeros(rows, units),
                last=_zeros(count, units),
                gates=_zeros(LANES, PANEL),
                few_scores=_zeros(LANES, width),
                scores=scores,
            ),
            Marks(np.zeros(count, np.int32), np.full((count, RECENT), -1, np.int32)),
            clock=0,
        )

    def _stacked(self, layer: Layer) -> Singles:
        """Put the input's weights above the state's: (2 units, 4 units of the network)."""
        parts = [_rows_added(part, self.units) for part in (layer.kernel, layer.recurrent)]
        return np.concatenate(parts)

    def _panels(self, columns: Singles) -> Singles:
        """Sort (depths, 4 units of the network) into (depths, panels, PANEL)."""
        gates = columns.reshape(len(columns), 4, -1)
        padded = np.zeros((len(columns), 4, self.units), np.float32)
        padded[:, :, : gates.shape[2]] = gates
        panels = padded.reshape(len(columns), 4, -1, PANEL_UNITS).transpose(0, 2, 1, 3)
        return panels.reshape(len(columns), -1, PANEL)


class CompiledChains:
    """See `forward.Chains`."""

    def __init__(self, forward: CompiledForward, rows: Rows, marks: Marks, clock: int) -> None:
        """Take states; `clock` counts the steps that led to them."""
        self._forward = forward
        self._rows = rows
        self._marks = marks
        self._clock = clock
        self._row_ids = np.zeros((2, len(rows.h)), np.int32)
        ids = forward.ids
        self._scratch = Scratch(np.zeros(ids), np.zeros(ids), np.zeros(ids, np.int32))

    def read(self, ids: Ids, starts: npt.NDArray[np.int64]) -> Piece:
        """See `forward.Chains.read`."""
        cold = np.zeros(len(ids))
        return self._run(ids, starts, cold, np.zeros((len(ids), 0)), Rules())

    def write(self, uniforms: Doubles, temperatures: Doubles, rules: Rules) -> Piece:
        """See `forward.Chains.write`."""
        drawn = np.full(uniforms.shape, -1, np.int32)
        starts = np.zeros(len(uniforms), np.int64)
        return self._run(drawn, starts, temperatures, uniforms, rules)

    def chosen(self, places: npt.NDArray[np.int64]) -> Self:
        """See `forward.Chains.chosen`."""
        width = max(self._forward.window, 1)
        of_rows = (places[:, None] * width + np.arange(width)).reshape(-1)
        rows = Rows(
            h=_aligned(self._rows.h[of_rows]),
            inputs=_aligned(self._rows.inputs[:, of_rows]),
            c=_aligned(self._rows.c[:, of_rows]),
            fresh=_zeros(len(of_rows), self._forward.units),
            last=_aligned(self._rows.last[places]),
            gates=_zeros(*self._rows.gates.shape),
            few_scores=_zeros(*self._rows.few_scores.shape),
            scores=_aligned(self._rows.scores[places]),
        )
        marks = Marks(self._marks.states[places], self._marks.recent[places])
        return type(self)(self._forward, rows, marks, self._clock)

    def _run(
        self,
        given: Ids,
        starts: npt.NDArray[np.int64],
        temperatures: Doubles,
        uniforms: Doubles,
        rules: Rules,
    ) -> Piece:
        forward = self._forward
        piece = Piece(np.full(given.shape, -1, np.int32), np.zeros(given.shape))
        task = Task(given, starts, temperatures, uniforms, forward.window, self._clock)
        run(
            forward.arrays,
            self._rows,
            forward.mixture,
            self._marks,
            Choosing(rules.top_k, rules.top_p, rules.repetition_penalty),
            task,
            self._scratch,
            self._row_ids,
            piece.ids,
            piece.log_probs,
        )
        self._clock += given.shape[1]
        return piece


def _mixture(version: Version) -> Mixture:
    share = version.config.ngram_share
    if version.ngrams is None or share == 0.0:
        nothing = np.zeros((1, len(version.config.alphabet)), np.int32)
        return Mixture(0.0, nothing.astype(np.float32), nothing)
    tables = version.ngrams.tables()
    return Mixture(share, tables.probabilities, tables.next_states)


def _rows_added(matrix: Singles, rows: int) -> Singles:
    padded = np.zeros((rows, matrix.shape[1]), np.float32)
    padded[: len(matrix)] = matrix
    return padded


def _in_depths(panels: Singles) -> Singles:
    """Sort (depths, panels, columns) into (panels, depths / DEPTH, DEPTH, columns)."""
    depths, count, columns = panels.shape
    return panels.transpose(1, 0, 2).reshape(count, depths // DEPTH, DEPTH, columns)


def _stack(layers: list[Singles], dimensions: int) -> Singles:
    """Stack arrays of so many dimensions, also none."""
    return _aligned(np.stack(layers)) if layers else np.zeros((0, *[0] * dimensions), np.float32)


def _zeros(*shape: int) -> Singles:
    """Give zeros that begin at a cache line."""
    size_bytes = 4 * int(np.prod(shape))
    memory = np.zeros(size_bytes + _CACHE_LINE_BYTES, dtype=np.uint8)
    offset = -memory.ctypes.data % _CACHE_LINE_BYTES
    return memory[offset : offset + size_bytes].view(np.float32).reshape(shape)


def _aligned(array: Singles) -> Singles:
    """Copy so that it begins at a cache line."""
    copy = _zeros(*array.shape)
    copy[:] = array
    return copy

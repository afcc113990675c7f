"""The steps of an LSTM, compiled by Numba: what `packed_compiled` calls, and nothing else does.

Written for the compiler. Innermost loops go over units, so that they become vector instructions;
four rows and four units are written out in `add_product`, so that each number that is loaded is
used four times. A row stands at [lane, tile]: row r of a block at [r % 4, r // 4]. Rows that lie
in different lanes are different arrays to the compiler, which must know that none overlaps.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar, cast

import numba
import numpy as np

from seqd_imdb_lstm import keras_sigmoid as ks
from seqd_imdb_lstm.artifact import Floats
from seqd_imdb_lstm.packed_sequences import Places
from seqd_imdb_lstm.vocabulary import Ids

#: Rows, and units, that `add_product` multiplies together.
LANES: Final = 4
DEPTH: Final = 4

_F = np.float32
_LOWEST, _HIGHEST, _ROUND = _F(ks.LOWEST), _F(ks.HIGHEST), _F(ks.ROUND)
_LOG2_E, _LN2_HIGH, _LN2_LOW = _F(ks.LOG2_E), _F(ks.LN2_HIGH), _F(ks.LN2_LOW)
_E2, _E3, _E4, _E5 = _F(ks.E2), _F(ks.E3), _F(ks.E4), _F(ks.E5)
_MANTISSA_BITS, _ONE_AS_BITS = np.int32(ks.MANTISSA_BITS), np.int32(ks.ONE_AS_BITS)
_ONE: Final = _F(1.0)
#: tanh(x) is about x P(x²) / Q(x²), fitted for the least relative error on [-9, 9], which is 2e-8
#: before rounding. Beyond 9 it is 1 in float32.
_TANH_HIGHEST: Final = _F(9.0)
_P1, _P2 = _F(0.13381025195121765), _F(0.003495587967336178)
_P3, _P4 = _F(2.060908082057722e-05), _F(1.335466137675212e-08)
_Q1, _Q2 = _F(0.4671434164047241), _F(0.025876982137560844)
_Q3, _Q4 = _F(0.0003285634738858789), _F(7.776558277328149e-07)

#: Compiled code is kept on disk, as a pickle, only where NUMBA_CACHE_DIR names a folder for it.
_IS_CACHED = bool(getattr(numba.config, "CACHE_DIR", ""))

_Function = TypeVar("_Function", bound=Callable[..., object])


class Arrays(NamedTuple):
    """Folded weights; sigmoids' columns are halved, since a sigmoid is handed x/2."""

    table: Floats  # (words, 4 units), the input's share and the bias
    recurrent: Floats  # (units / DEPTH, DEPTH, 4 units)
    pad_h: Floats  # (pads + 1, units), the states after so many pads
    pad_c: Floats


class Rows(NamedTuple):
    """Scratch memory of a block: (LANES, tiles, ...)."""

    gates: Floats  # (..., 4 units) in Keras's order i, f, c, o
    h: Floats  # (..., units), and zeros up to a multiple of DEPTH
    c: Floats  # (..., units)
    greatest: Floats  # (..., units) of h so far
    total: Floats  # (..., units) of h so far


class Tokens(NamedTuple):
    """See `packed_sequences.PackedSequences`."""

    ids: Ids
    starts: Places
    lengths: Places
    pads: Places


def _compiled(function: _Function, *, called_from_python: bool = False) -> _Function:
    # contract: a product and a sum may be one instruction. The other three let min and max be one
    # each; all numbers here are finite. Not "reassoc": sums keep their order.
    flags = {"contract", "nnan", "ninf", "nsz"}
    # Without wrappers that only a call from outside needs, all compiles in 2.0 s instead of 2.8;
    # Numba documents these two options, and has no types for them.
    decorate = numba.njit(  # type: ignore[call-overload]
        fastmath=flags,
        error_model="numpy",
        nogil=True,
        cache=called_from_python and _IS_CACHED,
        no_cpython_wrapper=not called_from_python,
        no_cfunc_wrapper=True,
    )
    return cast(_Function, decorate(function))


@_compiled
def sigmoid(half: np.float32) -> np.float32:
    """Give the sigmoid of 2 half, as `keras_sigmoid` says."""
    y = min(max(half, _LOWEST), _HIGHEST)
    rounded = y * _LOG2_E + _ROUND
    m = rounded - _ROUND
    r = y - m * _LN2_HIGH
    r = r - m * _LN2_LOW
    square = r * r
    e = square * (r * (square * _E5 + _E3) + (square * _E4 + _E2)) + (r + _ONE)
    power = (np.float32(rounded).view(np.int32) << _MANTISSA_BITS) + _ONE_AS_BITS
    e *= np.int32(power).view(np.float32)
    e *= e
    return e / (_ONE + e)


@_compiled
def tanh(x: np.float32) -> np.float32:
    """Give tanh(x), up to 4e-7 off."""
    x = min(max(x, -_TANH_HIGHEST), _TANH_HIGHEST)
    u = x * x
    above = (((_P4 * u + _P3) * u + _P2) * u + _P1) * u + _ONE
    below = (((_Q4 * u + _Q3) * u + _Q2) * u + _Q1) * u + _ONE
    return x * above / below


@_compiled
def _copy(source: Floats, target: Floats) -> None:
    for j in range(source.shape[0]):
        target[j] = source[j]


@_compiled
def add_product(
    recurrent: Floats,
    h: tuple[Floats, Floats, Floats, Floats],
    z: tuple[Floats, Floats, Floats, Floats],
    tiles: int,
) -> None:
    """Add h @ recurrent to z, in the first tiles of four lanes: h (tiles, units) each."""
    h0, h1, h2, h3 = h
    z0, z1, z2, z3 = z
    for depth in range(recurrent.shape[0]):
        r0, r1 = recurrent[depth, 0], recurrent[depth, 1]
        r2, r3 = recurrent[depth, 2], recurrent[depth, 3]
        k = DEPTH * depth
        for t in range(tiles):
            a0, a1, a2, a3 = z0[t], z1[t], z2[t], z3[t]
            h00, h01, h02, h03 = h0[t, k], h0[t, k + 1], h0[t, k + 2], h0[t, k + 3]
            h10, h11, h12, h13 = h1[t, k], h1[t, k + 1], h1[t, k + 2], h1[t, k + 3]
            h20, h21, h22, h23 = h2[t, k], h2[t, k + 1], h2[t, k + 2], h2[t, k + 3]
            h30, h31, h32, h33 = h3[t, k], h3[t, k + 1], h3[t, k + 2], h3[t, k + 3]
            for j in range(recurrent.shape[2]):
                y0, y1, y2, y3 = r0[j], r1[j], r2[j], r3[j]
                a0[j] = (((a0[j] + h00 * y0) + h01 * y1) + h02 * y2) + h03 * y3
                a1[j] = (((a1[j] + h10 * y0) + h11 * y1) + h12 * y2) + h13 * y3
                a2[j] = (((a2[j] + h20 * y0) + h21 * y1) + h22 * y2) + h23 * y3
                a3[j] = (((a3[j] + h30 * y0) + h31 * y1) + h32 * y2) + h33 * y3


@_compiled
def _finish(gates: Floats, h: Floats, c: Floats) -> None:
    """Turn one row's gates (4 units,), before their activations, into its next state."""
    units = c.shape[0]
    i, f = gates[:units], gates[units : 2 * units]
    new, o = gates[2 * units : 3 * units], gates[3 * units :]
    # Two loops: in one, the chain of operations is longer than a core looks ahead; 10% slower.
    for j in range(units):
        c[j] = sigmoid(f[j]) * c[j] + sigmoid(i[j]) * tanh(new[j])
    for j in range(units):
        h[j] = sigmoid(o[j]) * tanh(c[j])


@_compiled
def _pool(h: Floats, greatest: Floats, total: Floats) -> None:
    for j in range(total.shape[0]):
        greatest[j] = max(greatest[j], h[j])
        total[j] += h[j]


@_compiled
def _begin(arrays: Arrays, rows: Rows, pads: int, lane: int, tile: int) -> None:
    _copy(arrays.pad_h[pads], rows.h[lane, tile])
    _copy(arrays.pad_c[pads], rows.c[lane, tile])
    rows.greatest[lane, tile] = -_ONE  # a state is greater
    rows.total[lane, tile] = _F(0.0)


@_compiled
def _step(arrays: Arrays, rows: Rows, tiles: int, pools: bool) -> None:
    """Take one step with all rows of the first tiles, whose gates hold the input's share."""
    h, z = rows.h, rows.gates
    add_product(arrays.recurrent, (h[0], h[1], h[2], h[3]), (z[0], z[1], z[2], z[3]), tiles)
    for lane in range(LANES):
        for tile in range(tiles):
            _finish(z[lane, tile], h[lane, tile], rows.c[lane, tile])
            if pools:
                _pool(h[lane, tile], rows.greatest[lane, tile], rows.total[lane, tile])


@_compiled
def _run_block(arrays: Arrays, rows: Rows, tokens: Tokens, block: Places, pools: bool) -> None:
    """Run the sequences of a block, the longest first, to their common end."""
    ids, starts, lengths, pads = tokens
    running = 0
    for left in range(lengths[block[0]], 0, -1):  # tokens still to be read
        while running < block.shape[0] and lengths[block[running]] >= left:
            _begin(arrays, rows, pads[block[running]], running % LANES, running // LANES)
            running += 1
        tiles = (running + LANES - 1) // LANES
        for row in range(LANES * tiles):
            # A row that has not begun reads any word: what it holds is set when it begins.
            word = 0
            if row < running:
                word = ids[starts[block[row]] + lengths[block[row]] - left]
            _copy(arrays.table[word], rows.gates[row % LANES, row // LANES])
        _step(arrays, rows, tiles, pools)


@_compiled
def _write(rows: Rows, lane: int, tile: int, tokens: int, features: Floats, pools: bool) -> None:
    """Write one row's features: its state, or the greatest of its states and then their mean."""
    units = rows.c.shape[2]
    if not pools:
        _copy(rows.h[lane, tile, :units], features)
        return
    _copy(rows.greatest[lane, tile], features[:units])
    for j in range(units):
        features[units + j] = rows.total[lane, tile, j] / _F(tokens)


def _run(
    arrays: Arrays,
    rows: Rows,
    tokens: Tokens,
    longest_first: Places,
    features: Floats,
    pools: bool,
) -> None:
    """Run all sequences and write the features of those that have tokens, each into its row.

    `features` is (sequences, units), or (sequences, 2 units) when it `pools`.
    """
    block_rows = LANES * rows.gates.shape[1]
    for first in range(0, longest_first.shape[0], block_rows):
        block = longest_first[first : first + block_rows]
        _run_block(arrays, rows, tokens, block, pools)
        for row in range(block.shape[0]):
            sequence = block[row]
            length = tokens.lengths[sequence]
            if length > 0:
                lane, tile = row % LANES, row // LANES
                _write(rows, lane, tile, length, features[sequence], pools)


run = _compiled(_run, called_from_python=True)

"""The steps of an LSTM that learns, compiled by Numba: what `packed_lstm` calls where it can.

All steps of time are one call each way, in which no Python runs and no lock is held, so that two
threads learn twice as fast. Sixteen rows at a time are multiplied by the recurrent kernel as
`compiled_lstm` does it, whose product this is.

Gates lie in the order o, i, f, g in arrays (tokens, 4 units): before `run_forward` the input's
share, after it the gates, after `run_backward` their gradients.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar, cast

import numba
import numpy as np

from seqd_imdb_lstm.artifact import Floats
from seqd_imdb_lstm.compiled_lstm import LANES, add_product, sigmoid, tanh
from seqd_imdb_lstm.packed_sequences import Places

#: Rows that are multiplied together, over LANES: their gates stay in a core's innermost cache.
TILES: Final = 4

_F = np.float32
_ONE: Final = _F(1.0)
_ZERO: Final = _F(0.0)

#: Compiled code is kept on disk, as a pickle, only where NUMBA_CACHE_DIR names a folder for it.
_IS_CACHED = bool(getattr(numba.config, "CACHE_DIR", ""))

_Function = TypeVar("_Function", bound=Callable[..., object])


class Way(NamedTuple):
    """What is kept of the way forward."""

    gates: Floats  # (tokens, 4 units)
    tanh_c: Floats  # (tokens, units), after each token
    h: Floats  # (tokens + rows, units), before each token, and at the end
    c: Floats  # (tokens + rows, units), likewise
    greatest: Floats  # (rows, units) of h after the tokens of a row
    total: Floats  # (rows, units) likewise


class Steps(NamedTuple):
    """See `packed_batch.PackedBatch`."""

    starts: Places
    counts: Places
    has_pads: bool


class Scratch(NamedTuple):
    """Rows that are multiplied together."""

    wide: Floats  # (LANES, TILES, 4 units)
    narrow: Floats  # (LANES, TILES, units, and zeros up to a multiple of DEPTH)


class Pull(NamedTuple):
    """Gradients on the way back."""

    h: Floats  # (rows, units) of the state at this step
    c: Floats
    greatest: Floats  # (rows, units) of the greatest state of a row
    mean: Floats  # (rows, units) of each state of a row, for its share of the mean


def _compiled(function: _Function, *, called_from_python: bool = False) -> _Function:
    # "contract" alone: numbers here may be infinite when a training is lost. Without the wrappers
    # that only a call from outside needs, less is compiled; see `compiled_lstm`.
    decorate = numba.njit(  # type: ignore[call-overload]
        fastmath={"contract"},
        error_model="numpy",
        nogil=True,
        cache=called_from_python and _IS_CACHED,
        no_cpython_wrapper=not called_from_python,
        no_cfunc_wrapper=True,
    )
    return cast(_Function, decorate(function))


@_compiled
def _finish(z: Floats, gates: Floats, tanh_c: Floats, old_c: Floats, c: Floats, h: Floats) -> None:
    """Turn one row's gates, before their activations and sigmoids' halved, into its next state."""
    units = c.shape[0]
    for j in range(units):
        i, f = sigmoid(z[units + j]), sigmoid(z[2 * units + j])
        g = tanh(z[3 * units + j])
        gates[units + j], gates[2 * units + j], gates[3 * units + j] = i, f, g
        c[j] = f * old_c[j] + i * g
    for j in range(units):
        o, t = sigmoid(z[j]), tanh(c[j])
        gates[j], tanh_c[j] = o, t
        h[j] = o * t


@_compiled
def _forward_rows(
    way: Way, recurrent: Floats, scratch: Scratch, start: int, end: int, rows: int
) -> None:
    """Take `rows` rows, at places from `start` on, to their next states, at places from `end`."""
    units = way.c.shape[1]
    tiles = (rows + LANES - 1) // LANES
    z, h = scratch.wide, scratch.narrow
    for row in range(LANES * tiles):
        lane, tile = row % LANES, row // LANES
        if row < rows:
            z[lane, tile, :] = way.gates[start + row]
            h[lane, tile, :units] = way.h[start + row]
        else:
            z[lane, tile, :] = _ZERO
            h[lane, tile, :] = _ZERO
    add_product(recurrent, (h[0], h[1], h[2], h[3]), (z[0], z[1], z[2], z[3]), tiles)
    for row in range(rows):
        place, after = start + row, end + row
        _finish(
            z[row % LANES, row // LANES],
            way.gates[place],
            way.tanh_c[place],
            way.c[place],
            way.c[after],
            way.h[after],
        )


def _run_forward(way: Way, steps: Steps, recurrent: Floats, scratch: Scratch, pools: bool) -> None:
    """Take all steps; `recurrent` (units / DEPTH, DEPTH, 4 units), sigmoids' columns halved."""
    starts, counts = steps.starts, steps.counts
    block = LANES * TILES
    for step in range(counts.shape[0] - 1):
        start, end, count = starts[step], starts[step + 1], counts[step]
        for first in range(0, count, block):
            rows = min(block, count - first)
            _forward_rows(way, recurrent, scratch, start + first, end + first, rows)
        if pools:
            for row in range(count):
                for j in range(way.c.shape[1]):
                    way.greatest[row, j] = max(way.greatest[row, j], way.h[end + row, j])
                    way.total[row, j] += way.h[end + row, j]
        for row in range(count, counts[step + 1]):
            if steps.has_pads:
                way.h[end + row, :] = way.h[end]
                way.c[end + row, :] = way.c[end]
            else:
                way.h[end + row, :] = _ZERO
                way.c[end + row, :] = _ZERO


@_compiled
def _gate_gradients(
    gates: Floats, tanh_c: Floats, old_c: Floats, dh: Floats, dc: Floats, d_gates: Floats
) -> None:
    """Go back through one row's gates, which become their gradients, before their activations."""
    units = dc.shape[0]
    for j in range(units):
        o, t = gates[j], tanh_c[j]
        dc[j] += dh[j] * o * (_ONE - t * t)
        d_gates[j] = dh[j] * t * o * (_ONE - o)
    for j in range(units):
        i, f, g = gates[units + j], gates[2 * units + j], gates[3 * units + j]
        d_gates[units + j] = dc[j] * g * i * (_ONE - i)
        d_gates[2 * units + j] = dc[j] * old_c[j] * f * (_ONE - f)
        d_gates[3 * units + j] = dc[j] * i * (_ONE - g * g)
        dc[j] *= f
    for j in range(4 * units):
        gates[j] = d_gates[j]


@_compiled
def _backward_rows(
    way: Way, pull: Pull, recurrent: Floats, scratch: Scratch, start: int, first: int, rows: int
) -> None:
    """Take `rows` rows from row `first` on, at places from `start` on, one step back."""
    units = way.c.shape[1]
    tiles = (rows + LANES - 1) // LANES
    d_gates, dh = scratch.wide, scratch.narrow
    for row in range(LANES * tiles):
        lane, tile = row % LANES, row // LANES
        dh[lane, tile, :] = _ZERO
        if row < rows:
            place = start + row
            _gate_gradients(
                way.gates[place],
                way.tanh_c[place],
                way.c[place],
                pull.h[first + row],
                pull.c[first + row],
                d_gates[lane, tile],
            )
        else:
            d_gates[lane, tile, :] = _ZERO
    d, x = d_gates, dh
    add_product(recurrent, (d[0], d[1], d[2], d[3]), (x[0], x[1], x[2], x[3]), tiles)
    for row in range(rows):
        pull.h[first + row, :] = dh[row % LANES, row // LANES, :units]


def _run_backward(
    way: Way,
    steps: Steps,
    pull: Pull,
    recurrent: Floats,
    scratch: Scratch,
    from_step: int,
    to_step: int,
    pools: bool,
) -> None:
    """Take the steps before `to_step` back, the last first, down to `from_step`.

    `recurrent` is the transposed kernel, (4 units / DEPTH, DEPTH, units and zeros behind).
    """
    starts, counts = steps.starts, steps.counts
    units, block = way.c.shape[1], LANES * TILES
    for step in range(to_step - 1, from_step - 1, -1):
        start, end, count = starts[step], starts[step + 1], counts[step]
        if pools:
            for row in range(count):
                for j in range(units):
                    pull.h[row, j] += pull.mean[row, j]
                    if way.h[end + row, j] == way.greatest[row, j]:
                        pull.h[row, j] += pull.greatest[row, j]
        for first in range(0, count, block):
            rows = min(block, count - first)
            _backward_rows(way, pull, recurrent, scratch, start + first, first, rows)
        if steps.has_pads and step > 0:
            for row in range(counts[step - 1], count):
                for j in range(units):
                    pull.h[0, j] += pull.h[row, j]
                    pull.c[0, j] += pull.c[row, j]


run_forward = _compiled(_run_forward, called_from_python=True)
run_backward = _compiled(_run_backward, called_from_python=True)

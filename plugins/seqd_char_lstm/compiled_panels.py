"""One step of a stack of LSTM layers for many rows, compiled by Numba.

A row is one sequence under way: its states in each layer. The columns of a layer's weights are
cut into panels of `PANEL_UNITS` units, each with the four gates of its units side by side: a panel
stays in a core's second cache while all rows are multiplied by it, four rows at a time, and its
gates become states at once, while they are in the innermost cache. Four rows and four depths are
written out in `_add_four`, so that each number that is loaded is used four times.

Every row's sums are the same instructions in the same order, whatever runs beside it: `_add_one`,
for the rows that are left over, adds in the order of `_add_four` (a test holds them together, bit
for bit). Called by `compiled_chains`; `compiled_forward` lays the arrays out.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

#: Units of a panel. At 512 units and 128 rows one core did 187 billion operations a second with 32,
#: 113 with 64 and 89 with 128, whose panels leave its second cache.
PANEL_UNITS: Final = 32
#: Columns of a panel: the gates i, f, c, o of its units, one after the other.
PANEL: Final = 4 * PANEL_UNITS
#: Rows, and depths, that are multiplied together.
LANES: Final = 4
DEPTH: Final = 4

_F = np.float32
_ONE: Final = _F(1.0)
_HALF: Final = _F(0.5)
#: tanh(x) is about x P(x²) / Q(x²), fitted for the least relative error on [-9, 9], which is 2e-8
#: before rounding. Beyond 9 it is 1 in float32.
_HIGHEST: Final = _F(9.0)
_P1, _P2 = _F(0.13381025195121765), _F(0.003495587967336178)
_P3, _P4 = _F(2.060908082057722e-05), _F(1.335466137675212e-08)
_Q1, _Q2 = _F(0.4671434164047241), _F(0.025876982137560844)
_Q3, _Q4 = _F(0.0003285634738858789), _F(7.776557278328149e-07)

_Four = tuple[Floats, Floats, Floats, Floats]
#: Compiled code is kept on disk, as a pickle, only where NUMBA_CACHE_DIR names a folder for it.
_IS_CACHED = bool(getattr(numba.config, "CACHE_DIR", ""))

_Function = TypeVar("_Function", bound=Callable[..., object])


class Arrays(NamedTuple):
    """Folded weights; the columns of sigmoids are halved, since sigmoid(x) is of tanh(x/2)."""

    table: Floats  # (ids, panels, PANEL), what layer 0 takes from an input, bias included
    first: Floats  # (panels, units / DEPTH, DEPTH, PANEL), recurrent weights of layer 0
    upper: Floats  # (layers - 1, panels, 2 units / DEPTH, DEPTH, PANEL), of input and own state
    upper_bias: Floats  # (layers - 1, panels, PANEL)
    dense: Floats  # (dense panels, units / DEPTH, DEPTH, width)
    dense_bias: Floats  # (1, dense panels, width)


class Rows(NamedTuple):
    """States, and scratch memory, of a number of rows."""

    h: Floats  # (rows, units), of layer 0
    inputs: Floats  # (layers - 1, rows, 2 units): state of the layer below, own state
    c: Floats  # (layers, rows, units)
    fresh: Floats  # (rows, units), a layer's new states while the old ones are still read
    last: Floats  # (chains, units), states that the next character's scores come from
    gates: Floats  # (LANES, PANEL)
    few_scores: Floats  # (LANES, width)
    scores: Floats  # (chains, dense panels times width)


def compiled(
    function: _Function,
    *,
    all_finite: bool = True,
    called_once: bool = False,
    called_from_python: bool = False,
) -> _Function:
    """Compile, without any freedom to change the order of sums.

    What is `called_once` is written into its caller, and is as finite as that: a quarter less to
    compile in all.
    """
    # contract: a product and a sum may be one instruction. The other three let min and max be one
    # each, where all numbers are finite.
    flags = {"contract", "nnan", "ninf", "nsz"} if all_finite else {"contract"}
    # Without wrappers that only a call from outside needs, it compiles in less time; Numba
    # documents these two options, and has no types for them.
    decorate = numba.njit(  # type: ignore[call-overload]
        fastmath=flags,
        error_model="numpy",
        nogil=True,
        cache=called_from_python and _IS_CACHED,
        inline="always" if called_once else "never",
        no_cpython_wrapper=not called_from_python,
        no_cfunc_wrapper=True,
    )
    return cast(_Function, decorate(function))


_compiled_once = partial(compiled, called_once=True)


@compiled
def _tanh(x: np.float32) -> np.float32:
    """Give tanh(x), up to 4e-7 off."""
    x = min(max(x, -_HIGHEST), _HIGHEST)
    u = x * x
    above = (((_P4 * u + _P3) * u + _P2) * u + _P1) * u + _ONE
    below = (((_Q4 * u + _Q3) * u + _Q2) * u + _Q1) * u + _ONE
    return x * above / below


@compiled
def _copy(source: Floats, target: Floats) -> None:
    for j in range(source.shape[0]):
        target[j] = source[j]


@compiled
def _add_four(panel: Floats, h: _Four, z: _Four) -> None:
    """Add four rows (units,) times a panel to four of z (columns,)."""
    h0, h1, h2, h3 = h
    z0, z1, z2, z3 = z
    for depth in range(panel.shape[0]):
        r0, r1, r2, r3 = panel[depth, 0], panel[depth, 1], panel[depth, 2], panel[depth, 3]
        k = DEPTH * depth
        h00, h01, h02, h03 = h0[k], h0[k + 1], h0[k + 2], h0[k + 3]
        h10, h11, h12, h13 = h1[k], h1[k + 1], h1[k + 2], h1[k + 3]
        h20, h21, h22, h23 = h2[k], h2[k + 1], h2[k + 2], h2[k + 3]
        h30, h31, h32, h33 = h3[k], h3[k + 1], h3[k + 2], h3[k + 3]
        for j in range(panel.shape[2]):
            y0, y1, y2, y3 = r0[j], r1[j], r2[j], r3[j]
            z0[j] = (((z0[j] + h00 * y0) + h01 * y1) + h02 * y2) + h03 * y3
            z1[j] = (((z1[j] + h10 * y0) + h11 * y1) + h12 * y2) + h13 * y3
            z2[j] = (((z2[j] + h20 * y0) + h21 * y1) + h22 * y2) + h23 * y3
            z3[j] = (((z3[j] + h30 * y0) + h31 * y1) + h32 * y2) + h33 * y3


@compiled
def _add_one(panel: Floats, h: Floats, z: Floats) -> None:
    """Add one row (units,) times a panel to z (columns,), as `_add_four` does."""
    for depth in range(panel.shape[0]):
        r0, r1, r2, r3 = panel[depth, 0], panel[depth, 1], panel[depth, 2], panel[depth, 3]
        k = DEPTH * depth
        h0, h1, h2, h3 = h[k], h[k + 1], h[k + 2], h[k + 3]
        for j in range(panel.shape[2]):
            z[j] = (((z[j] + h0 * r0[j]) + h1 * r1[j]) + h2 * r2[j]) + h3 * r3[j]


@compiled
def _finish(gates: Floats, c: Floats, fresh: Floats) -> None:
    """Turn a panel's gates (PANEL,) of one row into its units' states."""
    i, f = gates[:PANEL_UNITS], gates[PANEL_UNITS : 2 * PANEL_UNITS]
    new, o = gates[2 * PANEL_UNITS : 3 * PANEL_UNITS], gates[3 * PANEL_UNITS :]
    for j in range(PANEL_UNITS):
        forget = _HALF * _tanh(f[j]) + _HALF
        enter = _HALF * _tanh(i[j]) + _HALF
        c[j] = forget * c[j] + enter * _tanh(new[j])
    for j in range(PANEL_UNITS):
        fresh[j] = (_HALF * _tanh(o[j]) + _HALF) * _tanh(c[j])


@_compiled_once
def _add(panel: Floats, states: Floats, row: int, lanes: int, z: Floats) -> None:
    """Add some rows of states (rows, units), from `row` on, times a panel to z (LANES, columns)."""
    if lanes == LANES:
        h = (states[row], states[row + 1], states[row + 2], states[row + 3])
        _add_four(panel, h, (z[0], z[1], z[2], z[3]))
    else:
        for lane in range(lanes):
            _add_one(panel, states[row + lane], z[lane])


@_compiled_once
def _multiply(
    panels: Floats, states: Floats, begin: Floats, begins: Ids, z: Floats, c: Floats, target: Floats
) -> None:
    """Give `begin[begins[row]]` plus the product of each row of states (rows, depths) and panels.

    Into `target` (rows, columns); or, where `c` has rows, the states that these gates lead to:
    (rows, units) each. `begin` is (some, panels, columns of a panel).
    """
    width = panels.shape[3]
    for p in range(panels.shape[0]):
        for row in range(0, states.shape[0], LANES):
            lanes = min(LANES, states.shape[0] - row)
            for lane in range(lanes):
                _copy(begin[begins[row + lane], p], z[lane])
            _add(panels[p], states, row, lanes, z)
            for lane in range(lanes):
                if c.shape[0] > 0:
                    here = p * PANEL_UNITS
                    _finish(z[lane], c[row + lane, here:], target[row + lane, here:])
                else:
                    _copy(z[lane], target[row + lane, p * width :])


@_compiled_once
def step(arrays: Arrays, rows: Rows, ids: Ids, zeros: Ids, stride: int, complete: int) -> None:
    """Let the first rows read a character each, `ids` (rows,), and score the next one.

    Of each `stride` rows the one at `complete` is scored. `zeros` are as many as `ids`.
    """
    count, units, layers = ids.shape[0], rows.h.shape[1], rows.c.shape[0]
    panels, states, begin, begins = arrays.first, rows.h[:count], arrays.table, ids
    z, c, target = rows.gates, rows.c[0], rows.fresh
    for layer in range(layers + 1):
        _multiply(panels, states, begin, begins, z, c, target)
        if layer < layers:
            own = states.shape[1] - units
            for row in range(count):
                _copy(target[row], states[row, own:])
        begins = zeros
        if layer < layers - 1:
            for row in range(count):
                _copy(target[row], rows.inputs[layer, row])
            panels, states = arrays.upper[layer], rows.inputs[layer, :count]
            begin, c = arrays.upper_bias[layer : layer + 1], rows.c[layer + 1]
        elif layer == layers - 1:
            for chain in range(count // stride):
                _copy(target[chain * stride + complete], rows.last[chain])
            panels, states = arrays.dense, rows.last[: count // stride]
            begin, c = arrays.dense_bias, rows.c[0, :0]
            z, target = rows.few_scores, rows.scores

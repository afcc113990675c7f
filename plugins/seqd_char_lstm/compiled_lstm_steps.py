"""The gates of an LSTM, one step forwards and one back in time, compiled by Numba.

`lstm_steps` says what the two do, and is used where there is no Numba. Here each step is a few
passes over arrays that a core's first cache holds, one stream at a time: on one core 0.02 ms
forwards and 0.01 back for 32 streams of 512 units, against 0.08 and 0.07 in NumPy; the product that
goes with each takes 0.3 and more. Imported by `backpropagation` on first use; compiling is 0.8 s.
"""

from collections.abc import Callable
from typing import Final, TypeVar, cast

import numba
import numpy as np

from seqd_char_lstm.lstm_steps import Floats

_F = np.float32
_HALF, _ONE = _F(0.5), _F(1.0)
#: tanh(x) is about x P(x²) / Q(x²), fitted for the least relative error on [-9, 9], which is 2e-8
#: before rounding. Beyond 9 it is 1 in float32.
_HIGHEST: Final = _F(9.0)
_P1, _P2 = _F(0.13381025195121765), _F(0.003495587967336178)
_P3, _P4 = _F(2.060908082057722e-05), _F(1.335466137675212e-08)
_Q1, _Q2 = _F(0.4671434164047241), _F(0.025876982137560844)
_Q3, _Q4 = _F(0.0003285634738858789), _F(7.776558277328149e-07)

#: Compiled code is kept on disk, as a pickle, only where NUMBA_CACHE_DIR names a folder for it.
_IS_CACHED = bool(getattr(numba.config, "CACHE_DIR", ""))

_Function = TypeVar("_Function", bound=Callable[..., object])


def _compiled(function: _Function) -> _Function:
    # All numbers are finite until a training diverges, and then its loss says so. Not "reassoc":
    # sums keep their order.
    flags = {"contract", "nnan", "ninf", "nsz"}
    decorate = numba.njit(fastmath=flags, error_model="numpy", nogil=True, cache=_IS_CACHED)
    return cast(_Function, decorate(function))


@_compiled
def _tanh(x: np.float32) -> np.float32:
    x = min(max(x, -_HIGHEST), _HIGHEST)
    u = x * x
    above = (((_P4 * u + _P3) * u + _P2) * u + _P1) * u + _ONE
    below = (((_Q4 * u + _Q3) * u + _Q2) * u + _Q1) * u + _ONE
    return x * above / below


@_compiled
def step_forward(
    gates: Floats, recurrent: Floats, old_c: Floats, c: Floats, h: Floats, tanh_c: Floats
) -> None:
    """See `lstm_steps.step_forward`."""
    streams, units = c.shape
    for b in range(streams):
        z, r = gates[b], recurrent[b]
        i, f, new, o = z[:units], z[units : 2 * units], z[2 * units : 3 * units], z[3 * units :]
        ri, rf = r[:units], r[units : 2 * units]
        rnew, ro = r[2 * units : 3 * units], r[3 * units :]
        # Three loops: in one, the chain of operations is longer than a core looks ahead.
        for j in range(units):
            i[j] = _HALF + _HALF * _tanh(_HALF * (i[j] + ri[j]))
            f[j] = _HALF + _HALF * _tanh(_HALF * (f[j] + rf[j]))
        for j in range(units):
            new[j] = _tanh(new[j] + rnew[j])
            o[j] = _HALF + _HALF * _tanh(_HALF * (o[j] + ro[j]))
        for j in range(units):
            cell = f[j] * old_c[b, j] + i[j] * new[j]
            c[b, j] = cell
            tanh_c[b, j] = _tanh(cell)
            h[b, j] = o[j] * tanh_c[b, j]


@_compiled
def step_backward(
    gates: Floats, old_c: Floats, tanh_c: Floats, d_h: Floats, d_output: Floats, d_c: Floats
) -> None:
    """See `lstm_steps.step_backward`."""
    streams, units = old_c.shape
    for b in range(streams):
        z = gates[b]
        i, f, new, o = z[:units], z[units : 2 * units], z[2 * units : 3 * units], z[3 * units :]
        for j in range(units):
            d, t, out = d_h[b, j] + d_output[b, j], tanh_c[b, j], o[j]
            d_c[b, j] += d * out * (_ONE - t * t)
            o[j] = d * t * out * (_ONE - out)
        for j in range(units):
            enter, forget, candidate, d = i[j], f[j], new[j], d_c[b, j]
            i[j] = d * candidate * enter * (_ONE - enter)
            f[j] = d * old_c[b, j] * forget * (_ONE - forget)
            new[j] = d * enter * (_ONE - candidate * candidate)
            d_c[b, j] = d * forget

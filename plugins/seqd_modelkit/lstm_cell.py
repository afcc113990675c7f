"""The LSTM cell, compiled by Numba: its activations, its gates, and the matrix product.

A cell (Hochreiter & Schmidhuber 1997; forget gate of Gers et al. 2000) of u units turns an input x
and the states h, c into the next states. Its gates lie side by side in Keras's order i, f, g, o:

    z = x W + h U + b                    pre-activations (4 u,)
    i, f, o = sigmoid(z_i, z_f, z_o)     input, forget and output gate
    g = tanh(z_g)                        candidate
    c' = f c + i g,  h' = o tanh(c')

Two sigmoids are offered: `sigmoid`, which is a little faster, and `keras_sigmoid`, which stays near
Keras over hundreds of steps.

Each function here works on one row of a batch, or on blocks of four rows, float32 throughout, and
is inlined into the loops over time of `lstm_serving` and `lstm_training`. Sums keep one order
whatever runs beside a row: results do not depend on the batch, to the last bit.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from seqd_modelkit.kept_kernels import keep

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
Lanes = tuple[Floats, Floats, Floats, Floats]

#: Rows, and rows of the matrix, that `add_product` multiplies together.
LANES: Final = 4
DEPTH: Final = 4

#: A vector that lies across two cache lines takes twice as long to load.
_CACHE_LINE_BYTES: Final = 64

_F = np.float32
ZERO: Final = _F(0.0)
HALF: Final = _F(0.5)
ONE: Final = _F(1.0)

#: tanh(x) is about x P(x²) / Q(x²), fitted for the least relative error on [-9, 9], which is 2e-8
#: before rounding. Beyond 9 it is 1 in float32.
_TANH_LIMIT: Final = _F(9.0)
_P1, _P2 = _F(0.13381025195121765), _F(0.003495587967336178)
_P3, _P4 = _F(2.060908082057722e-05), _F(1.335466137675212e-08)
_Q1, _Q2 = _F(0.4671434164047241), _F(0.025876982137560844)
_Q3, _Q4 = _F(0.0003285634738858789), _F(7.776557278328149e-07)

#: Range of x/2 in `keras_sigmoid`: above, the sigmoid is 1 in float32; below, e^(x/2) would leave
#: the float32 numbers, and its square, 1e-38, is 0 to any gate.
_LOWEST, _HIGHEST = _F(-43.5), _F(8.3177662)
#: e^y is 2^m e^r, where m is the integer nearest to y / ln 2, and r = y - m ln 2.
_LOG2_E = _F(1.44269504088896341)
#: ln 2 in two parts, the first with so few digits that its product with m is exact.
_LN2_HIGH, _LN2_LOW = _F(0.693359375), _F(-2.12194440e-4)
#: Adding 1.5 · 2^23 leaves the nearest integer in the low bits of a float32.
_ROUND = _F(12_582_912.0)
#: e^r is about 1 + r + r² (E2 + E3 r + E4 r² + E5 r³), TensorFlow's coefficients.
_E2, _E3 = _F(0.49999141693115234375), _F(0.16666877269744873046875)
_E4, _E5 = _F(4.1898667812347412109375e-2), _F(8.33471305668354034423828125e-3)
#: The bits of a float32: 23 of mantissa, and an exponent that is 127 for 2^0.
_MANTISSA_BITS = np.int32(23)
_ONE_AS_BITS = np.int32(127 << 23)

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(
    function: _Function,
    *,
    all_finite: bool = True,
    inlined: bool = False,
    called_from_python: bool = False,
) -> _Function:
    """Compile a kernel, without any freedom to change the order of sums ("reassoc").

    `all_finite` promises that no number is infinite or NaN, so that min and max are one instruction
    each. `inlined` writes a function with one caller into it: a quarter less to compile in all; the
    caller's promise then holds for it too. Only a function that is `called_from_python` gets the
    wrapper for it, and is kept on disk: see `kept_kernels`.
    """
    # contract: a product and a sum may be one instruction.
    flags = {"contract", "nnan", "ninf", "nsz"} if all_finite else {"contract"}
    # Without wrappers that only a call from outside needs, compiling takes a third less time. Numba
    # documents these two options, and has no types for them.
    decorate = numba.njit(  # type: ignore[call-overload]
        fastmath=flags,
        error_model="numpy",
        nogil=True,
        inline="always" if inlined else "never",
        no_cpython_wrapper=not called_from_python,
        no_cfunc_wrapper=True,
    )
    kernel = decorate(function)
    if called_from_python:
        keep(kernel)
    return cast(_Function, kernel)


def aligned_zeros(*shape: int) -> Floats:
    """Return zeros that begin at a cache line."""
    size_bytes = 4 * int(np.prod(shape))
    memory = np.zeros(size_bytes + _CACHE_LINE_BYTES, dtype=np.uint8)
    offset = -memory.ctypes.data % _CACHE_LINE_BYTES
    return memory[offset : offset + size_bytes].view(np.float32).reshape(shape)


def aligned(array: Floats) -> Floats:
    """Return a copy that begins at a cache line."""
    copy = aligned_zeros(*array.shape)
    copy[:] = array
    return copy


def in_depths(matrix: Floats, columns: int) -> Floats:
    """Lay a matrix out as `add_product` reads it: (rows / DEPTH, DEPTH, columns), zeros added."""
    depths = aligned_zeros(-(-len(matrix) // DEPTH), DEPTH, columns)
    depths.reshape(-1, columns)[: len(matrix), : matrix.shape[1]] = matrix
    return depths


@compiled
def tanh(x: np.float32) -> np.float32:
    """Return tanh(x), up to 4e-7 off."""
    x = min(max(x, -_TANH_LIMIT), _TANH_LIMIT)
    u = x * x
    above = (((_P4 * u + _P3) * u + _P2) * u + _P1) * u + ONE
    below = (((_Q4 * u + _Q3) * u + _Q2) * u + _Q1) * u + ONE
    return x * above / below


@compiled
def sigmoid(half: np.float32) -> np.float32:
    """Return the sigmoid of x = 2 `half` by the identity (1 + tanh(x/2)) / 2."""
    return HALF * tanh(half) + HALF


@compiled
def keras_sigmoid(half: np.float32) -> np.float32:
    """Return the sigmoid of x = 2 `half` with the rounding errors of TensorFlow's float32 sigmoid.

    That is e^(x/2) squared, over one more than it, with a polynomial of degree 5 for e^r. It is up
    to 5e-7 off, in relation to the true value, and always to the same side at the same x, so the
    errors of 500 steps add up. Of 5,000 reviews and the tutorial's network, `model.predict` is
    thereby up to 1.4e-5 from the same sums in double precision. A kernel with a better sigmoid is
    1.3e-5 to 1.9e-5 from Keras on the review that is nearest to chaos; with this one all reviews
    are within 2e-6.
    """
    y = min(max(half, _LOWEST), _HIGHEST)
    rounded = y * _LOG2_E + _ROUND
    m = rounded - _ROUND
    r = y - m * _LN2_HIGH
    r = r - m * _LN2_LOW
    square = r * r
    e = square * (r * (square * _E5 + _E3) + (square * _E4 + _E2)) + (r + ONE)
    power = (np.float32(rounded).view(np.int32) << _MANTISSA_BITS) + _ONE_AS_BITS
    e *= np.int32(power).view(np.float32)
    e *= e
    return e / (ONE + e)


@compiled
def copy(source: Floats, target: Floats) -> None:
    """Copy one row."""
    for j in range(source.shape[0]):
        target[j] = source[j]


@compiled
def add_product(matrix: Floats, x: Lanes, z: Lanes, tiles: int) -> None:
    """Add x @ matrix to z for the first `tiles` rows of each of four lanes.

    `matrix` is (depths, DEPTH, columns), see `in_depths`; each of `x` is (tiles, DEPTH · depths)
    and each of `z` (tiles, columns). Lanes are arrays of their own, since the compiler must know
    that none overlaps. Four rows by four depths are written out, so that each number that is
    loaded is used four times; the innermost loop becomes vector instructions.
    """
    x0, x1, x2, x3 = x
    z0, z1, z2, z3 = z
    for depth in range(matrix.shape[0]):
        r0, r1 = matrix[depth, 0], matrix[depth, 1]
        r2, r3 = matrix[depth, 2], matrix[depth, 3]
        k = DEPTH * depth
        for t in range(tiles):
            a0, a1, a2, a3 = z0[t], z1[t], z2[t], z3[t]
            x00, x01, x02, x03 = x0[t, k], x0[t, k + 1], x0[t, k + 2], x0[t, k + 3]
            x10, x11, x12, x13 = x1[t, k], x1[t, k + 1], x1[t, k + 2], x1[t, k + 3]
            x20, x21, x22, x23 = x2[t, k], x2[t, k + 1], x2[t, k + 2], x2[t, k + 3]
            x30, x31, x32, x33 = x3[t, k], x3[t, k + 1], x3[t, k + 2], x3[t, k + 3]
            for j in range(matrix.shape[2]):
                y0, y1, y2, y3 = r0[j], r1[j], r2[j], r3[j]
                a0[j] = (((a0[j] + x00 * y0) + x01 * y1) + x02 * y2) + x03 * y3
                a1[j] = (((a1[j] + x10 * y0) + x11 * y1) + x12 * y2) + x13 * y3
                a2[j] = (((a2[j] + x20 * y0) + x21 * y1) + x22 * y2) + x23 * y3
                a3[j] = (((a3[j] + x30 * y0) + x31 * y1) + x32 * y2) + x33 * y3


@compiled
def add_four_row_product(matrix: Floats, x: Lanes, z: Lanes) -> None:
    """Add x @ matrix to z for four rows, x (DEPTH · depths,) and z (columns,) each.

    The sums of `add_product` with one tile. That one is for wide matrices: at 128 columns its loop
    over tiles costs an eighth of the time.
    """
    x0, x1, x2, x3 = x
    z0, z1, z2, z3 = z
    for depth in range(matrix.shape[0]):
        r0, r1 = matrix[depth, 0], matrix[depth, 1]
        r2, r3 = matrix[depth, 2], matrix[depth, 3]
        k = DEPTH * depth
        x00, x01, x02, x03 = x0[k], x0[k + 1], x0[k + 2], x0[k + 3]
        x10, x11, x12, x13 = x1[k], x1[k + 1], x1[k + 2], x1[k + 3]
        x20, x21, x22, x23 = x2[k], x2[k + 1], x2[k + 2], x2[k + 3]
        x30, x31, x32, x33 = x3[k], x3[k + 1], x3[k + 2], x3[k + 3]
        for j in range(matrix.shape[2]):
            y0, y1, y2, y3 = r0[j], r1[j], r2[j], r3[j]
            z0[j] = (((z0[j] + x00 * y0) + x01 * y1) + x02 * y2) + x03 * y3
            z1[j] = (((z1[j] + x10 * y0) + x11 * y1) + x12 * y2) + x13 * y3
            z2[j] = (((z2[j] + x20 * y0) + x21 * y1) + x22 * y2) + x23 * y3
            z3[j] = (((z3[j] + x30 * y0) + x31 * y1) + x32 * y2) + x33 * y3


@compiled
def add_row_product(matrix: Floats, x: Floats, z: Floats) -> None:
    """Add x @ matrix to z for one row, x (DEPTH · depths,), in the order of the others."""
    for depth in range(matrix.shape[0]):
        r0, r1 = matrix[depth, 0], matrix[depth, 1]
        r2, r3 = matrix[depth, 2], matrix[depth, 3]
        k = DEPTH * depth
        x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
        for j in range(matrix.shape[2]):
            z[j] = (((z[j] + x0 * r0[j]) + x1 * r1[j]) + x2 * r2[j]) + x3 * r3[j]


def compiled_forward(sigmoid_of: Callable[[np.float32], np.float32]) -> Callable[..., None]:
    """Compile the cell's forward pass for training, which keeps activations.

    The function takes one row's `gates` (4 u,), which hold x W + b and become the activated gates,
    `recurrent` (4 u,), which is h U, `old_c` (u,), and writes `c`, `h` and `tanh_c` (u,).
    """

    def forward(
        gates: Floats, recurrent: Floats, old_c: Floats, c: Floats, h: Floats, tanh_c: Floats
    ) -> None:
        units = c.shape[0]
        i, f = gates[:units], gates[units : 2 * units]
        g, o = gates[2 * units : 3 * units], gates[3 * units :]
        r_i, r_f = recurrent[:units], recurrent[units : 2 * units]
        r_g, r_o = recurrent[2 * units : 3 * units], recurrent[3 * units :]
        # Three loops: in one, the chain of operations is longer than a core looks ahead.
        for j in range(units):
            i[j] = sigmoid_of(HALF * (i[j] + r_i[j]))
            f[j] = sigmoid_of(HALF * (f[j] + r_f[j]))
        for j in range(units):
            g[j] = tanh(g[j] + r_g[j])
            o[j] = sigmoid_of(HALF * (o[j] + r_o[j]))
        for j in range(units):
            cell = f[j] * old_c[j] + i[j] * g[j]
            c[j] = cell
            tanh_c[j] = tanh(cell)
            h[j] = o[j] * tanh_c[j]

    # Numbers may be infinite when a training diverges. Inlined: a call costs as much as 30 units.
    return compiled(forward, all_finite=False, inlined=True)


@partial(compiled, all_finite=False, inlined=True)  # see `compiled_forward`
def cell_backward(gates: Floats, old_c: Floats, tanh_c: Floats, d_h: Floats, d_c: Floats) -> None:
    """Go one step back in time with one row: back-propagation through time (Werbos 1990).

    `gates` (4 u,) holds the activated gates and becomes the gradient of the pre-activations z;
    `d_h` (u,) is the gradient of h'; `d_c` (u,) is that of c', and becomes that of c.
    """
    units = d_c.shape[0]
    i, f = gates[:units], gates[units : 2 * units]
    g, o = gates[2 * units : 3 * units], gates[3 * units :]
    for j in range(units):
        d, t, output = d_h[j], tanh_c[j], o[j]
        d_c[j] += d * output * (ONE - t * t)
        o[j] = d * t * output * (ONE - output)
    for j in range(units):
        enter, forget, candidate, d = i[j], f[j], g[j], d_c[j]
        i[j] = d * candidate * enter * (ONE - enter)
        f[j] = d * old_c[j] * forget * (ONE - forget)
        g[j] = d * enter * (ONE - candidate * candidate)
        d_c[j] = d * forget


def halved_sigmoids(units: int) -> Floats:
    """Return the factors (4 u,) of weight columns i, f, g, o: a sigmoid takes x/2, tanh takes x."""
    return np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), units)

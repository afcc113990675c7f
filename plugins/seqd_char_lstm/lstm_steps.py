"""The gates of an LSTM, one step forwards and one back in time, in NumPy.

What `compiled_lstm_steps` does in one pass each; used where there is no Numba, and held against
it by a test. The products with the recurrent kernel are the caller's (`backpropagation`).

Arrays are of (streams, units), gates of (streams, 4 units) in Keras's order: input, forget,
candidate, output.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_HALF, _ONE = np.float32(0.5), np.float32(1.0)


def step_forward(
    gates: Floats, recurrent: Floats, old_c: Floats, c: Floats, h: Floats, tanh_c: Floats
) -> None:
    """Turn gates before their activations into activated ones, and write the next state.

    `recurrent` is h @ recurrent kernel, which is added to `gates`; `c`, `h` and `tanh_c` are
    written.
    """
    units = c.shape[1]
    gates += recurrent
    sigmoids = (slice(0, 2 * units), slice(3 * units, None))
    for part in sigmoids:
        gates[:, part] *= _HALF
    np.tanh(gates, out=gates)
    for part in sigmoids:  # sigmoid(x) is (1 + tanh(x/2)) / 2
        gates[:, part] *= _HALF
        gates[:, part] += _HALF
    i, f, new, o = np.split(gates, 4, axis=1)
    c[:] = f * old_c + i * new
    np.tanh(c, out=tanh_c)
    np.multiply(o, tanh_c, out=h)


def step_backward(
    gates: Floats, old_c: Floats, tanh_c: Floats, d_h: Floats, d_output: Floats, d_c: Floats
) -> None:
    """Turn activated gates into their gradients before the activations, a step back in time.

    `d_h` comes from the step after, `d_output` from the layer above; `d_c` is read and becomes that
    of the step before.
    """
    i, f, new, o = np.split(gates, 4, axis=1)
    d = d_h + d_output
    d_c += d * o * (_ONE - tanh_c * tanh_c)
    d_o = d * tanh_c * o * (_ONE - o)
    d_i = d_c * new * i * (_ONE - i)
    d_f = d_c * old_c * f * (_ONE - f)
    d_new = d_c * i * (_ONE - new * new)
    d_c *= f
    i[:], f[:], new[:], o[:] = d_i, d_f, d_new, d_o

"""First weights as Keras's layers draw them, from a NumPy generator, float64."""

import math

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


def glorot_uniform(random: np.random.Generator, rows: int, columns: int) -> Doubles:
    """Draw (rows, columns) evenly within ±√(6 / (rows + columns)) (Glorot & Bengio 2010)."""
    limit = math.sqrt(6.0 / (rows + columns))
    return random.uniform(-limit, limit, (rows, columns))


def orthogonal(random: np.random.Generator, rows: int, columns: int) -> Doubles:
    """Draw `rows` orthonormal rows (rows, columns), rows ≤ columns (Saxe et al. 2014).

    The signs make them uniform over all directions (Mezzadri 2007).
    """
    q, r = np.linalg.qr(random.normal(size=(columns, rows)))
    return np.asarray((q * np.sign(np.diagonal(r))).T)


def lstm_bias(units: int) -> Doubles:
    """Return (4 u,) zeros, with 1 for forget gates, which begin open (Jozefowicz et al. 2015)."""
    return np.repeat([0.0, 1.0, 0.0, 0.0], units)

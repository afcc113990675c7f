"""Draws the next characters from the model's scores, for many chains at once.

In float64, where probabilities of float32 scores still sum to one. Each row is computed
alone: nothing here depends on what else is in the batch. Called by `writing`.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def draw(
    scores: npt.NDArray[np.float32], temperatures: Floats, uniforms: Floats
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Draw one id for each row of `scores`, unnormalised log-probabilities of (chains, ids).

    `temperatures` and `uniforms` (from [0, 1)) are of (chains,). Temperature 0 takes the most
    probable id, of equals the first. Also gives the ids' natural log-probabilities under the
    model itself, that is at temperature 1, so that they compare across temperatures.
    """
    shifted = scores.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)  # (chains, ids), best is 0
    warm = np.where(temperatures > 0.0, temperatures, 1.0)
    with np.errstate(over="ignore"):  # a tiny temperature sends all but the best to -inf
        weights = np.exp(shifted / warm[:, None])
    cumulated = np.cumsum(weights, axis=1)  # (chains, ids)
    drawn = (cumulated <= uniforms[:, None] * cumulated[:, -1:]).sum(axis=1)
    last = scores.shape[1] - 1  # where rounding carried a uniform up to the very end
    ids = np.where(temperatures > 0.0, np.minimum(drawn, last), shifted.argmax(axis=1))
    rows = np.arange(len(ids))
    return ids, shifted[rows, ids] - np.log(np.exp(shifted).sum(axis=1))

"""The rules by which the next character is drawn, and a NumPy version for many chains at once.

The rules in their order, for one character, all in float64:

1. The model's own probabilities p, of network and n-grams mixed where a version has both. What a
   sample reports is the logarithm of these.
2. `repetition_penalty` r: a character that is among the last `RECENT` before it, read or written,
   counts as p to the power of r. This is the rule of CTRL (Keskar et al. 2019), which divides a
   score by r, in the form that it has for scores below 0, as log-probabilities are.
3. `temperature` t: p to the power of 1/t. At 0 the most probable one is taken, of equals the one
   that comes first in the alphabet, and nothing below counts.
4. `top_k`: only the k most probable ones stay; 0 is all. Of equals the first in the alphabet stays.
5. `top_p`: of these, in their order of probability, only as many stay as it takes to reach this
   share of what step 4 left, one at least; 1 is all.
6. One uniform number picks by cumulated probability, in the order of the alphabet.

Each row is computed alone: nothing depends on what else is in the batch. `compiled_sampling`
follows the same rules where Numba is there; a test holds the two together.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int32]

#: Characters that a repetition penalty looks back on: the loops that greedy writing falls into
#: are rarely longer, and much more would hold every frequent letter.
RECENT: Final = 16


@dataclass(frozen=True)
class Rules:
    """What is the same for all samples of a job."""

    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0


def own_log_probs(
    scores: npt.NDArray[np.float32], ngrams: npt.NDArray[np.floating] | None, share: float
) -> Floats:
    """Turn scores (chains, ids) into natural log-probabilities.

    Where there are `ngrams`, probabilities of (chains, ids), they are mixed in by their share.
    """
    logs: Floats = scores.astype(np.float64)
    logs -= logs.max(axis=1, keepdims=True)
    # cumsum, unlike sum, adds in one order whatever the shape
    logs -= np.log(np.cumsum(np.exp(logs), axis=1)[:, -1:])
    if ngrams is not None and share > 0.0:
        with np.errstate(divide="ignore"):  # n-grams without smoothing may say 0 as well
            logs = np.log((1.0 - share) * np.exp(logs) + share * ngrams)
    return logs


def draw(
    own: Floats, recent: Ids, temperatures: Floats, uniforms: Floats, rules: Rules
) -> npt.NDArray[np.int64]:
    """Draw one id for each row of `own`, log-probabilities of (chains, ids).

    `recent` is (chains, some) ids, -1 where there is none; `temperatures` and `uniforms`, from
    [0, 1), are of (chains,).
    """
    weights = _penalised(own, recent, rules.repetition_penalty)
    best = weights.argmax(axis=1)
    weights -= weights.max(axis=1, keepdims=True)
    warm = np.where(temperatures > 0.0, temperatures, 1.0)
    with np.errstate(over="ignore"):  # a tiny temperature sends all but the best to -inf
        weights = np.exp(weights / warm[:, None])
    if rules.top_k > 0 or rules.top_p < 1.0:
        _keep_best(weights, rules)
    cumulated = np.cumsum(weights, axis=1)  # (chains, ids)
    picked = (cumulated <= uniforms[:, None] * cumulated[:, -1:]).sum(axis=1)
    # Where rounding carries the uniform to the very end, the last that may be.
    last = weights.shape[1] - 1 - (weights[:, ::-1] > 0.0).argmax(axis=1)
    ids: npt.NDArray[np.int64] = np.where(temperatures > 0.0, np.minimum(picked, last), best)
    return ids


def _penalised(own: Floats, recent: Ids, penalty: float) -> Floats:
    weights = own.copy()
    if penalty != 1.0:
        rows, places = np.nonzero(recent >= 0)
        ids = recent[rows, places]
        weights[rows, ids] = own[rows, ids] * penalty
    return weights


def _keep_best(weights: Floats, rules: Rules) -> None:
    """Set the weights to 0 that top-k and then top-p leave out."""
    ids = weights.shape[1]
    ranking = np.argsort(-weights, axis=1, kind="stable")  # (chains, ids)
    ranked = np.take_along_axis(weights, ranking, axis=1)
    limit = rules.top_k if 0 < rules.top_k < ids else ids
    covered = np.cumsum(ranked, axis=1)
    total = covered[:, limit - 1] if limit < ids else np.cumsum(weights, axis=1)[:, -1]
    before = np.concatenate([np.zeros((len(weights), 1)), covered[:, :-1]], axis=1)
    left_out = (before >= rules.top_p * total[:, None]) | (np.arange(ids) >= limit)
    left_out[:, 0] = False
    np.put_along_axis(weights, ranking, np.where(left_out, 0.0, ranked), axis=1)

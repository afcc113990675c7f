"""Sampling of the next symbol: temperature, top-k, top-p and repetition penalty, in NumPy.

For many chains at once; a chain is a text that is being written. In this order, in float64:

1. p are the model's own probabilities. A sample reports log p.
2. `repetition_penalty` r: p to the power of r for a symbol among the `RECENT` before it, of the
   prompt or written. CTRL (Keskar et al. 2019, arXiv 1909.05858) divides logits by r; for
   negative ones, as log-probabilities are, it multiplies.
3. `temperature` t: p to the power of 1/t. At 0 the most probable symbol is taken (greedy decoding),
   of equals the one with the lowest id, and steps 4 to 6 do not apply.
4. `top_k` (Fan et al. 2018): only the k most probable symbols stay, of equals those with lower ids;
   0: all.
5. `top_p` (nucleus sampling, Holtzman et al. 2020): of these only the fewest, the most probable
   first, that hold this share of what step 4 left, at least one; 1: all.
6. One uniform number picks by inverting the cumulative distribution, in the order of ids.

A row's result does not depend on the other rows, to the last bit.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int32]

#: Symbols that a repetition penalty looks back on. The loops of greedy decoding are rarely longer,
#: and of an alphabet a longer memory would hold every frequent letter.
RECENT: Final = 16


@dataclass(frozen=True)
class SamplingRules:
    """What is the same for all samples of a job."""

    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0


def log_probabilities(logits: npt.NDArray[np.float32]) -> Floats:
    """Return natural log-probabilities of logits (chains, ids), float64."""
    logs: Floats = logits.astype(np.float64)
    logs -= logs.max(axis=1, keepdims=True)
    # cumsum, unlike sum, adds in one order whatever the shape
    logs -= np.log(np.cumsum(np.exp(logs), axis=1)[:, -1:])
    return logs


def draw(
    log_probs: Floats, recent: Ids, temperatures: Floats, uniforms: Floats, rules: SamplingRules
) -> npt.NDArray[np.int64]:
    """Return one id for each row of `log_probs` (chains, ids): (chains,).

    `recent` (chains, any) has the ids before, -1 where there is none; `temperatures` and
    `uniforms`, from [0, 1), are (chains,).
    """
    scores = _penalised(log_probs, recent, rules.repetition_penalty)
    best = scores.argmax(axis=1)
    scores -= scores.max(axis=1, keepdims=True)
    positive = np.where(temperatures > 0.0, temperatures, 1.0)
    with np.errstate(over="ignore"):  # a tiny temperature sends all but the best to -inf
        weights = np.exp(scores / positive[:, None])  # (chains, ids), not normalised
    if rules.top_k > 0 or rules.top_p < 1.0:
        _truncate(weights, rules)
    cumulative = np.cumsum(weights, axis=1)  # (chains, ids)
    picked = (cumulative <= uniforms[:, None] * cumulative[:, -1:]).sum(axis=1)
    # Where rounding carries the uniform to the very end, the last id that may be drawn.
    last = weights.shape[1] - 1 - (weights[:, ::-1] > 0.0).argmax(axis=1)
    ids: npt.NDArray[np.int64] = np.where(temperatures > 0.0, np.minimum(picked, last), best)
    return ids


def _penalised(log_probs: Floats, recent: Ids, penalty: float) -> Floats:
    scores = log_probs.copy()
    if penalty != 1.0:
        rows, columns = np.nonzero(recent >= 0)
        ids = recent[rows, columns]
        scores[rows, ids] = log_probs[rows, ids] * penalty
    return scores


def _truncate(weights: Floats, rules: SamplingRules) -> None:
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

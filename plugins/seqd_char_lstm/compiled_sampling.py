"""Draws one character from its logits, compiled by Numba: the rules of `sampling`, for one chain.

`sampling` says what the rules are, and follows them in NumPy; a test holds the two together. In
float64.
"""

import math
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seqd_modelkit.lstm_cell import Floats, Ids, compiled

Doubles = npt.NDArray[np.float64]


class Choosing(NamedTuple):
    """What is the same for all chains: see `sampling.SamplingRules`."""

    top_k: int
    top_p: float
    repetition_penalty: float


class Scratch(NamedTuple):
    """Memory for one draw at a time, (ids,) each."""

    own: Doubles  # natural log-probabilities of the model itself
    weights: Doubles
    ranking: Ids


#: No promise that all is finite: a tiny temperature sends all but the best to -inf.
_compiled = partial(compiled, all_finite=False)


@_compiled
def find_own(logits: Floats, own: Doubles) -> None:
    """Turn logits (ids or more) into log-probabilities."""
    best = np.float64(logits[0])
    for v in range(own.shape[0]):
        best = max(best, np.float64(logits[v]))
    total = 0.0
    for v in range(own.shape[0]):
        own[v] = np.float64(logits[v]) - best
        total += math.exp(own[v])
    log_total = math.log(total)
    for v in range(own.shape[0]):
        own[v] -= log_total


@_compiled
def draw(
    choosing: Choosing, scratch: Scratch, recent: Ids, temperature: float, uniform: float
) -> int:
    """Draw an id by the rules; `scratch.own` is filled, `recent` has -1 where there is nothing."""
    own, weights = scratch.own, scratch.weights
    for v in range(own.shape[0]):
        weights[v] = own[v]
    if choosing.repetition_penalty != 1.0:
        for n in range(recent.shape[0]):
            if recent[n] >= 0:
                weights[recent[n]] = own[recent[n]] * choosing.repetition_penalty
    best = 0
    for v in range(1, own.shape[0]):
        if weights[v] > weights[best]:
            best = v
    if temperature == 0.0:
        return best
    highest = weights[best]
    for v in range(own.shape[0]):
        weights[v] = math.exp((weights[v] - highest) / temperature)
    if choosing.top_k > 0 or choosing.top_p < 1.0:
        _keep_best(choosing, weights, scratch.ranking)
    return _pick(weights, uniform)


@_compiled
def _pick(weights: Doubles, uniform: float) -> int:
    total = 0.0
    for v in range(weights.shape[0]):
        total += weights[v]
    cumulated, picked = 0.0, 0
    for v in range(weights.shape[0]):
        if weights[v] > 0.0:
            picked = v  # where rounding carries the uniform to the very end, the last that may be
            cumulated += weights[v]
            if cumulated > uniform * total:
                break
    return picked


@_compiled
def _keep_best(choosing: Choosing, weights: Doubles, ranking: Ids) -> None:
    """Set the weights to 0 that top-k and then top-p leave out.

    `ranking` is a heap, the best in front; the n-th best is moved to place -n.
    """
    ids = weights.shape[0]
    for v in range(ids):
        ranking[v] = v
    for n in range(ids // 2):
        _sift(weights, ranking, ids // 2 - 1 - n, ids)
    ranked, limit = 0, ids
    total = 0.0
    if 0 < choosing.top_k < ids:
        limit = choosing.top_k
        for ranked in range(limit):
            total += weights[_next_best(weights, ranking, ids - ranked)]
        ranked = limit
    else:
        for v in range(ids):
            total += weights[v]
    kept, covered = 0, 0.0
    while kept < limit and (kept == 0 or covered < choosing.top_p * total):
        if kept == ranked:
            _next_best(weights, ranking, ids - ranked)
            ranked += 1
        covered += weights[ranking[ids - 1 - kept]]
        kept += 1
    for n in range(ids - kept):
        weights[ranking[n]] = 0.0


@_compiled
def _next_best(weights: Doubles, ranking: Ids, size: int) -> int:
    """Move the best of a heap of `size` behind its end, and give its id."""
    best: int = ranking[0]
    ranking[0] = ranking[size - 1]
    ranking[size - 1] = best
    _sift(weights, ranking, 0, size - 1)
    return best


@_compiled
def _sift(weights: Doubles, ranking: Ids, top: int, size: int) -> None:
    """Let the id at `top` of a heap sink to its place; of equal weights the lower id wins."""
    while 2 * top + 1 < size:
        child = 2 * top + 1
        if child + 1 < size and _is_before(weights, ranking[child + 1], ranking[child]):
            child += 1
        if not _is_before(weights, ranking[child], ranking[top]):
            return
        ranking[top], ranking[child] = ranking[child], ranking[top]
        top = child


@_compiled
def _is_before(weights: Doubles, one: int, other: int) -> bool:
    return weights[one] > weights[other] or (weights[one] == weights[other] and one < other)

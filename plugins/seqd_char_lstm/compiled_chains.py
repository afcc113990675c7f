"""Lets a block of chains read and write some characters in one call, compiled by Numba.

A chain is a text under way. Of a version that reads a stream it is one row of `compiled_panels`; of
one that reads windows it is `window` rows, the windows that overlap at this point, of which one is
complete at each character and begins anew. Characters that are given are read, the others drawn:
reading a prompt, measuring a text and writing are the same loop. Called by `compiled_forward`.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seqd_char_lstm.compiled_panels import Arrays, Floats, Ids, Rows, compiled, step
from seqd_char_lstm.compiled_sampling import Choosing, Doubles, Scratch, draw, find_own

Places = npt.NDArray[np.int64]


class Mixture(NamedTuple):
    """The n-gram model beside the network; of no cells where its share is 0."""

    share: float
    probabilities: Floats  # (states, ids)
    following: Ids  # (states, ids)


class Marks(NamedTuple):
    """What a chain has beside its rows."""

    states: Ids  # (chains,) of the n-gram model
    recent: Ids  # (chains, some), the last characters, at their number modulo some; -1 for none


class Task(NamedTuple):
    """What is to be done."""

    given: Ids  # (chains, steps), -1 where a character is to be drawn
    starts: Places  # (chains,), step at which a chain begins, in rising order
    temperatures: Doubles  # (chains,)
    uniforms: Doubles  # (chains, steps)
    window: int  # 0 of a version that reads a stream
    clock: int  # steps that the block has taken before


@partial(compiled, called_once=True)
def _advance(arrays: Arrays, rows: Rows, ids: Ids, task: Task, clock: int, scratch: Ids) -> None:
    """Let the first chains read `ids` (chains,), and score what follows.

    `scratch` is (2, rows); its second row is zeros.
    """
    width = max(task.window, 1)
    newest = clock % width
    if task.window > 0:
        for chain in range(ids.shape[0]):
            row = chain * width + newest
            rows.h[row] = np.float32(0.0)
            rows.c[0, row] = np.float32(0.0)
    count = ids.shape[0] * width
    for row in range(count):
        scratch[0, row] = ids[row // width]
    step(arrays, rows, scratch[0, :count], scratch[1, :count], width, (clock + 1) % width)


def _run(
    arrays: Arrays,
    rows: Rows,
    mixture: Mixture,
    marks: Marks,
    choosing: Choosing,
    task: Task,
    scratch: Scratch,
    row_ids: Ids,
    ids: Ids,
    log_probs: Doubles,
) -> None:
    """Fill `ids` and `log_probs` (chains, steps); the chains have then read all of these.

    `row_ids` is what `_advance` scratches in.
    """
    active = 0
    current = np.empty(task.given.shape[0], np.int32)
    for place in range(task.given.shape[1]):
        while active < task.starts.shape[0] and task.starts[active] <= place:
            active += 1
        for chain in range(active):
            state = marks.states[chain]
            find_own(
                rows.scores[chain],
                mixture.probabilities[state],
                mixture.share,
                scratch.own,
            )
            id_ = task.given[chain, place]
            if id_ < 0:
                id_ = draw(
                    choosing,
                    scratch,
                    marks.recent[chain],
                    task.temperatures[chain],
                    task.uniforms[chain, place],
                )
            ids[chain, place] = current[chain] = id_
            log_probs[chain, place] = scratch.own[id_]
            marks.recent[chain, (task.clock + place) % marks.recent.shape[1]] = id_
            if mixture.share > 0.0:
                marks.states[chain] = mixture.following[state, id_]
        _advance(arrays, rows, current[:active], task, task.clock + place, row_ids)


run = compiled(_run, called_from_python=True)

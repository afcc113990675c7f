"""Writes text with the model, character by character, for many chains at once.

Knows neither items nor jobs: prompts are windows of ids, chains are rows. Called by
`generation` for clients and by `training` for the samples after an epoch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqd.errors import Stopped
from seqd_char_lstm.forward import Folded, Wavefront
from seqd_char_lstm.sampling import draw
from seqd_char_lstm.text import Ids

#: Characters that are handed over together, and random numbers drawn together.
PIECE_CHARACTERS = 64


@dataclass(frozen=True)
class Piece:
    """The next characters of all chains: (chains, characters) ids and log-probabilities."""

    ids: npt.NDArray[np.int64]
    log_probs: npt.NDArray[np.float64]


def read_prompts(folded: Folded, prompts: Ids, stop_requested: Callable[[], bool]) -> Wavefront:
    """Read (prompts, window) ids into a wavefront with one chain for each prompt.

    Raises Stopped when `stop_requested` turned true.
    """
    wavefront = Wavefront(folded, prompts.shape[1], len(prompts))
    for ids in prompts.T:
        _heed(stop_requested)
        wavefront.read(ids)
    return wavefront


def write(
    wavefront: Wavefront,
    temperatures: Sequence[float],
    streams: Sequence[np.random.Generator],
    length: int,
    stop_requested: Callable[[], bool],
) -> Iterator[Piece]:
    """Go on from a wavefront for `length` characters, a piece at a time.

    Each chain has its temperature and its random stream. A shorter text of the same stream
    is the beginning of a longer one. Raises Stopped within one character.
    """
    warmth = np.array(temperatures, np.float64)
    for first in range(0, length, PIECE_CHARACTERS):
        uniforms = np.stack([stream.random(PIECE_CHARACTERS) for stream in streams], axis=1)
        characters = min(PIECE_CHARACTERS, length - first)
        ids = np.empty((len(streams), characters), np.int64)
        log_probs = np.empty((len(streams), characters))
        for place in range(characters):
            _heed(stop_requested)
            ids[:, place], log_probs[:, place] = draw(wavefront.scores(), warmth, uniforms[place])
            wavefront.read(ids[:, place])
        yield Piece(ids, log_probs)


def _heed(stop_requested: Callable[[], bool]) -> None:
    if stop_requested():
        raise Stopped("The writing was stopped before its end; there is no result.")

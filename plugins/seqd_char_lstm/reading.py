"""Reads a text with a version and says how probable each of its characters was.

In natural logarithms, each character given all before it. Knows neither jobs nor files. Called by
the trainings after each epoch and by `generation` for `measure`.

A text that is read by a version with carried states is one long sequence, and a core computes
one at a fifth of the speed of many. So a text of more than `_EXACT_CHARACTERS` is cut into up to
`_PARTS` parts that are read side by side, each after the `_WARM_UP` characters before it, which
are read and not counted. Of a network of 512 units (1.834 bits a character) over the last 60,090
characters of its book, the mean of all was 1e-8 off by that, and no single one by more than 0.001;
after 64 characters 1e-5 and 0.2. For a version that reads windows the parts are exact: it forgets
what is before its window.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np

from seqd_char_lstm.artifact import Version
from seqd_char_lstm.chains import Doubles, Engine, Ids
from seqd_char_lstm.engine import engine_for
from seqd_char_lstm.pacing import Crew, Pace, shared_out
from seqd_char_lstm.text import UNKNOWN, Alphabet
from seqd_char_lstm.writing import BLOCK_ROWS

_PARTS: Final = 32
_EXACT_CHARACTERS: Final = 2_048
_WARM_UP: Final = 512


def read_log_probs(
    version: Version, ids: Ids, stop_requested: Callable[[], bool], threads: int = 1
) -> Doubles:
    """Give the log-probability of each id (characters,), under the version's network alone.

    The text is read after the version's lead-in. UNKNOWN is not read, and is NaN. Raises Stopped.
    """
    known = ids != UNKNOWN
    log_probs = np.full(len(ids), np.nan)
    if known.any():
        log_probs[known] = _read(version, ids[known], stop_requested, threads)
    return log_probs


def mixed(version: Version, ids: Ids, network: Doubles) -> tuple[Doubles, Doubles]:
    """Give log-probabilities under the mixture, and under the n-grams alone, of known ids.

    `network` is what `read_log_probs` gave for them; the version has n-grams.
    """
    ngrams = ngram_log_probs(version, ids)
    share = version.config.ngram_share
    return np.logaddexp(np.log1p(-share) + network, np.log(share) + ngrams), ngrams


def ngram_log_probs(version: Version, ids: Ids) -> Doubles:
    """Give log-probabilities under the n-grams alone, of known ids; the version has n-grams."""
    assert version.ngrams is not None
    lead_in = _lead_in(version)
    return version.ngrams.log_probs(np.concatenate([lead_in, ids]))[len(lead_in) :]


class _Part:
    """A stretch of the text, with what is read before it and not counted."""

    def __init__(self, text: Ids, first: int, begin: int, end: int) -> None:
        """Numbers are places in `text`: what is read first, what counts first, and the end."""
        self.ids = text[first:end]
        self._warm_up = begin - first
        self._read: list[Doubles] = []

    def take(self, log_probs: Doubles) -> None:
        """Keep what was read next; there may be more, behind the end."""
        self._read.append(log_probs)

    def log_probs(self) -> Doubles:
        """Give those that count."""
        return np.concatenate(self._read)[self._warm_up : len(self.ids)]


class _Block:
    """Parts that are read together, all from the first step on."""

    def __init__(self, forward: Engine, parts: Sequence[_Part]) -> None:
        self._parts = parts
        self._chains = forward.chains(len(parts))
        self.steps = max(len(part.ids) for part in parts)
        self._ids = np.zeros((len(parts), self.steps), np.int32)  # any id behind a part's end
        for row, part in enumerate(parts):
            self._ids[row, : len(part.ids)] = part.ids

    def read(self, first: int, steps: int) -> None:
        """Read the next steps."""
        ids = np.ascontiguousarray(self._ids[:, first : first + steps])
        piece = self._chains.read(ids, np.zeros(len(ids), np.int64))
        for row, part in enumerate(self._parts):
            part.take(piece.log_probs[row])


def _parts(version: Version, ids: Ids) -> list[_Part]:
    lead_in = _lead_in(version)
    text = np.concatenate([lead_in, ids]).astype(np.int32)
    count = 1 if len(ids) <= _EXACT_CHARACTERS else _PARTS
    bounds = [len(lead_in) + len(ids) * n // count for n in range(count + 1)]
    warm_up = version.config.window or (_WARM_UP if count > 1 else len(lead_in))
    return [_Part(text, max(begin - warm_up, 0), begin, end) for begin, end in pairwise(bounds)]


def _read(version: Version, ids: Ids, stop_requested: Callable[[], bool], threads: int) -> Doubles:
    parts, rows = _parts(version, ids), version.config.window or 1
    forward = engine_for(Version(version.config, version.weights))
    shares = shared_out(len(parts), threads, max(1, BLOCK_ROWS // rows))
    blocks = [_Block(forward, [parts[n] for n in share]) for share in shares]
    pace = Pace(stop_requested, "The reading")
    done, steps = 0, max(block.steps for block in blocks)
    with Crew(threads) as crew:
        while done < steps:
            stretch = pace.next_steps()
            crew.each(partial(_Block.read, first=done, steps=stretch), blocks)
            done += stretch
    return np.concatenate([part.log_probs() for part in parts])


def _lead_in(version: Version) -> Ids:
    return Alphabet(version.config.alphabet).encode(version.config.lead_in)

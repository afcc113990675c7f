"""How well a version predicts a text: log-probabilities, and bits per character.

In natural logarithms, each character given all before it; bits per character are
-mean(log p) / ln 2, the binary logarithm of the perplexity.

A version that carries its states reads a text as one long sequence, and a core computes one at a
fifth of the speed of many. So a text of more than `_EXACT_CHARACTERS` is cut into up to `_SEGMENTS`
segments that are read side by side, each after the `_WARM_UP` characters before it, which are read
and not counted. Of a network of 512 units (1.834 bits per character) over the last 60,090
characters of its book, that moved the mean by 1e-8, and no single log-probability by more than
0.001; after 64 characters 1e-5 and 0.2. For a version that reads windows the segments are exact: it
sees nothing before its window.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np

from seqd.errors import InvalidData, Stopped
from seqd_char_lstm.artifact import Version
from seqd_char_lstm.chains import Doubles, Engine, Ids
from seqd_char_lstm.data import UNKNOWN, Alphabet
from seqd_char_lstm.decoding import BLOCK_ROWS, ChunkSizes, ThreadMap, split_evenly
from seqd_char_lstm.engine import engine_for

_SEGMENTS: Final = 32
_EXACT_CHARACTERS: Final = 2_048
_WARM_UP: Final = 512


class ValidationText:
    """A text that is held out and validated on.

    What the training text lacks is not read, and in no mean; `unknown_share` says how much that is.
    """

    def __init__(self, ids: Ids, threads: int) -> None:
        """Take ids with UNKNOWN among them. Raises InvalidData when nothing else is there."""
        self._ids: Final[Ids] = ids[ids != UNKNOWN]
        self._threads: Final = threads
        if not len(self._ids):
            raise InvalidData(
                f"The held-out text has {len(ids):,} characters, and none that the training text "
                "also has. Hold out a longer part of the same kind."
            )
        self._unknown_share: Final = 1.0 - len(self._ids) / len(ids)

    def network_metrics(
        self, version: Version, stop_requested: Callable[[], bool]
    ) -> dict[str, float]:
        """Return loss and bits per character of the version's network. Raises Stopped."""
        return self._loss_metrics(version.network_alone(), stop_requested)

    def all_metrics(self, version: Version, stop_requested: Callable[[], bool]) -> dict[str, float]:
        """Return the metrics of what the version serves, and of its parts. Raises Stopped."""
        metrics = self._loss_metrics(version, stop_requested)
        parts = bits_of_parts(version, self._ids, stop_requested, self._threads)
        metrics |= {f"{part}_validation_bits_per_char": bits for part, bits in parts.items()}
        return metrics | {"unknown_share": self._unknown_share}

    def _loss_metrics(
        self, version: Version, stop_requested: Callable[[], bool]
    ) -> dict[str, float]:
        bits = bits_per_char(read_log_probs(version, self._ids, stop_requested, self._threads))
        return {"validation_loss": bits * math.log(2.0), "validation_bits_per_char": bits}


def bits_of_parts(
    version: Version, ids: Ids, stop_requested: Callable[[], bool], threads: int
) -> dict[str, float]:
    """Return the bits per character of `network` and `mixing` alone, where there are both."""
    if version.mixture is None:
        return {}
    network = read_log_probs(version.network_alone(), ids, stop_requested, threads)
    check_stop = partial(_check_stop, stop_requested)
    lead_in = _lead_in(version)
    reader = version.mixture.reader(check_stop, adapts=False)
    mixture = reader.log_probs(np.concatenate([lead_in, ids]))[len(lead_in) :]
    return {"network": bits_per_char(network), "mixing": bits_per_char(mixture)}


def _check_stop(stop_requested: Callable[[], bool]) -> None:
    if stop_requested():
        raise Stopped("The reading was stopped before its end; there is no result.")


def bits_per_char(log_probs: Doubles) -> float:
    """Return the mean code length in bits, from natural log-probabilities (characters,)."""
    return float(-log_probs.mean() / math.log(2.0))


def read_log_probs(
    version: Version, ids: Ids, stop_requested: Callable[[], bool], threads: int = 1
) -> Doubles:
    """Return the log-probability of each id (characters,), under the version.

    The text is read after the version's lead-in. UNKNOWN is not read, and is NaN. Raises Stopped.
    """
    known = ids != UNKNOWN
    log_probs = np.full(len(ids), np.nan)
    if known.any():
        log_probs[known] = _read_known(version, ids[known], stop_requested, threads)
    return log_probs


def _read_known(
    version: Version, ids: Ids, stop_requested: Callable[[], bool], threads: int
) -> Doubles:
    segments, rows = _segments(version, ids), version.config.window or 1
    engine = engine_for(version)
    shares = split_evenly(len(segments), threads, max(1, BLOCK_ROWS // rows))
    blocks = [_Block(engine, [segments[n] for n in share]) for share in shares]
    chunks = ChunkSizes(stop_requested, "The reading")
    done, steps = 0, max(block.steps for block in blocks)
    with ThreadMap(threads) as pool:
        while done < steps:
            chunk = chunks.next_steps()
            pool.map(partial(_Block.read, first=done, steps=chunk), blocks)
            done += chunk
    return np.concatenate([segment.log_probs() for segment in segments])


def _segments(version: Version, ids: Ids) -> list["_Segment"]:
    lead_in = _lead_in(version)
    text = np.concatenate([lead_in, ids]).astype(np.int32)
    count = 1 if len(ids) <= _EXACT_CHARACTERS else _SEGMENTS
    bounds = [len(lead_in) + len(ids) * n // count for n in range(count + 1)]
    warm_up = version.config.window or (_WARM_UP if count > 1 else len(lead_in))
    return [_Segment(text, max(begin - warm_up, 0), begin, end) for begin, end in pairwise(bounds)]


class _Segment:
    """A segment of the text, with what is read before it and not counted."""

    def __init__(self, text: Ids, first: int, begin: int, end: int) -> None:
        """Take indices into `text`: what is read first, what counts first, and the end."""
        self.ids = text[first:end]
        self._warm_up = begin - first
        self._read: list[Doubles] = []

    def add(self, log_probs: Doubles) -> None:
        """Keep what was read next; there may be more, behind the end."""
        self._read.append(log_probs)

    def log_probs(self) -> Doubles:
        """Return those that count."""
        return np.concatenate(self._read)[self._warm_up : len(self.ids)]


class _Block:
    """Segments that are read together, all from the first step on."""

    def __init__(self, engine: Engine, segments: Sequence[_Segment]) -> None:
        self._segments = segments
        self._chains = engine.chains(len(segments))
        self.steps = max(len(segment.ids) for segment in segments)
        self._ids = np.zeros((len(segments), self.steps), np.int32)  # any id behind an end
        for row, segment in enumerate(segments):
            self._ids[row, : len(segment.ids)] = segment.ids

    def read(self, first: int, steps: int) -> None:
        """Read the next steps."""
        ids = np.ascontiguousarray(self._ids[:, first : first + steps])
        read = self._chains.read(ids, np.zeros(len(ids), np.int64))
        for row, segment in enumerate(self._segments):
            segment.add(read.log_probs[row])


def _lead_in(version: Version) -> Ids:
    return Alphabet(version.config.alphabet).encode(version.config.lead_in)

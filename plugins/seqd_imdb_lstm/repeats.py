"""Finds the records of a training set that say the same words, and whether they agree.

Called by `corpus` as it reads. Keeps eight bytes a record, whatever its length.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from seqd_imdb_lstm.classes import Targets

_DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class Repeats:
    """What is said more than once."""

    #: Records with the words and the label of an earlier one.
    agreeing: int = 0
    #: Texts that stand under more than one label, each counted once.
    contradicted: int = 0
    #: Two records of one such text, by their rows; None without any.
    example: tuple[int, int] | None = None


class RepeatFinder:
    """Takes records' words one by one."""

    def __init__(self) -> None:
        self._digests = array("Q")

    def add(self, words: Sequence[bytes]) -> None:
        """Take a record's words."""
        # 64 bits: among ten million records two of other words meet with a chance of 3e-6.
        digest = blake2b(b" ".join(words), digest_size=_DIGEST_BYTES).digest()
        self._digests.append(int.from_bytes(digest, "little"))

    def found(self, targets: Targets) -> Repeats:
        """Compare all records; `targets` are their classes, in the same order."""
        digests = np.frombuffer(self._digests, dtype=np.uint64)
        order = np.lexsort((targets, digests))  # stable: of equal ones the first comes first
        digests, targets = digests[order], targets[order]
        again = digests[1:] == digests[:-1]
        contradicts = again & (targets[1:] != targets[:-1])
        text_of_row = np.cumsum(~again)
        pairs = np.flatnonzero(contradicts)
        example = None
        if len(pairs):
            first = pairs[np.argmin(order[pairs])]
            one, other = sorted(order[first : first + 2].tolist())
            example = (one, other)
        return Repeats(
            agreeing=int(np.count_nonzero(again & ~contradicts)),
            contradicted=len(np.unique(text_of_row[pairs])),
            example=example,
        )

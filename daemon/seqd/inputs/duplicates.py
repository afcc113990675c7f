"""Finds an identifier that a job uses twice, among millions, in about 8 bytes an identifier.

A set of strings would take 100 bytes and more for each. Kept instead is a 64-bit hash of
every identifier, in sorted runs that grow by merging. Used wherever a job's items are read
from their start; knows nothing of where they come from.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from seqd.errors import DuplicateCustomId
from seqd_schemas import Item, RefusedItem

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Hashes = npt.NDArray[np.int64]

#: Identifiers that are kept as they are before they are hashed and sorted, all at once.
BATCH_IDS = 65_536

#: Hashes in a run that is merged no further, so that merging needs 16 MiB at the most.
MAX_RUN_HASHES = 2**20


def refuse_duplicates(entries: Iterable[Item | RefusedItem]) -> Iterator[Item | RefusedItem]:
    """Pass entries through; raise DuplicateCustomId at most `BATCH_IDS` entries after the second.

    The last ones are checked when `entries` ends.
    """
    guard = DuplicateGuard()
    for entry in entries:
        guard.add(entry.custom_id)
        yield entry
    guard.finish()


class DuplicateGuard:
    """Takes identifiers one by one; `finish` must be called after the last.

    Two different identifiers are taken for the same with a probability of n²/2⁶⁵: three in
    a million for a job of 10 M. Hashes are Python's own (SipHash with a random key), so that
    nobody can make identifiers that collide, and good within one process only.
    """

    def __init__(self, first_index: int = 0) -> None:
        """`first_index` is the number of entries in front of the first that is taken."""
        self._pending: dict[str, int] = {}
        self._runs: list[Hashes] = []
        self._count = first_index
        self._other = "an earlier entry"

    def add(self, custom_id: str) -> None:
        """Take one more identifier. Raises DuplicateCustomId, perhaps for an earlier one."""
        self._count += 1
        first = self._pending.setdefault(custom_id, self._count)
        if first != self._count:
            raise _duplicate(custom_id, f"entry {first:,}", self._count)
        if len(self._pending) >= BATCH_IDS:
            self._flush()

    def finish(self) -> None:
        """Check those that are still waiting. Raises DuplicateCustomId."""
        # Of what is pending, no two are the same: a dict holds it.
        if self._runs:
            self._flush()

    def go_back(self) -> None:
        """Take the entries in front of the others next. Raises DuplicateCustomId."""
        self._flush()
        self._count, self._other = 0, "a later entry"

    def _flush(self) -> None:
        if not self._pending:
            return
        import numpy as np  # 0.1 s, paid only by a job of more than a batch

        count = len(self._pending)
        hashes = np.fromiter(map(hash, self._pending), dtype=np.int64, count=count)  # (batch,)
        hashes.sort()
        for run in self._runs:
            self._refuse_common(hashes, run)
        self._runs.append(hashes)
        self._pending = {}
        self._merge()

    def _refuse_common(self, hashes: "Hashes", run: "Hashes") -> None:
        """Look each new hash up in a run; both are sorted."""
        places = run.searchsorted(hashes)  # (batch,) → place in the run
        places[places == len(run)] = 0
        common = hashes[run[places] == hashes]
        if not len(common):
            return
        seen = set(common.tolist())
        custom_id = next(name for name in self._pending if hash(name) in seen)
        raise _duplicate(custom_id, self._other, self._pending[custom_id])

    def _merge(self) -> None:
        """Join the last two runs as long as they are alike in size: log-structured."""
        import numpy as np

        while len(self._runs) > 1:
            last, before = self._runs[-1], self._runs[-2]
            if len(before) > len(last) or len(before) >= MAX_RUN_HASHES:
                return
            joined = np.concatenate((before, last))  # (before,), (last,) → (before + last,)
            joined.sort()
            self._runs[-2:] = [joined]


def _duplicate(custom_id: str, first: str, second: int) -> DuplicateCustomId:
    return DuplicateCustomId(
        f"the identifier {custom_id!r} is used twice: by {first} and by entry {second:,}. Each "
        "item of a job needs one of its own. Leave the field out to number them by position"
    )

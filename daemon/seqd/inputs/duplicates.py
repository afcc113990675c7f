"""Finds an identifier that a job uses twice, among millions, in about 8 bytes an identifier.

A set of strings would take 100 bytes and more for each. Kept instead is a 64-bit hash of
every identifier, in sorted runs that grow by merging. Knows nothing of where they come from.
"""

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from sys import byteorder
from typing import TYPE_CHECKING

from seqd.errors import DuplicateCustomId
from seqd_schemas import Item, RefusedItem

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Hashes = npt.NDArray[np.int64]

#: Identifiers that are kept as they are before they are hashed and sorted, all at once.
BATCH_IDS = 65_536

#: Bytes of the digest of an identifier that another process made.
DIGEST_BYTES = 8

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

    def __init__(self) -> None:
        self._pending: dict[str, int] = {}
        self._runs = _Runs()
        self._count = 0

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

    def _flush(self) -> None:
        if not self._pending:
            return
        import numpy as np  # 0.1 s, paid only by a job of more than a batch

        count = len(self._pending)
        hashes = np.fromiter(map(hash, self._pending), dtype=np.int64, count=count)  # (batch,)
        hashes.sort()
        if seen := self._runs.add(hashes):
            custom_id = next(name for name in self._pending if hash(name) in seen)
            raise _duplicate(custom_id, "an earlier entry", self._pending[custom_id])
        self._pending = {}


class DigestGuard:
    """Takes identifiers as digests, which are the same in every process, in any order.

    Digests may be the same where identifiers are not, also since somebody made them so: `suspects`
    are those that came twice, and `refuse_suspects` looks for what they stand for.
    """

    def __init__(self) -> None:
        self._pending = list[bytes]()
        self._pending_bytes = 0
        self._runs = _Runs()
        self.suspects = set[int]()

    def add(self, digests: bytes) -> None:
        """Take what `digests_of` returned."""
        self._pending.append(digests)
        self._pending_bytes += len(digests)
        if self._pending_bytes >= BATCH_IDS * DIGEST_BYTES:
            self._flush()

    def finish(self) -> None:
        """Check those that are still waiting."""
        if self._runs or _has_doubles(b"".join(self._pending)):
            self._flush()

    def _flush(self) -> None:
        import numpy as np

        digests = np.frombuffer(b"".join(self._pending), dtype=np.int64)
        self._pending, self._pending_bytes = [], 0
        hashes = np.sort(digests)  # (batch,)
        self.suspects |= set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        self.suspects |= self._runs.add(hashes)


def _has_doubles(digests: bytes) -> bool:
    """Return True where a digest comes twice, of so few that NumPy need not be imported."""
    ones = [digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES)]
    return len(set(ones)) < len(ones)


def digests_of(custom_ids: Iterable[str]) -> bytes:
    """Return digests of identifiers, `DIGEST_BYTES` each, one behind the other."""
    return b"".join(
        blake2b(custom_id.encode(), digest_size=DIGEST_BYTES).digest() for custom_id in custom_ids
    )


def refuse_suspects(
    custom_ids: Iterable[str], suspects: set[int], check: Callable[[], None]
) -> None:
    """Raise DuplicateCustomId where an identifier comes twice of which the digest is a suspect.

    `custom_ids` are all from the start on. Calls `check` from time to time, which may raise.
    """
    wanted = {suspect.to_bytes(DIGEST_BYTES, byteorder, signed=True) for suspect in suspects}
    seen = dict[str, int]()
    for number, custom_id in enumerate(custom_ids, start=1):
        if not number % 4_096:
            check()
        if digests_of((custom_id,)) in wanted:
            first = seen.setdefault(custom_id, number)
            if first != number:
                raise _duplicate(custom_id, f"entry {first:,}", number)


class _Runs:
    """Sorted runs of hashes that grow by merging."""

    def __init__(self) -> None:
        self._runs: list[Hashes] = []

    def __bool__(self) -> bool:
        return bool(self._runs)

    def add(self, hashes: "Hashes") -> set[int]:
        """Add hashes that are sorted; return those that were there before."""
        seen = set[int]()
        for run in self._runs:
            places = run.searchsorted(hashes)  # (batch,) → place in the run
            places[places == len(run)] = 0
            seen |= set(hashes[run[places] == hashes].tolist())
        self._runs.append(hashes)
        self._merge()
        return seen

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

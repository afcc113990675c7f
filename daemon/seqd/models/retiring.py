"""Versions that are about to go: marked beside them, so that no new job gets one meanwhile.

A mark is an empty file `.retiring-N`. The catalog leaves a marked version out; whatever runs on it
goes on. A mark counts for a while alone, so that a process that was killed takes nothing away for
good.
"""

import re
import time
from collections.abc import Iterable
from pathlib import Path

from seqd.models.disk import writing

#: Seconds for which a mark counts.
COUNTS_S = 120.0

_MARK = re.compile(r"\.retiring-([1-9][0-9]{0,8})")


def retiring_in(folder: Path) -> frozenset[int]:
    """Return the marked versions of a model's folder; none of one that cannot be read."""
    try:
        names = [path.name for path in folder.iterdir() if path.name.startswith(".retiring-")]
    except OSError:
        return frozenset()
    found = (match for match in map(_MARK.fullmatch, names) if match)
    return frozenset(int(match[1]) for match in found if _counts(folder / match[0]))


def mark(folder: Path, versions: Iterable[int]) -> None:
    """Mark versions."""
    for version in versions:
        path = folder / f".retiring-{version}"
        with writing(path):
            path.unlink(missing_ok=True)  # so that its time begins anew
            path.touch()


def unmark(folder: Path, versions: Iterable[int]) -> None:
    """Take the marks away, where they are."""
    for version in versions:
        path = folder / f".retiring-{version}"
        with writing(path):
            path.unlink(missing_ok=True)


def _counts(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < COUNTS_S
    except OSError:
        return False

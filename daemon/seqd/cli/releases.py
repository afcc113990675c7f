"""Which releases of seqd the workers are of, and what to heed while they are not all of one.

Releases need not be ordered for that: the rule of an upgrade is the same in both directions.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seqd_schemas import WorkerStatus

_RULE = (
    "They work side by side. Replace workers before the services that hand jobs in: a worker of an "
    "older release refuses a request with what only a later one knows."
)


def releases_of(workers: Iterable["WorkerStatus"]) -> dict[str, int]:
    """Return how many workers there are of each release, by its version."""
    return dict(sorted(Counter(worker.seqd_version for worker in workers).items()))


def releases_line(releases: Mapping[str, int], own: str) -> str:
    """Return what an upgrade needs now; '' where all workers are of this command's release."""
    if set(releases) <= {own}:
        return ""
    told = ", ".join(f"{version} ({count})" for version, count in releases.items())
    if len(releases) > 1:
        return f"Workers of {len(releases)} releases of seqd are up: {told}. {_RULE}"
    return f"The workers are of seqd {told}, this command of {own}. {_RULE}"

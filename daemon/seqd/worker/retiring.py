"""Takes versions out of what is published before they go, so that no job gets one meanwhile.

First the versions are marked in the store, then it is waited until workers publish them no more,
then the open jobs are looked at, and then they go. A job that was handed in at any time is seen by
that look, or was refused.
"""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from seqd.errors import VersionInUse
from seqd.ledger import Ledger
from seqd.ledger.job_filter import JobFilter
from seqd.worker.promotion import ModelWork
from seqd_schemas import JobRecord, JobState

#: Open jobs that are looked at.
_MOST_JOBS: Final = 10_000

#: Seconds for which it is waited until versions are published no more, at most.
_PUBLISH_S: Final = 15.0

#: Seconds in which a client that has read the catalog before has handed its job in.
_SUBMIT_S: Final = 0.5

_OPEN: Final = frozenset(state.value for state in JobState if not state.is_terminal)


def remove_version(work: ModelWork, name: str, version: int) -> None:
    """Remove a version. Raises VersionInUse where an open job runs on it, and as `remove` does."""
    work.store.check_removable(name, version)
    with retired(work, name, [version]) as jobs:
        users = [job.job_id for job in jobs if version in job.versions]
        if users:
            raise VersionInUse(
                f"{name}@{version} is what job {users[0]} runs on: it is not removed. Wait for its "
                "end, or cancel it"
            )
        work.store.remove(name, version)


@contextmanager
def retired(work: ModelWork, name: str, versions: Collection[int]) -> Iterator[list[JobRecord]]:
    """Have no new job get versions in the block; yield the open jobs of the model.

    Versions that are still there at its end new jobs get again. Raises VersionInUse where there are
    too many jobs.
    """
    fleet = work.ledger.fleet

    def is_out() -> bool:
        entry = fleet.catalog().get(name)
        published = () if entry is None else entry.versions
        is_published = any(one.version in versions for one in published)
        return not is_published or not fleet.workers()

    try:
        work.store.retire(name, versions)
        work.publish()
        work.wait_waking(name, time.monotonic() + _PUBLISH_S, is_out)
        time.sleep(_SUBMIT_S)
        yield open_jobs(work.ledger, name)
    finally:
        work.store.keep(name, versions)


def open_jobs(ledger: Ledger, name: str) -> list[JobRecord]:
    """Return the open jobs of a model; raises VersionInUse where there are too many to know."""
    jobs = ledger.jobs.newest(_MOST_JOBS, JobFilter(states=_OPEN, model=name))
    if jobs.stopped_at_ms is not None:
        raise VersionInUse(
            f"there are too many jobs to know whether one of them runs on {name}; try again when "
            "there are fewer"
        )
    return list(jobs)

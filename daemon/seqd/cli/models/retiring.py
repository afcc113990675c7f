"""Takes versions out of what is published before they go, so that no job gets one meanwhile.

First the versions are marked in the store, then it is waited until workers publish them no more,
then the open jobs are looked at, and then they go. A job that was handed in at any time is seen by
that look, or was refused.
"""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from seqd.cli import options
from seqd.errors import RedisUnreachable, VersionInUse

if TYPE_CHECKING:
    from seqd.ledger import Ledger
    from seqd.models.store import ModelStore
    from seqd_schemas import JobRecord

#: Open jobs that are looked at.
_MOST_JOBS: Final = 10_000

#: Seconds for which it is waited until versions are published no more, at most.
_PUBLISH_S: Final = 15.0

#: Seconds in which a client that has read the catalog before has handed its job in.
_SUBMIT_S: Final = 0.5

_LOOK_S: Final = 0.1


@contextmanager
def retired(
    store: "ModelStore", name: str, versions: Collection[int], what: str = "removes"
) -> "Iterator[list[JobRecord]]":
    """Have no new job get versions in the block; yield the open jobs of the model.

    `what` is done in the block, for the message. Raises RedisUnreachable without a daemon, and
    VersionInUse where there are too many jobs.
    """
    try:
        with options.open_ledger() as ledger, _kept_else(store, name, versions):
            store.retire(name, versions)
            _wait_until_unpublished(ledger, store, name, versions)
            yield open_jobs(name)
    except RedisUnreachable as error:
        raise unknown_use(error, what) from None


def unknown_use(error: RedisUnreachable, what: str) -> RedisUnreachable:
    """Return the error for a daemon that cannot be asked which jobs run on a model."""
    return RedisUnreachable(
        f"{error} So nobody knows which jobs run on it; --unchecked {what} it all the same."
    )


def open_jobs(name: str) -> "list[JobRecord]":
    """Return the open jobs of a model; raises VersionInUse where there are too many to know."""
    from seqd_schemas import JobState

    states = [state for state in JobState if not state.is_terminal]
    with options.open_client() as client:
        jobs = client.jobs(_MOST_JOBS, model=name, states=states)
    if jobs.stopped_at_ms is not None:
        raise VersionInUse(
            f"there are too many jobs to know whether one of them runs on {name}; try again when "
            "there are fewer"
        )
    return list(jobs)


@contextmanager
def _kept_else(store: "ModelStore", name: str, versions: Collection[int]) -> Iterator[None]:
    """Let new jobs get those versions again that are still there at the end of the block."""
    try:
        yield
    finally:
        store.keep(name, versions)


def _wait_until_unpublished(
    ledger: "Ledger", store: "ModelStore", name: str, versions: Collection[int]
) -> None:
    """Wake the workers until none publishes the versions; not longer than `_PUBLISH_S`."""
    wake = _waker(ledger, name, store.plugin_of(name))
    deadline_s = time.monotonic() + _PUBLISH_S
    while _is_published(ledger, name, versions):
        if not ledger.fleet.workers() or time.monotonic() >= deadline_s:
            return  # nobody is up who would say so, or who knows how
        wake()
        time.sleep(_LOOK_S)
    time.sleep(_SUBMIT_S)


def _is_published(ledger: "Ledger", name: str, versions: Collection[int]) -> bool:
    entry = ledger.fleet.catalog().get(name)
    return entry is not None and any(one.version in versions for one in entry.versions)


def _waker(ledger: "Ledger", name: str, plugin: str) -> Callable[[], None]:
    """Return what wakes idle workers of a model, which look at the store then, once a second."""
    from seqd.serving import served_routes

    woken_s = float("-inf")

    def wake() -> None:
        nonlocal woken_s
        if time.monotonic() - woken_s >= 1:
            woken_s = time.monotonic()
            for route in served_routes(plugin, ledger.fleet.catalog().get(name)):
                ledger.work.wake(route)

    return wake

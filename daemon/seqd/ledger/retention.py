"""Which ended jobs are removed before their time, so that there is room for new ones.

The scripts remove them in the step that needs the room; a periodic call does the rest. They count
what they remove, and remember the last 10,000 identifiers, so that a reader can be told why.
"""

from dataclasses import dataclass, fields
from typing import cast

from seqd.errors import UnknownJob
from seqd.ledger.control import unknown_job
from seqd.ledger.exchange import Exchange, Part, command, exchange, script
from seqd.ledger.scripts import as_int, as_list

#: Buckets and tenants that one call of `evict.lua` looks at, and such calls in a row at most:
#: 1,600 jobs, and others where some have been removed before.
EVICT_LOOKS = 200
MAX_EVICT_CALLS = 200

#: Such calls for one tenant: 40,000 jobs at most.
_TENANT_CALLS = 5_000


@dataclass(frozen=True, slots=True)
class Evictions:
    """Numbers of ended jobs that were removed before their time so far."""

    #: Their tenant kept more than SEQD_MAX_TENANT_KEPT_BYTES.
    tenant_kept_bytes: int = 0
    #: Redis had used up its share of memory for new work.
    memory: int = 0
    #: Those of them that had ended less than an hour before.
    within_hour: int = 0


class Retention(Part):
    """Removes ended jobs where there is no room, and says which were removed."""

    @exchange
    def evict(self) -> Exchange[int]:
        """Remove ended jobs until there is room, or none may go; return how many were removed."""
        return (yield from _evict(MAX_EVICT_CALLS))

    @exchange
    def evictions(self) -> Exchange[Evictions]:
        """Return how many ended jobs were removed so far, by reason."""
        names = [one.name for one in fields(Evictions)]
        row = yield from command("HMGET", self._keys.evictions(), *names)
        return Evictions(*(int(count or 0) for count in cast(list[bytes | None], row)))

    @exchange
    def was_evicted(self, job_id: str) -> Exchange[bool]:
        """Return True for one of the last 10,000 jobs that had to make room."""
        return (yield from command("LPOS", self._keys.evicted(), job_id)) is not None

    @exchange
    def unknown_job(self, job_id: str) -> Exchange[UnknownJob]:
        """Return the error for a job that is not there, which says so if it had to make room."""
        if not (yield from self.was_evicted.steps(job_id)):
            return unknown_job(job_id)
        return UnknownJob(
            f"No job {job_id!r} any more. It had ended, and was removed before its time to make "
            "room: its tenant kept more than SEQD_MAX_TENANT_KEPT_BYTES of the workers, or Redis "
            "was short of memory. `seqd status` counts such jobs. Hand it in again, and fetch "
            "its results sooner, or give Redis more memory."
        )


def evict_of_tenant(tenant: str) -> Exchange[int]:
    """Remove ended jobs of a tenant that keeps more than it may; return how many were removed."""
    return (yield from _evict(_TENANT_CALLS, tenant))


def _evict(most_calls: int, *tenant: str) -> Exchange[int]:
    evicted = 0
    for _ in range(most_calls):
        removed, has_more = as_list((yield from script("evict", EVICT_LOOKS, *tenant)))
        evicted += as_int(removed)
        if not has_more:
            break
    return evicted

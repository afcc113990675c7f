"""Which ended jobs are removed before their time, so that there is room for new ones.

The scripts remove them in the step that needs the room; a periodic call does the rest. They count
what they remove, and remember the last 10,000 identifiers, so that a reader can be told why.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from redis.exceptions import ResponseError

from seqd.errors import UnknownJob
from seqd.ledger.control import unknown_job
from seqd.ledger.exchange import Driver, Exchange, command, exchange, script
from seqd.ledger.overwritten import hash_unless_overwritten
from seqd.ledger.scripts import as_int
from seqd.validation import shown
from seqd_schemas import Keys

log = logging.getLogger(__name__)

#: Buckets and tenants that one call of `evict.lua` looks at, and such calls in a row at most:
#: 10,000 jobs.
EVICT_LOOKS = 200
MAX_EVICT_CALLS = 200


@dataclass(frozen=True, slots=True)
class Evictions:
    """Numbers of ended jobs that were removed before their time so far."""

    #: Their tenant kept more than SEQD_MAX_TENANT_KEPT_BYTES.
    tenant_kept_bytes: int = 0
    #: Redis had used up its share of memory for new work.
    memory: int = 0
    #: Those of them that had ended less than an hour before.
    within_hour: int = 0


class Retention:
    """Removes ended jobs where there is no room, and says which were removed."""

    def __init__(self, driver: Driver, keys: Keys) -> None:
        self.driver = driver
        self._keys = keys

    @exchange
    def evict(self) -> Exchange[int]:
        """Remove ended jobs until there is room, or none may go; return how many were removed."""
        evicted = 0
        for _ in range(MAX_EVICT_CALLS):
            step = as_int((yield from script("evict", EVICT_LOOKS)))
            evicted += step
            if step == 0:
                break
        return evicted

    @exchange
    def evictions(self) -> Exchange[Evictions]:
        """Return how many ended jobs were removed so far, by reason.

        0, and a warning in the log, where somebody has written something else over it.
        """
        name = self._keys.evictions()
        row = yield from hash_unless_overwritten("removed jobs", name)
        return Evictions(
            tenant_kept_bytes=_count(row, b"tenant_kept_bytes", name),
            memory=_count(row, b"memory", name),
            within_hour=_count(row, b"within_hour", name),
        )

    @exchange
    def was_evicted(self, job_id: str) -> Exchange[bool]:
        """Return True for one of the last 10,000 jobs that had to make room."""
        try:
            return (yield from command("LPOS", self._keys.evicted(), job_id)) is not None
        except ResponseError:  # somebody has written something else there
            return False

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


def _count(row: Mapping[bytes, bytes], reason: bytes, name: str) -> int:
    """Return a number of a hash; 0, with a warning, where it is none."""
    text = row.get(reason, b"0")
    try:
        return int(text)
    except ValueError:
        log.warning(
            "the field %s of the key %s of removed jobs is %s, and no number: it counts as 0. "
            "Remove the key, and seqd begins it anew: redis-cli del %s",
            *(reason.decode(), name, shown(text.decode(errors="replace")), name),
        )
        return 0

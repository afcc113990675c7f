"""Jobs that no worker that is up can run, as clients see them: their records say so, and why.

Whoever waits for such a job is told by a line in the log.
"""

import logging
from collections.abc import Sequence
from time import time

from seqd.ledger import LedgerParts
from seqd.ledger.exchange import Exchange
from seqd.ledger.job_filter import FoundJobs, JobFilters, job_filter
from seqd_schemas import JobRecord

log = logging.getLogger(__name__)

#: Seconds for which what workers have published is not read again. A job is read often.
_WORKERS_AGE_S = 2.0

#: Age up to which a job is not looked at: most small jobs have ended by then, and the first look
#: takes a client 15 ms, to build what reads the records of workers.
_YOUNG_S = 1.0


def with_waiting(ledger: LedgerParts, records: Sequence[JobRecord]) -> Exchange[list[JobRecord]]:
    """Return the records, those of open jobs with the reason why nobody can go on with them."""
    now_s = time()
    if all(record.state.is_terminal or _is_young(record, now_s) for record in records):
        return list(records)
    from seqd.serving import waiting_of

    workers = yield from ledger.fleet.recent_workers.steps(_WORKERS_AGE_S)
    reasons = [waiting_of(record, workers) for record in records]
    return [
        record if reason is None else record.model_copy(update={"waiting": reason})
        for record, reason in zip(records, reasons, strict=True)
    ]


def jobs_found(ledger: LedgerParts, limit: int, filters: JobFilters) -> Exchange[FoundJobs]:
    """Return the newest jobs that match; see `Client.jobs`."""
    found = yield from ledger.jobs.newest.steps(limit, job_filter(filters))
    found[:] = yield from with_waiting(ledger, found)
    return found


class WaitingNotice:
    """Tells in the log why a job waits that somebody waits for: each reason once."""

    def __init__(self, ledger: LedgerParts) -> None:
        self._ledger = ledger
        self._told = ""

    def look(self, record: JobRecord) -> Exchange[None]:
        """Tell what is new; called when nothing has been heard of the job for a while."""
        (record,) = yield from with_waiting(self._ledger, [record])
        if record.waiting is not None and record.waiting.message != self._told:
            self._told = record.waiting.message
            log.warning("job=%s waits: %s", record.job_id, self._told)

    def has_told(self, message: str) -> None:
        """Do not tell this one: a command has, in its own way."""
        self._told = message


def _is_young(record: JobRecord, now_s: float) -> bool:
    # One from the future was made by a server whose clock is ahead of ours, and may be old.
    return 0 <= now_s - record.created_at_ms / 1_000 < _YOUNG_S

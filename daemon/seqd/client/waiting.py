"""Job records as clients see them: they say when no worker that is up can run the job, and why."""

from collections.abc import Sequence
from time import time

from seqd.ledger import Ledger
from seqd_schemas import JobRecord

#: Seconds for which what workers have published is not read again. A job is read often.
_WORKERS_AGE_S = 2.0

#: Age up to which a job is not looked at: most small jobs have ended by then, and the first look
#: takes a client 15 ms, to build what reads the records of workers.
_YOUNG_S = 1.0


def with_waiting(ledger: Ledger, records: Sequence[JobRecord]) -> list[JobRecord]:
    """Return the records, those of open jobs with the reason why nobody can go on with them."""
    now_s = time()
    if all(record.state.is_terminal or _is_young(record, now_s) for record in records):
        return list(records)
    from seqd.serving import waiting_of

    workers = ledger.fleet.recent_workers(_WORKERS_AGE_S)
    reasons = [waiting_of(record, workers) for record in records]
    return [
        record if reason is None else record.model_copy(update={"waiting": reason})
        for record, reason in zip(records, reasons, strict=True)
    ]


def _is_young(record: JobRecord, now_s: float) -> bool:
    # One from the future was made by a server whose clock is ahead of ours, and may be old.
    return 0 <= now_s - record.created_at_ms / 1_000 < _YOUNG_S

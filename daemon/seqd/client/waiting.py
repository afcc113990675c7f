"""Job records as clients see them: they say when no worker that is up can run the job, and why."""

from collections.abc import Sequence

from seqd.ledger import Ledger
from seqd_schemas import JobRecord

#: Seconds for which what workers have published is not read again. A job is read often.
_WORKERS_AGE_S = 2.0


def with_waiting(ledger: Ledger, records: Sequence[JobRecord]) -> list[JobRecord]:
    """Return the records, those of open jobs with the reason why nobody can go on with them."""
    if all(record.state.is_terminal for record in records):
        return list(records)
    from seqd.serving import waiting_of

    workers = ledger.fleet.recent_workers(_WORKERS_AGE_S)
    reasons = [waiting_of(record, workers) for record in records]
    return [
        record if reason is None else record.model_copy(update={"waiting": reason})
        for record, reason in zip(records, reasons, strict=True)
    ]

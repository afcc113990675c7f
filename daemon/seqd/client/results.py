"""Results of a job, read in input order while it runs, a few rows at a time.

Waits on the job's event stream instead of polling.
"""

from collections.abc import Callable, Iterator

from seqd.client.waiting import WaitingNotice
from seqd.errors import JobDamaged
from seqd.ledger import Ledger
from seqd.ledger.blobs import ResultLine, unpack_items, unpack_lines, unpack_results
from seqd.ledger.jobs import Jobs, ResultPosition
from seqd_schemas import (
    Item,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    JobRecord,
    JobState,
    to_stored,
)


class ResultReader:
    """One pass over a job's results, each with the line of JSON that it is."""

    def __init__(
        self,
        ledger: Ledger,
        job_id: str,
        check_upload: Callable[[], None],
        notice: WaitingNotice,
    ) -> None:
        self._ledger = ledger
        self._job_id = job_id
        self._check_upload = check_upload
        self._notice = notice

    def __iter__(self) -> Iterator[ResultLine]:
        position = ResultPosition(0)
        after = self._ledger.jobs.last_event_id(self._job_id)
        while True:
            # Read before the results: once it is terminal, nothing is committed any more.
            record = self._ledger.jobs.get(self._job_id)
            rows, position = self._ledger.jobs.results(self._job_id, position)
            for row in rows:
                yield from unpack_lines(row)
            if rows:
                continue
            if record.state.is_terminal:
                yield from self._rest(record, position.unit)
                return
            self._check_upload()
            events = self._ledger.jobs.events(self._job_id, after)
            if events:
                after = events[-1].id
            else:
                self._notice.look(record)

    def _rest(self, record: JobRecord, unit: int) -> Iterator[ResultLine]:
        """Yield what a job that ended early still has: late results, and the undone items."""
        if record.state is JobState.COMPLETED:
            if unit < record.units:
                self._ledger.jobs.get(self._job_id)  # unless it was removed since
            raise_where_missing(record, unit)
            return
        for number in range(unit, record.units):
            yield from rest_of_unit(self._ledger.jobs, record, number)


def merged_results(
    first: Iterator[ItemSuccess | ItemFailure], retried: Iterator[ItemSuccess | ItemFailure]
) -> Iterator[ItemSuccess | ItemFailure]:
    """Put the results of a retry in the place of the errors that they answer, by `custom_id`.

    Both are in the first job's order, so nothing is held but one result of each. Raises JobDamaged
    for an answer to an item that the first job does not have.
    """
    answer = next(retried, None)
    for result in first:
        if answer is not None and answer.custom_id == result.custom_id:
            yield answer
            answer = next(retried, None)
        else:
            yield result
    if answer is not None:
        raise JobDamaged(
            f"A retry has a result of {answer.custom_id!r}, and the job that it continues none in "
            "that place: results are missing there. Read the retry's own, and hand in again what "
            "is missing."
        )


def results_by_now(ledger: Ledger, record: JobRecord) -> dict[str, ItemSuccess | ItemFailure]:
    """Return the results that a sweep has, by combination, in order, those between them missing."""
    blobs = ledger.jobs.outputs(record.job_id, range(record.units)) if record.units else []
    results = [result for blob in blobs if blob is not None for result in unpack_results(blob)]
    return {result.custom_id: result for result in results}


def failed_items(ledger: Ledger, job_id: str) -> Iterator[Item]:
    """Yield an ended job's items that have no output, in the job's order, lazily.

    Entries that never were readable hold no text and are left out.
    """
    for blob in ledger.jobs.retryable_inputs(job_id):
        for entry in unpack_items(blob).items:
            if isinstance(entry, Item):
                yield entry


def raise_where_missing(record: JobRecord, unit: int) -> None:
    """Raise JobDamaged when a completed job has units from `unit` on that have no results."""
    if unit < record.units:
        raise JobDamaged(
            f"Results of job {record.job_id} are missing from unit {unit} of {record.units} "
            "on: somebody has deleted them. Hand the job in again."
        )


def rest_of_unit(jobs: Jobs, record: JobRecord, unit: int) -> Iterator[ResultLine]:
    """Yield what there is of a unit of a job that ended early; undone items come as errors."""
    for name in jobs.parts(record.job_id, unit):
        is_committed = False
        for row in jobs.rows(record.job_id, name):
            is_committed = True
            yield from unpack_lines(row)
        if is_committed:
            continue
        blob = jobs.inputs(record.job_id, [name])[0]
        if blob is None:
            raise jobs.missing(record.job_id, f"unit {name} of the results")
        yield from _undone(blob, record.state)


def _undone(blob: bytes, state: JobState) -> Iterator[ResultLine]:
    error = ItemError(
        code=ItemErrorCode.EXPIRED if state is JobState.EXPIRED else ItemErrorCode.CANCELLED,
        message=f"The job ended as {state} before this item had its turn. Send it again.",
        retryable=True,
    )
    for entry in unpack_items(blob).items:
        reason = error if isinstance(entry, Item) else entry.refused
        failure = ItemFailure(custom_id=entry.custom_id, error=reason, attempts=0)
        yield ResultLine(failure, to_stored(failure).encode())

"""Reads a job's results in input order, while it runs, a few units at a time.

Waits on the job's event stream, not by asking again and again. Called by `handle`, and for what is
left at a job's end by `pieces`.
"""

from collections.abc import Callable, Iterator

from seqd.errors import JobDamaged
from seqd.ledger import Ledger
from seqd.ledger.blobs import ResultLine, unpack_items, unpack_lines
from seqd.ledger.jobs import Jobs
from seqd_schemas import (
    ITEM_RESULT,
    Item,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    JobRecord,
    JobState,
)

#: Units fetched in one round trip: about 60 kB of compressed results.
WINDOW_UNITS = 16


class ResultReader:
    """One pass over a job's results, each with the line of JSON that it is."""

    def __init__(self, ledger: Ledger, job_id: str, check_upload: Callable[[], None]) -> None:
        self._ledger = ledger
        self._job_id = job_id
        self._check_upload = check_upload

    def __iter__(self) -> Iterator[ResultLine]:
        unit = 0
        after = self._ledger.jobs.last_event_id(self._job_id)
        while True:
            # Read before the results: once it is terminal, nothing is committed any more.
            record = self._ledger.jobs.get(self._job_id)
            blobs = self._ready(unit)
            for blob in blobs:
                yield from unpack_lines(blob)
            unit += len(blobs)
            if blobs:
                continue
            if record.state.is_terminal:
                yield from self._rest(record, unit)
                return
            self._check_upload()
            for event in self._ledger.jobs.events(self._job_id, after):
                after = event.id

    def _ready(self, unit: int) -> list[bytes]:
        """Give the next results without a gap, of at most `WINDOW_UNITS` units."""
        ready = []
        units = range(unit, unit + WINDOW_UNITS)
        for blob in self._ledger.jobs.outputs(self._job_id, units):
            if blob is None:
                break
            ready.append(blob)
        return ready

    def _rest(self, record: JobRecord, unit: int) -> Iterator[ResultLine]:
        """Give what a job that ended early still has: late results, and the undone items."""
        if record.state is JobState.COMPLETED:
            raise_where_missing(record, unit)
            return
        for number in range(unit, record.units):
            yield from rest_of_unit(self._ledger.jobs, record, number)


def raise_where_missing(record: JobRecord, unit: int) -> None:
    """Raise JobDamaged when a completed job has units from `unit` on that have no results."""
    if unit < record.units:
        raise JobDamaged(
            f"Results of job {record.job_id} are missing from unit {unit} of {record.units} "
            "on: somebody has deleted them. Hand the job in again."
        )


def rest_of_unit(jobs: Jobs, record: JobRecord, unit: int) -> Iterator[ResultLine]:
    """Give what there is of a unit of a job that ended early; undone items come as errors."""
    for name in jobs.parts(record.job_id, unit):
        output = jobs.outputs(record.job_id, [name])[0]
        if output is not None:
            yield from unpack_lines(output)
            continue
        blob = jobs.inputs(record.job_id, [name])[0]
        if blob is not None:
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
        yield ResultLine(failure, ITEM_RESULT.dump_json(failure))

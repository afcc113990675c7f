"""Results of a job, read in input order while it runs, a few rows at a time.

Waits on the job's event stream instead of polling.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from seqd.client.waiting import Watch
from seqd.errors import JobDamaged, WrongState
from seqd.ledger import LedgerParts
from seqd.ledger.blobs import ResultLine, unpack_items, unpack_lines, unpack_results
from seqd.ledger.exchange import Exchange, Give, Reading, Taken
from seqd.ledger.jobs import READ_ROWS, Jobs, ResultPosition
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

if TYPE_CHECKING:
    from seqd.client.announcements import Announced

OneResult = TypeVar("OneResult", bound="ItemSuccess[object] | ItemFailure")

#: Where a job's results begin.
FIRST = ResultPosition(0)


def result_lines(
    ledger: LedgerParts,
    job_id: str,
    check_upload: Callable[[], Exchange[None]],
    watch: Watch,
    position: ResultPosition = FIRST,
    *,
    waits: bool = True,
    rows_at_once: int = READ_ROWS,
    announced: "Announced | None" = None,
    note_end: Callable[[JobRecord], None] = lambda record: None,
) -> Reading[ResultLine]:
    """Give a job's results in input order from a position on, each with its line of JSON.

    Unless it `waits`, it ends in front of the first that is not there. Those of a job of one unit
    come at its end, which may be `announced`. `note_end` gets a job that has ended, once all its
    results are given.
    """
    jobs = ledger.jobs
    while True:
        had_ended = announced is not None and announced.has_ended
        read = yield from jobs.results.steps(job_id, position, rows_at_once)
        record, position = read.record, read.position
        for row in read.rows:
            yield Give(unpack_lines(row))
        is_at_end = position.unit >= record.units or not read.rows
        if record.state.is_terminal and is_at_end:
            yield from _rest(jobs, record, position.unit)
            note_end(record)
            return
        if read.rows:
            continue
        yield from check_upload()
        if not waits:
            return
        if announced is not None and record.sealed and record.units == 1:
            announced.note_running(had_ended=had_ended)
            is_news = yield from announced.wait(watch.look_s)
        else:
            is_news = bool(
                (
                    yield from jobs.events.steps(
                        job_id, read.last_event_id, longest_wait_s=watch.look_s
                    )
                )
            )
        if not is_news:
            yield from watch.look(record)


def _rest(jobs: Jobs, record: JobRecord, unit: int) -> Reading[ResultLine]:
    """Give what a job that ended early still has: late results, and the undone items."""
    if record.state is JobState.COMPLETED:
        if unit < record.units:
            yield from jobs.get.steps(record.job_id)  # unless it was removed since
        raise_where_missing(record, unit)
        return
    for number in range(unit, record.units):
        yield from rest_of_unit(jobs, record, number)


def merged_results(
    first: Reading[OneResult], retries: Sequence[Reading[OneResult]], whole: str | None = None
) -> Reading[OneResult]:
    """Put the results of retries in the place of the errors that they answer, by `custom_id`.

    That of the last retry counts. All are in the first job's order, so nothing is held but one
    result of each. Raises JobDamaged for an answer to an item that the first job does not have;
    WrongState where that is a retry of the job `whole` itself, which may have left items out.
    """
    answers = [Taken(retried) for retried in retries]
    #: The next answer of each retry that has more, by its item and the retry's number.
    waiting = dict[str, dict[int, OneResult]]()

    def take(numbers: Iterable[int]) -> Exchange[None]:
        for number in numbers:
            answer = yield from answers[number].take()
            if answer is not None:
                waiting.setdefault(answer.custom_id, {})[number] = answer

    yield from take(range(len(answers)))
    results = Taken(first)
    while (result := (yield from results.take())) is not None:
        answered = waiting.pop(result.custom_id, {})
        yield Give((answered[max(answered)] if answered else result,))
        yield from take(answered)
    if not waiting:
        return
    custom_id = min(waiting, key=lambda name: min(waiting[name]))
    if whole is not None:
        raise WrongState(
            f"A later retry has a result of {custom_id!r}, which this one had left out. "
            f"Read the results of the whole: seqd jobs results {whole} --merged"
        )
    raise JobDamaged(
        f"A retry has a result of {custom_id!r}, and the job that it continues none in that "
        "place: results are missing there. Read the retry's own, and hand in again what is "
        "missing."
    )


def results_by_now(
    ledger: LedgerParts, record: JobRecord
) -> Exchange[dict[str, ItemSuccess | ItemFailure]]:
    """Return the results that a sweep has, by combination, in order, those between them missing."""
    if not record.units:
        return {}
    blobs = yield from ledger.jobs.outputs.steps(record.job_id, range(record.units))
    results = [result for blob in blobs if blob is not None for result in unpack_results(blob)]
    return {result.custom_id: result for result in results}


def raise_where_missing(record: JobRecord, unit: int) -> None:
    """Raise JobDamaged when a completed job has units from `unit` on that have no results."""
    if unit < record.units:
        raise JobDamaged(
            f"Results of job {record.job_id} are missing from unit {unit} of {record.units} "
            "on: somebody has deleted them. Hand the job in again."
        )


def rest_of_unit(jobs: Jobs, record: JobRecord, unit: int) -> Reading[ResultLine]:
    """Give what there is of a unit of a job that ended early; undone items come as errors."""
    job_id = record.job_id
    for name in (yield from jobs.parts.steps(job_id, unit)):
        number = 0
        while (row := (yield from jobs.row.steps(job_id, name, number))) is not None:
            yield Give(unpack_lines(row))
            number += 1
        if number:
            continue
        (blob,) = yield from jobs.inputs.steps(job_id, [name])
        if blob is None:
            raise (yield from jobs.missing.steps(job_id, f"unit {name} of the results"))
        yield Give(_undone(blob, record))


def _undone(blob: bytes, record: JobRecord) -> Iterator[ResultLine]:
    error = _undone_error(record)
    for entry in unpack_items(blob).items:
        reason = error if isinstance(entry, Item) else entry.refused
        failure = ItemFailure(custom_id=entry.custom_id, error=reason, attempts=0)
        yield ResultLine(failure, to_stored(failure).encode())


def _undone_error(record: JobRecord) -> ItemError:
    """Return why an item was not done of a job that ended early, and whether to send it again."""
    is_late, failure = record.state is JobState.EXPIRED, record.failure
    if failure is None:
        ended, advice = f"ended as {record.state}", "Send it again."
    else:
        ended = "expired" if is_late else f"failed with {failure.code}"
        advice = "Its failure says why."
    return ItemError(
        code=ItemErrorCode.EXPIRED if is_late else ItemErrorCode.CANCELLED,
        message=f"The job {ended} before this item had its turn. {advice}",
        retryable=failure is None or failure.retryable,
    )

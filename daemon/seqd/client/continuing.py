"""Jobs that continue ended ones: a retry of the failed items, a training's resumption.

The ended job stays as it is, and knows the one that continues it; read together, their
results are those of one job. Called by `client` and `handle`; sends nothing itself.
"""

from collections.abc import Iterator

from seqd.errors import InvalidRequest, WrongState
from seqd.ledger import Ledger
from seqd.ledger.blobs import unpack_items
from seqd_schemas import (
    Item,
    ItemFailure,
    ItemSuccess,
    Job,
    JobRecord,
    JobState,
    SweepJob,
    TrainJob,
    UploadSource,
)


def retry_of(record: JobRecord) -> Job:
    """Ask for an ended job's failed items once more: same version, parameters and tenant.

    Raises InvalidRequest for a training, WrongState for a job that has not ended.
    """
    if record.kind == "train":
        raise InvalidRequest(
            f"Job {record.job_id} is a training, which is {record.state}: it has no items to "
            f"retry. {_of_a_training(record)}"
        )
    if not record.state.is_terminal:
        raise WrongState(
            f"Job {record.job_id} is {record.state}; only the failed items of a job that has ended "
            f"can be retried. {_towards_its_end(record)}"
        )
    if not record.sealed:
        raise WrongState(
            f"Job {record.job_id} ended before its input was complete, so a retry would leave out "
            "what had not been read. Hand the whole job in again; what was done stays readable."
        )
    if record.counts.succeeded == record.counts.total:
        raise WrongState(f"Job {record.job_id} has no failed items: there is nothing to retry.")
    if isinstance(record.job, SweepJob):
        return _continuing(record)  # whoever knows them names its combinations
    undone = record.counts.total - record.counts.succeeded
    return _continuing(record, source=UploadSource(expected_items=undone))


def resumption_of(record: JobRecord) -> Job:
    """Ask for an ended training to be continued from its last checkpoint.

    Raises WrongState for a training that completed, and for anything but a training.
    """
    if not isinstance(record.job, TrainJob):
        has_failed = record.counts.succeeded < record.counts.total
        retry = f" Retry its failed items: seqd jobs retry {record.job_id}"
        raise WrongState(
            f"Job {record.job_id} is {record.state}; only a paused job, or a training that ended "
            f"early, can be resumed.{retry if has_failed and record.sealed else ''}"
        )
    if record.state is JobState.COMPLETED:
        raise WrongState(f"Training {record.job_id} is completed: nothing is left to resume.")
    if not has_its_input(record):
        raise WrongState(
            f"Training {record.job_id} cannot be resumed: its data was not uploaded completely "
            "before it ended. Hand the training in again with all of it."
        )
    return _continuing(record)


def has_its_input(record: JobRecord) -> bool:
    """True unless an upload was cut off, or still is under way: such a job cannot be continued."""
    return record.sealed or not isinstance(record.job.source, UploadSource)


def failed_items(ledger: Ledger, job_id: str) -> Iterator[Item]:
    """Give an ended job's items that have no output, in the job's order, lazily.

    Entries that never were readable hold no text and are left out.
    """
    for blob in ledger.jobs.retryable_inputs(job_id):
        for entry in unpack_items(blob).items:
            if isinstance(entry, Item):
                yield entry


def merged(
    first: Iterator[ItemSuccess | ItemFailure], retried: Iterator[ItemSuccess | ItemFailure]
) -> Iterator[ItemSuccess | ItemFailure]:
    """Put the results of a retry in the place of the errors that they answer, by `custom_id`.

    Both are in the first job's order, so nothing is held but one result of each.
    """
    answer = next(retried, None)
    for result in first:
        if answer is not None and answer.custom_id == result.custom_id:
            yield answer
            answer = next(retried, None)
        else:
            yield result


def _of_a_training(record: JobRecord) -> str:
    if record.state is JobState.COMPLETED:
        return f"The version that it made: seqd jobs show {record.job_id}"
    if record.state in (JobState.QUEUED, JobState.RUNNING):
        return f"Watch it: seqd jobs watch {record.job_id}"
    if record.continued_by is not None:
        return f"The job that continues it: seqd jobs show {record.continued_by}"
    if record.state is JobState.PAUSED or has_its_input(record):
        return f"Resume it: seqd jobs resume {record.job_id}"
    return "Its data was not uploaded completely: hand the training in again with all of it."


def _towards_its_end(record: JobRecord) -> str:
    if record.state is JobState.PAUSED:
        return f"Resume it (seqd jobs resume {record.job_id}) or cancel it first."
    return f"Wait for its end: seqd jobs watch {record.job_id}"


def _continuing(record: JobRecord, **changes: object) -> Job:
    model = record.model if record.version is None else f"{record.model}@{record.version}"
    # Its idempotency key stands for the ended job, and its time for that one's time.
    fields = {"model": model, "continues": record.job_id, "idempotency_key": None}
    return record.job.model_copy(update={**fields, "expires_in_s": None, **changes})

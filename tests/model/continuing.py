"""Retries of failed items: a job that continues an ended one, and both read as one."""

from collections.abc import Iterator

from model.jobs import ModelJob, Result
from model.ledger import Ledger, Refused
from model.submitting import submit
from seqd_schemas import Job, TrainJob, UploadSource


def retry(ledger: Ledger, job_id: str, new_id: str) -> str:
    """Hand an ended job's failed items in again."""
    job = ledger.job(job_id)
    if isinstance(job.request, TrainJob):
        raise Refused("invalid_request")
    items = job.failed_items
    if job.is_open or not job.sealed or not items:
        raise Refused("wrong_state")
    return submit(
        ledger,
        _continuing(job, len(items)),
        items,
        job_id=new_id,
        version=job.version,
        unit_items=job.unit_items,
    )


def merged_results(ledger: Ledger, job_id: str) -> list[Result]:
    """Return the results of a job with those of its retries in the place of its errors."""
    job = ledger.job(job_id)
    if isinstance(job.request, TrainJob):
        raise Refused("invalid_request")
    answers = {
        result.custom_id: result
        for later in _after(ledger, job)
        for result in ledger.results_of(later)
    }
    return [answers.get(result.custom_id, result) for result in ledger.results_of(job)]


def origin(ledger: Ledger, job_id: str) -> str:
    """Return the first of the jobs that one continues."""
    job = ledger.job(job_id)
    while job.continues is not None:
        earlier = ledger.jobs.get(job.continues)
        if earlier is None or earlier.continued_by != job.job_id:
            raise Refused("unknown_job")
        job = earlier
    return job.job_id


def _after(ledger: Ledger, job: ModelJob) -> Iterator[ModelJob]:
    while job.continued_by is not None:
        job = ledger.job(job.continued_by)
        yield job


def _continuing(job: ModelJob, undone: int) -> Job:
    changes = {
        "model": f"{job.model}@{job.version}",
        "continues": job.job_id,
        "idempotency_key": None,
        "expires_in_s": None,
        "source": UploadSource(expected_items=undone),
    }
    return job.request.model_copy(update=changes)

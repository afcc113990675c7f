"""What people do to jobs: cancel, fail, pause, resume and remove them."""

from builders import a_failure
from model.failures import note_failed_job
from model.ledger import Ledger, Refused
from seqd_schemas import JobState


def cancel(ledger: Ledger, job_id: str) -> JobState:
    """Cancel a job; one that has ended stays as it is."""
    job = ledger.job(job_id)
    if job.is_open:
        ledger.stop(job, JobState.CANCELLED)
    return job.state


def fail(ledger: Ledger, job_id: str) -> JobState:
    """Fail a job, whoever works on it."""
    job, failure = ledger.job(job_id), a_failure()
    if job.is_open:
        note_failed_job(ledger, job, failure)
        ledger.stop(job, JobState.FAILED, failure)
    return job.state


def pause(ledger: Ledger, job_id: str) -> JobState:
    """Let no further unit of a job be claimed."""
    job = ledger.job(job_id)
    if job.state in (JobState.QUEUED, JobState.RUNNING):
        job.state = JobState.PAUSED
        ledger.emit(job, "paused")
    return job.state


def resume(ledger: Ledger, job_id: str) -> JobState:
    """Let a paused job go on."""
    job = ledger.job(job_id)
    if job.state is JobState.PAUSED:
        job.state = JobState.QUEUED if job.started_ms is None else JobState.RUNNING
        ledger.emit(job, "resumed")
    return job.state


def remove(ledger: Ledger, job_id: str) -> None:
    """Forget an ended job with all that it left."""
    job = ledger.job(job_id)
    if job.is_open or ledger.open_continuation(job) is not None:
        raise Refused("wrong_state")
    take_out(ledger, job_id)


def take_out(ledger: Ledger, job_id: str) -> None:
    """Take an ended job out of its chain, and forget it.

    Those on either side of one in the middle of a chain go on pointing to it: it is missed.
    """
    job = ledger.jobs[job_id]
    later, earlier = ledger.jobs.get(job.continued_by or ""), ledger.jobs.get(job.continues or "")
    has_later = later is not None and later.continues == job_id
    has_earlier = earlier is not None and earlier.continued_by == job_id
    if later is not None and has_later and not has_earlier:
        later.continues = None
    if earlier is not None and has_earlier and not has_later:
        earlier.continued_by = None
    ledger.forget(job)

"""Uploads that several clients know of: who owns one, who follows it, and when one is given up."""

from collections.abc import Sequence

from model.failures import note_failed_job
from model.jobs import ModelJob
from model.ledger import Ledger
from seqd_schemas import Failure, Item, JobState

ABANDONED = Failure(code="upload_abandoned", message="", retryable=True)


def heartbeat(ledger: Ledger, job_id: str, token: str) -> bool:
    """Show that the client of an upload is alive; False where it does not own the job."""
    job = ledger.jobs.get(job_id)
    if job is None or job.owner != token:
        return False
    job.heard_ms = ledger.now_ms
    return True


def follow(
    ledger: Ledger, job_id: str, number: int, items: Sequence[Item], token: str, silence_ms: int
) -> str:
    """Compare a unit with that of an upload, whose items so far are given; or take it over."""
    job = ledger.jobs.get(job_id)
    if job is None:
        return "unknown"
    if job.sealed:
        return "complete"
    if not job.is_open:
        return "ended"
    if number > len(job.units):
        return "behind"
    if number < len(job.units):
        return "same" if list(items) == _items_up_to(job, number) else "differs"
    if job.owner == token:
        return "taken"
    if ledger.now_ms - job.heard_ms < silence_ms:
        return "wait"
    job.owner, job.heard_ms = token, ledger.now_ms
    return "taken"


def fail_upload(ledger: Ledger, job_id: str, failure: Failure, token: str) -> bool:
    """Fail a job whose input broke off, if the upload owns it."""
    job = ledger.jobs.get(job_id)
    if job is None or not job.is_open or job.owner != token:
        return False
    note_failed_job(ledger, job, failure)
    ledger.stop(job, JobState.FAILED, failure)
    return True


def fail_abandoned(ledger: Ledger, silence_ms: int) -> None:
    """Fail the uploads of clients that have been silent for so long."""
    for job in list(ledger.jobs.values()):
        is_upload = job.is_open and not job.sealed and job.ingest is None
        if is_upload and job.heard_ms <= ledger.now_ms - silence_ms:
            note_failed_job(ledger, job, ABANDONED)
            ledger.stop(job, JobState.FAILED, ABANDONED)


def _items_up_to(job: ModelJob, number: int) -> list[Item]:
    return [item for parts in job.units[: number + 1] for part in parts for item in part.items]

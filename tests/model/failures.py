"""Dead letters: one for each unit and code of items that failed, and for each job that failed."""

from collections.abc import Sequence

from model.jobs import Claimed, Event, ModelJob, Result
from model.ledger import Ledger
from seqd_schemas import Failure, ItemFailure


def note_failed_items(
    ledger: Ledger, job: ModelJob, claimed: Claimed, results: Sequence[Result]
) -> None:
    """Add the dead letters of a unit's results."""
    failed: dict[str, list[ItemFailure]] = {}
    for result in results:
        if isinstance(result, ItemFailure):
            failed.setdefault(result.error.code.value, []).append(result)
    for code, found in failed.items():
        told = {
            "scope": "items",
            "unit": claimed.name,
            "code": code,
            "items": len(found),
            "custom_ids": tuple(one.custom_id for one in found),
            "message": found[0].error.message,
            "worker": claimed.worker,
            "attempts": claimed.attempt,
        }
        ledger.failures.append(_of(ledger, job) | told)


def note_failed_job(ledger: Ledger, job: ModelJob, failure: Failure, **seen: object) -> None:
    """Add the dead letter of a job that fails now; `seen` is what a worker knows of it."""
    told: Event = {"scope": "job", "unit": "", "code": failure.code}
    if failure.message:
        told["message"] = failure.message
    undone = {"items": job.counts.processing}
    ledger.failures.append(_of(ledger, job) | told | undone | seen)


def _of(ledger: Ledger, job: ModelJob) -> Event:
    return {
        "at_ms": ledger.now_ms,
        "job_id": job.job_id,
        "tenant": job.tenant,
        "task": job.request.kind,
        "model": job.model,
        "version": job.version,
    }

"""What a worker's log says of jobs: a line when they have begun, and when they have ended."""

import logging
from collections.abc import Sequence

from seqd_schemas import JobRecord, JobState

LOG = logging.getLogger("seqd.jobs")

#: Jobs that a line names.
_NAMED = 8


def named(job_ids: Sequence[str]) -> str:
    """Return jobs as a line of the log names them: `job=a job=b and 3 others`."""
    more = len(job_ids) - _NAMED
    names = " ".join(f"job={job_id}" for job_id in job_ids[:_NAMED])
    return f"{names} and {more} others" if more > 0 else names


def log_end(job: JobRecord, slot: str) -> None:
    """Log how a job ended; a failed one as a warning, with its reason."""
    level = logging.WARNING if job.state is JobState.FAILED else logging.INFO
    LOG.log(
        level,
        "job %s: job=%s model=%s slot=%s succeeded=%d errored=%d seconds=%.1f%s",
        job.state,
        job.job_id,
        _model(job),
        slot,
        job.counts.succeeded,
        job.counts.errored,
        _seconds(job),
        f" reason={job.failure.code}: {job.failure.message}" if job.failure else "",
    )


def _model(job: JobRecord) -> str:
    return job.model if job.version is None else f"{job.model}@{job.version}"


def _seconds(job: JobRecord) -> float:
    if job.started_at_ms is None or job.ended_at_ms is None:
        return 0.0
    return (job.ended_at_ms - job.started_at_ms) / 1_000

"""Built-in observer plugin: a log line when a job has ended, and how lines name many jobs."""

import logging
from collections.abc import Sequence

from seqd.hookspecs import hookimpl
from seqd_schemas import JobRecord, JobState, WorkerStatus

LOG = logging.getLogger("seqd.jobs")

#: Jobs that a line names.
_NAMED = 8


def named(job_ids: Sequence[str]) -> str:
    """Return jobs as a line of the log names them: `job=a job=b and 3 others`."""
    more = len(job_ids) - _NAMED
    names = " ".join(f"job={job_id}" for job_id in job_ids[:_NAMED])
    return f"{names} and {more} others" if more > 0 else names


class JobLog:
    """Remembers the slot that it runs on, so that every line can name it."""

    def __init__(self) -> None:
        self._slot = "-"

    @hookimpl
    def seqd_worker_ready(self, worker: WorkerStatus) -> None:
        """Note the slot."""
        self._slot = worker.slot

    @hookimpl
    def seqd_job_finished(self, job: JobRecord) -> None:
        """Log how a job ended; a failed one as a warning, with its reason."""
        level = logging.WARNING if job.state is JobState.FAILED else logging.INFO
        LOG.log(
            level,
            "job %s: job=%s model=%s slot=%s succeeded=%d errored=%d seconds=%.1f%s",
            job.state,
            job.job_id,
            _model(job),
            self._slot,
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


plugin = JobLog()

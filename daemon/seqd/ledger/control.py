"""What people do to jobs that are there: cancel, pause, resume, fail, remove.

Each is one step in the ledger, so it holds with no worker up and is seen by all at once.
Called by `seqd.client`, the command line and the reconciler. Changes no result.
"""

from collections.abc import Callable
from typing import cast

from redis import Redis

from seqd.errors import UnknownJob, WrongState
from seqd.ledger.connection import redis_errors
from seqd.ledger.scripts import Scripts, as_int, as_list, as_text
from seqd_schemas import Failure, JobState, Keys


class Control:
    """Changes the course of jobs."""

    def __init__(
        self, redis: Redis, scripts: Scripts, keys: Keys, ring: Callable[[str], None]
    ) -> None:
        self._redis = redis
        self._scripts = scripts
        self._keys = keys
        self._ring = ring

    def cancel(self, job_id: str) -> JobState:
        """Cancel a job, with or without a worker up; gives its state afterwards.

        A job that had ended keeps its state. Raises UnknownJob.
        """
        return self._end(job_id, JobState.CANCELLED, "")

    def fail(self, job_id: str, failure: Failure) -> JobState:
        """End a job as failed, whoever holds its units; gives its state afterwards."""
        return self._end(job_id, JobState.FAILED, failure.model_dump_json())

    def pause(self, job_id: str) -> JobState:
        """Let no further unit of a job be begun; gives its state afterwards.

        Units in hand are finished; a training stops at its next checkpoint. A job that had
        ended keeps its state. Raises UnknownJob.
        """
        return JobState(self._known(job_id, as_text(self._scripts.call("pause", job_id))))

    def resume(self, job_id: str) -> JobState:
        """Let a paused job go on; gives its state afterwards.

        A job that is not paused, or has ended, keeps its state. Raises UnknownJob.
        """
        reply = as_list(self._scripts.call("resume", job_id))
        state = JobState(self._known(job_id, as_text(reply[0])))
        if route := as_text(reply[1]):
            self._ring(route)
        return state

    def remove(self, job_id: str) -> None:
        """Forget an ended job and its results.

        Raises UnknownJob, and WrongState while it, or the job that continues it, has not ended.
        """
        outcome = self._known(job_id, as_text(self._scripts.call("remove", job_id)))
        what, _, other = outcome.partition(" ")
        if what == "continued":
            raise WrongState(
                f"Job {job_id} is continued by {other}, which has not ended and needs what is kept "
                f"of it. Wait for its end (seqd jobs watch {other}), or cancel it first: seqd jobs "
                f"cancel {other}"
            )
        if outcome != "removed":
            raise WrongState(
                f"Job {job_id} is {outcome}; only a job that has ended can be removed. Cancel it "
                f"first: seqd jobs cancel {job_id}"
            )

    def end_if_overdue(self, job_id: str) -> bool:
        """End a job whose time has run out; False when it has time left or had ended."""
        return as_int(self._scripts.call("overdue", job_id)) == 1

    def fail_abandoned(self, silence_s: float, now_ms: int) -> None:
        """End jobs whose client has sent no chunk for `silence_s` seconds and did not finish."""
        with redis_errors(self._redis):
            latest_ms = now_ms - int(silence_s * 1000)
            rows = self._redis.zrangebyscore(self._keys.uploads(), "-inf", latest_ms)
        for job_id in cast(list[bytes], rows):
            message = (
                f"The client sent no more input for {silence_s:g} s and did not say that it was "
                "done. Send the job again; what had finished stays readable."
            )
            failure = Failure(code="upload_abandoned", message=message, retryable=True)
            # Not `fail`: a job that somebody has deleted by hand is no error here.
            self._scripts.call(
                "end_job", job_id, JobState.FAILED.value, failure.model_dump_json(), "", ""
            )

    def _end(self, job_id: str, state: JobState, failure: str) -> JobState:
        reply = as_text(self._scripts.call("end_job", job_id, state.value, failure, "", ""))
        outcome = self._known(job_id, reply)
        return state if outcome == "ended" else JobState(outcome)

    def _known(self, job_id: str, outcome: str) -> str:
        if outcome == "unknown":
            raise unknown_job(job_id)
        return outcome


def unknown_job(job_id: str) -> UnknownJob:
    """Say that there is no such job, and why that may be."""
    return UnknownJob(
        f"No job {job_id!r}. `seqd jobs list` shows those that are kept; they go with `seqd jobs "
        "rm`, when their time to live has passed, or with their Redis. Check the id, or hand the "
        "job in again, with the same idempotency key."
    )

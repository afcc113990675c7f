"""What is done to a job from outside: cancel, fail, pause, resume, remove.

Each is one script, so it holds with no worker up and is seen by all at once. None changes a result.

A job at which a script fails, since its keys in Redis are not what seqd writes, is failed:
otherwise every worker would fail at it again and again, and no other job would be claimed.
"""

import logging
from typing import cast

from pydantic import ValidationError

from seqd.errors import JobDamaged, UnknownJob, WrongState, failure_of
from seqd.ledger.exchange import (
    Argument,
    Command,
    Exchange,
    Part,
    Reply,
    command,
    exchange,
    open_jobs,
    pipeline,
    script,
)
from seqd.ledger.scripts import HELD_STATES, ScriptError, as_int, as_text
from seqd.validation import fault_sentence
from seqd_schemas import Failure, JobState, to_stored

log = logging.getLogger(__name__)

#: Uploads that one call of `fail_abandoned` ends at most.
ABANDONED = 1_000


class Control(Part):
    """Changes the course of jobs. Methods that return a state return the one afterwards."""

    @exchange
    def state(self, job_id: str) -> Exchange[JobState | None]:
        """Return a job's state; None where there is no such job, or it was written over."""
        asked = Command(("HGET", self._keys.job(job_id), "state"))
        (reply,) = yield from pipeline([asked], raises=False)
        return next((state for state in JobState if state.value.encode() == reply), None)

    @exchange
    def cancel(self, job_id: str) -> Exchange[JobState]:
        """Cancel a job. One that had ended keeps its state. Raises UnknownJob."""
        return (yield from _end(job_id, JobState.CANCELLED, ""))

    @exchange
    def fail(self, job_id: str, failure: Failure) -> Exchange[JobState]:
        """End a job as failed, whoever holds its units. Raises UnknownJob."""
        return (yield from _end(job_id, JobState.FAILED, to_stored(failure)))

    @exchange
    def fail_upload(self, job_id: str, failure: Failure, owner: str) -> Exchange[bool]:
        """End a job as failed whose input broke off; False unless the upload `owner` owns it."""
        state = JobState.FAILED.value
        reply = yield from script("end_job", job_id, state, to_stored(failure), "", "", owner)
        return as_text(reply) == "ended"

    @exchange
    def pause(self, job_id: str, by: str = "") -> Exchange[JobState]:
        """Let no further unit of a job be claimed; `by` says who does.

        Units in hand are finished; a training stops at its next checkpoint. A job that had ended
        keeps its state. Raises UnknownJob, and WrongState of one that another engine runs.
        """
        reply = yield from script("steer", "pause", job_id, by)
        state = JobState(_known(job_id, as_text(reply)))
        if state is JobState.RUNNING:
            raise WrongState(
                f"Job {job_id} is run by another engine, which cannot be paused. Cancel it (seqd "
                f"jobs cancel {job_id}); the same command with --resume goes on later."
            )
        return state

    @exchange
    def resume(self, job_id: str) -> Exchange[JobState]:
        """Let a paused job go on. One that is not paused keeps its state. Raises UnknownJob."""
        return JobState(_known(job_id, as_text((yield from script("steer", "resume", job_id, "")))))

    @exchange
    def remove(self, job_id: str) -> Exchange[None]:
        """Delete an ended job and its results.

        Raises UnknownJob, and WrongState while it, or the job that continues it, has not ended.
        """
        outcome = _known(job_id, as_text((yield from script("steer", "remove", job_id, ""))))
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

    @exchange
    def fail_abandoned(self, silence_s: float, now_ms: int) -> Exchange[None]:
        """End jobs whose upload's client has shown no sign of life for `silence_s` seconds.

        At most `ABANDONED` in a call, the longest silent first.
        """
        latest_ms = now_ms - int(silence_s * 1000)
        uploads, limit = self._keys.uploads(), ("LIMIT", 0, ABANDONED)
        rows = yield from command("ZRANGEBYSCORE", uploads, "-inf", latest_ms, *limit)
        for job_id in cast(list[bytes], rows):
            message = (
                f"The client showed no sign of life for {silence_s:g} s and had not said that its "
                "input was complete. Send the job again; what had finished stays readable."
            )
            failure = Failure(code="upload_abandoned", message=message, retryable=True)
            # Not `fail`: a job that somebody has deleted by hand is no error here.
            state = JobState.FAILED.value
            yield from script("end_job", job_id, state, to_stored(failure), "", "")

    @exchange
    def open_queues(self, first: int, most: int) -> Exchange[list[tuple[str, str]]]:
        """Return open jobs by age, from a place in their order, each with its queue.

        Those that are held, such as paused ones, are left out.
        """
        rows = yield from open_jobs(self._keys, first, most, ("queue", "state"))
        return [
            (job_id, queue.decode())
            for job_id, (queue, state) in rows
            if queue is not None and state not in HELD_STATES
        ]


def unknown_job(job_id: str) -> UnknownJob:
    """Return the error for a job that is not there, with the reasons why that may be."""
    return UnknownJob(
        f"No job {job_id!r}. `seqd jobs list` shows those that are kept; they go with `seqd jobs "
        "rm`, when their time to live has passed, or with their Redis. Check the id, or hand the "
        "job in again, with the same idempotency key."
    )


def damaged_job(job: str, reason: str) -> JobDamaged:
    """Return the error for a job, named `job`, whose keys are not what seqd writes."""
    return JobDamaged(
        f"What Redis holds of {job} is not what seqd writes: {reason}. Somebody changed it by "
        "hand. Hand the job in again."
    )


def fail_damaged(job_id: bytes | str, why: Exception) -> Exchange[bool]:
    """Return True after failing a job at which a script failed; False where it is sound or gone.

    The message of the failure contains `why`.
    """
    failure = to_stored(failure_of(damaged_job("this job", reason_of(why))))
    done = as_int((yield from script("fail_damaged", job_id, failure))) == 1
    if done:
        log.error("job=%.80r is damaged and has failed: %s", job_id, reason_of(why))
    return done


def script_past_damage(name: str, *arguments: Argument) -> Exchange[Reply]:
    """Return a script's reply, behind the end of the damaged jobs at which it failed."""
    while True:
        try:
            return (yield from script(name, *arguments))
        except ScriptError as error:
            if not (yield from fail_damaged(error.job_id, error)):
                raise


def _end(job_id: str, state: JobState, failure: str) -> Exchange[JobState]:
    reply = yield from script("end_job", job_id, state.value, failure, "", "")
    outcome = _known(job_id, as_text(reply))
    return state if outcome == "ended" else JobState(outcome)


def _known(job_id: str, outcome: str) -> str:
    if outcome == "unknown":
        raise unknown_job(job_id)
    return outcome


def reason_of(error: Exception) -> str:
    """Return why a job cannot be read, in a few words."""
    if not isinstance(error, ValidationError):
        return str(error)[:500]
    return fault_sentence(error, whole="the request", shows_value=False)[:500]

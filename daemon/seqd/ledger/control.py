"""What is done to a job from outside: cancel, fail, pause, resume, remove, quarantine.

Each is one script, so it holds with no worker up and is seen by all at once. None changes a result.

A job goes into quarantine whose keys in Redis are not what seqd writes: somebody wrote them by
hand, or a newer version of seqd did. Otherwise every worker would fail at it again and again, and
no other job would be claimed.
"""

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from pydantic import ValidationError
from redis.exceptions import ResponseError

from seqd.errors import JobDamaged, UnknownJob, WrongState, failure_of
from seqd.ledger.exchange import (
    Argument,
    Command,
    Driver,
    Exchange,
    Fault,
    Notify,
    Reply,
    command,
    exchange,
    pipeline,
    script,
)
from seqd.ledger.redis import trouble_of
from seqd.ledger.scripts import HELD_STATES, ScriptError, as_int, as_list, as_text
from seqd_schemas import Failure, JobState, Keys, to_stored

if TYPE_CHECKING:
    from seqd.ledger.transport import Transport

log = logging.getLogger(__name__)

#: Parts of a job that have a number of each unit: too many to be read by a script.
UNIT_NUMBERS = ("attempts", "crashes", "sizes")

#: Values that one command reads, more or less.
VALUES_AT_ONCE = 1_000

#: Uploads that one call of `fail_abandoned` ends at most.
ABANDONED = 1_000


class Control:
    """Changes the course of jobs. Methods that return a state return the one afterwards."""

    def __init__(self, driver: Driver, keys: Keys) -> None:
        self.driver = driver
        self._keys = keys

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
    def pause(self, job_id: str) -> Exchange[JobState]:
        """Let no further unit of a job be claimed.

        Units in hand are finished; a training stops at its next checkpoint. A job that had ended
        keeps its state. Raises UnknownJob.
        """
        return JobState(_known(job_id, as_text((yield from script("pause", job_id)))))

    @exchange
    def resume(self, job_id: str) -> Exchange[JobState]:
        """Let a paused job go on. One that is not paused keeps its state. Raises UnknownJob."""
        reply = as_list((yield from script("resume", job_id)))
        state = JobState(_known(job_id, as_text(reply[0])))
        if route := as_text(reply[1]):
            yield Notify(route)
        return state

    @exchange
    def remove(self, job_id: str) -> Exchange[None]:
        """Delete an ended job and its results.

        Raises UnknownJob, and WrongState while it, or the job that continues it, has not ended.
        """
        outcome = _known(job_id, as_text((yield from script("remove", job_id))))
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
    def end_if_overdue(self, job_id: str) -> Exchange[bool]:
        """End a job whose time has run out; False when it has time left or had ended."""
        return as_int((yield from script("overdue", job_id))) == 1

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
        rows = yield from command("ZRANGE", self._keys.open_jobs(), first, first + most - 1)
        ids = [job_id.decode(errors="replace") for job_id in cast(list[bytes], rows)]
        asked = (Command(("HMGET", self._keys.job(one), "queue", "state")) for one in ids)
        # Errors of damaged jobs, which a claim puts into quarantine, stand in their places.
        replies = yield from pipeline(asked, raises=False)
        queues = []
        for job_id, reply in zip(ids, replies, strict=True):
            if isinstance(reply, ResponseError) and trouble_of(reply) is not None:
                yield Fault(reply)
            queue, state = reply if isinstance(reply, list) else (None, None)
            if isinstance(queue, bytes) and state not in HELD_STATES:
                queues.append((job_id, queue.decode(errors="replace")))
        return queues


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


def quarantine(
    transport: "Transport", job_id: bytes | str, why: Exception, *, is_damaged: bool = False
) -> bool:
    """Return True after failing a job whose keys are damaged, and putting these aside.

    False where it is sound or gone. `is_damaged` tells of damage that the script does not see. The
    message of the failure contains `why`.
    """
    failure = to_stored(failure_of(damaged_job("this job", _reason(why))))
    done = as_int(transport.call("quarantine", job_id, failure, int(is_damaged))) == 1
    if done:
        log.error("job=%.80r is damaged and was put in quarantine: %s", job_id, _reason(why))
    return done


def quarantine_after(transport: "Transport", job_id: bytes | str, error: Exception) -> bool:
    """Return True after quarantining the job at which a script failed; False if it is sound."""
    name = job_id.encode() if isinstance(job_id, str) else job_id
    keys = (
        b"%b:job:{%b}:%b" % (transport.prefix.encode(), name, part.encode())
        for part in UNIT_NUMBERS
    )
    is_damaged = not all(transport.run(_has_numbers(key)) for key in keys)
    return quarantine(transport, job_id, error, is_damaged=is_damaged)


def _has_numbers(key: bytes) -> Exchange[bool]:
    """Return whether all values of a hash are numbers; of what is no hash, too."""
    cursor = 0
    with suppress(ResponseError):
        while True:
            reply = yield from command("HSCAN", key, cursor, "COUNT", VALUES_AT_ONCE)
            cursor, found = cast(tuple[int, dict[bytes, bytes]], reply)
            if not all(value.isdigit() for value in found.values()):
                return False
            if not cursor:
                break
    return True


def call_past_damage(transport: "Transport", name: str, *arguments: Argument) -> Reply:
    """Return a script's reply, behind the quarantine of the damaged jobs at which it failed."""
    while True:
        try:
            return transport.call(name, *arguments)
        except ScriptError as error:
            if not quarantine_after(transport, error.job_id, error):
                raise


def _end(job_id: str, state: JobState, failure: str) -> Exchange[JobState]:
    reply = yield from script("end_job", job_id, state.value, failure, "", "")
    outcome = _known(job_id, as_text(reply))
    return state if outcome == "ended" else JobState(outcome)


def _known(job_id: str, outcome: str) -> str:
    if outcome == "unknown":
        raise unknown_job(job_id)
    return outcome


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)[:500]
    first = error.errors(include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "the request"
    return f"{field}: {first['msg']}"[:500]

"""What to do about a job whose keys in Redis are not what seqd writes: end it, and go on.

Somebody wrote them by hand, or a newer version of seqd did. Without this, every worker would
trip over such a job again and again, and no other job would get its turn. Called by `work`
alone, when a script or a request cannot be read; sound jobs never come here.
"""

import logging
from collections.abc import Sequence

from pydantic import ValidationError

from seqd.errors import JobDamaged, failure_of
from seqd.ledger.scripts import Scripts, as_int, as_list

log = logging.getLogger(__name__)


def bury_job(
    scripts: Scripts, job_id: bytes | str, why: Exception, routes: Sequence[str] = ()
) -> None:
    """End a job as failed, whatever stands in its keys; `why` goes into the message."""
    _bury(scripts, why, "job", job_id, "", routes)


def bury_if_damaged(scripts: Scripts, job_id: str, why: Exception) -> bool:
    """End a job if its keys are not what seqd writes; False if it is sound or gone."""
    _, found = _bury(scripts, why, "suspect", job_id)
    return found > 0


def bury_found(
    scripts: Scripts, why: Exception, *, worker: str = "", routes: Sequence[str] = ()
) -> bool:
    """Find and end what a script has just tripped over; False if nothing was found.

    Looks at what is overdue, next on these routes, or with this worker, and then, a few at a
    time, at all open jobs. `why` is what the script said.
    """
    _, found = _bury(scripts, why, "next", "", worker, routes)
    place = 0
    while not found:
        place, found = _bury(scripts, why, "open", place, worker, routes)
        if place == 0:
            break
    return found > 0


def _bury(
    scripts: Scripts,
    why: Exception,
    mode: str,
    job: bytes | str | int,
    worker: str = "",
    routes: Sequence[str] = (),
) -> tuple[int, int]:
    """Call the script; gives the place to go on from and the number of jobs that were ended."""
    error = JobDamaged(
        f"What Redis holds of this job is not what seqd writes: {_reason(why)}. Somebody changed "
        "it by hand, or another version of seqd wrote it. Hand the job in again."
    )
    failure = failure_of(error).model_dump_json()
    reply = as_list(scripts.call("bury", failure, mode, job, worker, *routes))
    for name in reply[1:]:
        log.error("job=%.80r is damaged and was ended: %s", name, _reason(why))
    return as_int(reply[0]), len(reply) - 1


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)[:500]
    first = error.errors(include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the request"
    return f"{place}: {first['msg']}"[:500]

"""Puts jobs in quarantine whose keys in Redis are not what seqd writes, so that all others go on.

Somebody wrote them by hand, or a newer version of seqd did. Without this, every worker would
trip over such a job again and again, and no other job would get its turn. Sound jobs stay as they
are.
"""

import logging

from pydantic import ValidationError

from seqd.errors import JobDamaged, failure_of
from seqd.ledger.scripts import Scripts, Tripped, as_int

log = logging.getLogger(__name__)


def quarantine(scripts: Scripts, job_id: bytes | str, why: Exception) -> None:
    """Fail a job, whatever its keys look like, and put them aside; `why` goes into the message."""
    _quarantine(scripts, job_id, why, is_certain=True)


def quarantine_if_damaged(scripts: Scripts, job_id: bytes | str, why: Exception) -> bool:
    """Return True after putting a job aside whose keys are damaged; False if sound or gone."""
    return _quarantine(scripts, job_id, why, is_certain=False)


def quarantine_suspect(scripts: Scripts, error: Exception) -> bool:
    """Return True after putting the job aside over which a script has tripped.

    False if that is sound, or nobody's.
    """
    if not isinstance(error, Tripped):
        return False
    return quarantine_if_damaged(scripts, error.job_id, error)


def _quarantine(scripts: Scripts, job_id: bytes | str, why: Exception, *, is_certain: bool) -> bool:
    error = JobDamaged(
        f"What Redis holds of this job is not what seqd writes: {_reason(why)}. Somebody changed "
        "it by hand, or another version of seqd wrote it. Hand the job in again."
    )
    failure = failure_of(error).model_dump_json()
    done = as_int(scripts.call("quarantine", job_id, failure, int(is_certain))) == 1
    if done:
        log.error("job=%.80r is damaged and was put in quarantine: %s", job_id, _reason(why))
    return done


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)[:500]
    first = error.errors(include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the request"
    return f"{place}: {first['msg']}"[:500]

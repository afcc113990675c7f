"""Turns the ledger's refusal of a new job into an error that says what to do.

Called by `submissions`. The limits are the operator's: workers publish them when they boot.
"""

from typing import Final

from seqd.errors import QuotaExceeded, RedisFull, SeqdError, UploadLost, WrongState
from seqd.ledger.scripts import Reply, as_int, as_text
from seqd_schemas import Job

#: Seconds after which another try is worth its while. Memory comes back when results outlive
#: their time to live or workers catch up, a quota with each unit that is done.
MEMORY_RETRY_S: Final = 30.0
QUOTA_RETRY_S: Final = 5.0

_QUOTAS: Final = {
    "tenant_jobs": ("open job", "open jobs", "SEQD_MAX_TENANT_JOBS"),
    "tenant_items": ("item waiting", "items waiting", "SEQD_MAX_TENANT_ITEMS"),
    "tenant_bytes": ("byte of input waiting", "bytes of input waiting", "SEQD_MAX_TENANT_BYTES"),
}


def refusal(job: Job, reply: list[Reply]) -> SeqdError:
    """Read what `submit.lua` said after `refused`."""
    reason = as_text(reply[0])
    if reason == "memory":
        return _memory_short()
    if reason == "incomplete":
        return WrongState(
            f"Training {job.continues} cannot be continued: its data was not uploaded completely "
            "before it ended, or is not kept any more. Hand the training in again with all of it."
        )
    if reason == "continues":
        return _unfit(job, state=as_text(reply[1]), other=as_text(reply[2]))
    return _over_quota(job.tenant, reason, waiting=as_int(reply[1]), allowed=as_int(reply[2]))


def already_continued(kind: str, ended: str, other: str) -> WrongState:
    """Say that job `other` continues the ended one already, and how to continue that one."""
    told = f"Job {ended} was already continued by job {other}."
    if kind == "train":
        return WrongState(f"{told} Resume that one: seqd jobs resume {other}")
    return WrongState(
        f"{told} Retry that one: seqd jobs retry {other}; then all results: seqd jobs "
        f"results {ended} --merged"
    )


def lost_units(job_id: str, unit: int) -> UploadLost:
    """Say that Redis has lost units in front of `unit` that it had acknowledged."""
    return UploadLost(
        f"Redis has lost units of job {job_id} in front of unit {unit}, which it had acknowledged: "
        "it crashed before they were on its disk. Hand the job in again; what was done stays "
        "readable."
    )


def _memory_short() -> RedisFull:
    error = RedisFull(
        "Redis has used up the share of its maxmemory that new jobs may take "
        "(SEQD_MAX_MEMORY_SHARE of the workers). Nothing was written. Raise maxmemory, wait until "
        f"old jobs have outlived their results_ttl_s, or try again in {MEMORY_RETRY_S:g} s."
    )
    error.retry_after_s = MEMORY_RETRY_S
    return error


def _over_quota(tenant: str, reason: str, *, waiting: int, allowed: int) -> QuotaExceeded:
    one, several, setting = _QUOTAS[reason]
    what = one if waiting == 1 else several
    return QuotaExceeded(
        f"Tenant {tenant!r} has {waiting:,} {what}; allowed: {allowed:,} ({setting} of the "
        f"workers). Nothing was written. Try again in {QUOTA_RETRY_S:g} s, when some are done.",
        QUOTA_RETRY_S,
    )


def _unfit(job: Job, *, state: str, other: str) -> WrongState:
    ended = job.continues
    if not state:
        return WrongState(f"There is no job {ended!r} to continue; it is not kept (any more).")
    if other:
        return already_continued(job.kind, str(ended), other)
    if job.kind == "train" and state == "completed":
        return WrongState(
            f"Training {ended} is completed: there is nothing left to continue. Train anew, "
            "without `continues`."
        )
    return WrongState(
        f"Job {ended} is {state}; only a job that has ended can be continued. Wait for its end, "
        "or cancel it."
    )

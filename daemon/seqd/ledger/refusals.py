"""Turns the ledger's refusal of a new job into an error that says what to do.

Called by `submissions`. The limits are the operator's: workers publish them when they boot.
"""

from typing import Final

from seqd.errors import QuotaExceeded, RedisFull, SeqdError, WrongState
from seqd.ledger.scripts import Reply, as_int, as_text
from seqd_schemas import Job

#: Seconds after which another try is worth its while. Memory comes back when results outlive
#: their time to live or workers catch up, a quota with each unit that is done.
MEMORY_RETRY_S: Final = 30.0
QUOTA_RETRY_S: Final = 5.0

_QUOTAS: Final = {
    "tenant_jobs": ("open jobs", "SEQD_MAX_TENANT_JOBS"),
    "tenant_items": ("items waiting", "SEQD_MAX_TENANT_ITEMS"),
    "tenant_bytes": ("bytes of input waiting", "SEQD_MAX_TENANT_BYTES"),
}


def refusal(job: Job, reply: list[Reply]) -> SeqdError:
    """Read what `submit.lua` said after `refused`."""
    reason = as_text(reply[0])
    if reason == "memory":
        return _memory_short()
    if reason == "continues":
        return _unfit(job, state=as_text(reply[1]), other=as_text(reply[2]))
    return _over_quota(job.tenant, reason, waiting=as_int(reply[1]), allowed=as_int(reply[2]))


def _memory_short() -> RedisFull:
    error = RedisFull(
        "Redis has used up the share of its maxmemory that new jobs may take "
        "(SEQD_MAX_MEMORY_SHARE of the workers). Nothing was written. Raise maxmemory, wait until "
        f"old jobs have outlived their results_ttl_s, or try again in {MEMORY_RETRY_S:g} s."
    )
    error.retry_after_s = MEMORY_RETRY_S
    return error


def _over_quota(tenant: str, reason: str, *, waiting: int, allowed: int) -> QuotaExceeded:
    what, setting = _QUOTAS[reason]
    return QuotaExceeded(
        f"Tenant {tenant!r} has {waiting:,} {what}; allowed: {allowed:,} ({setting} of the "
        f"workers). Nothing was written. Try again in {QUOTA_RETRY_S:g} s, when some are done.",
        QUOTA_RETRY_S,
    )


def _unfit(job: Job, *, state: str, other: str) -> WrongState:
    ended = job.continues
    if not state:
        return WrongState(f"There is no job {ended!r} to go on from; it is not kept (any more).")
    if other:
        return WrongState(
            f"Job {ended} is gone on from already, by job {other}. Go on from that one instead."
        )
    if job.kind == "train" and state == "completed":
        return WrongState(
            f"Training {ended} is completed: there is nothing left to go on with. Train anew, "
            "without `continues`."
        )
    return WrongState(
        f"Job {ended} is {state}; only a job that has ended can be gone on from. Wait for its "
        "end, or cancel it."
    )

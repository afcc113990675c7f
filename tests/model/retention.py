"""Which ended jobs are removed before their time, since their tenant keeps more than it may."""

from collections.abc import Collection

from model.jobs import ModelJob
from model.ledger import MIN_KEPT_MS, Ledger
from model.steering import take_out

#: Ended jobs that one step removes; the reconciler goes on behind them. A place whose job is gone
#: costs a sixteenth of one.
AT_ONCE, EMPTY_PLACE = 8, 1 / 16


def make_room(ledger: Ledger, gone: Collection[str], ended: Collection[str]) -> None:
    """Check that jobs that are gone had to go, and that all have that had to; take them out.

    `ended` are the tenants of which a job ended in this step, which is when somebody looks. Where
    more is in the way than one step looks at, some of what has to go may be left.
    """
    in_the_way = len(gone) + EMPTY_PLACE * sum(_in_the_way(ledger, tenant) for tenant in ended)
    for tenant in sorted({job.tenant for job in ledger.jobs.values()}):
        most = ledger.limit_of(tenant, "kept_bytes")
        went = [job for job in ledger.of_tenant(tenant) if job.job_id in gone]
        stays = [job for job in evictable(ledger, tenant) if job not in went]
        assert all(job in evictable(ledger, tenant) for job in went), f"{gone} were to stay"
        kept = account(ledger, tenant)
        for job in sorted(went, key=lambda job: (job.ended_ms or 0, job.kept_bytes)):
            age_ms = ledger.now_ms - (job.ended_ms or 0)
            is_due = kept > most or (ledger.limits.is_short and age_ms >= MIN_KEPT_MS)
            assert is_due, f"{job.job_id} had to go, and {tenant} keeps {kept} of {most}"
            kept -= job.kept_bytes
            take_out(ledger, job.job_id)
            ledger.empty_places[tenant] -= 1
        latest_ms = max((job.ended_ms or 0 for job in went), default=0)
        # One that another has continued stands behind those that ended until it was let go.
        older = [
            job.job_id
            for job in stays
            if (job.ended_ms or 0) < latest_ms and job.continued_by is None
        ]
        assert not older, f"{older} ended before {sorted(gone)}, and stay"
        if tenant in ended and in_the_way < AT_ONCE:
            left = ledger.kept_bytes(tenant)
            too_many = left > most and len(stays) > 1
            assert not too_many, f"{tenant} keeps {left} of {most}, and {len(stays)} ended jobs"


def evictable(ledger: Ledger, tenant: str) -> list[ModelJob]:
    """Return the ended jobs of a tenant that no open job needs."""
    return [
        job
        for job in ledger.of_tenant(tenant)
        if not job.is_open and job.held_by is None and ledger.open_continuation(job) is None
    ]


def _in_the_way(ledger: Ledger, tenant: str) -> int:
    """Count what is looked at and not removed: jobs that open ones need, and empty places.

    With an empty place its bucket may have become empty, which is looked at once more.
    """
    needed = [job for job in ledger.of_tenant(tenant) if ledger.open_continuation(job) is not None]
    return len(needed) + 2 * ledger.empty_places[tenant]


def account(ledger: Ledger, tenant: str) -> int:
    """Return what a tenant keeps at most: jobs whose time has passed may still count."""
    past = sum(one.kept_bytes for one in ledger.past if one.tenant == tenant)
    return ledger.kept_bytes(tenant) + past


def forget_past(ledger: Ledger) -> None:
    """Take what is long gone off the accounts, as the reconciler does."""
    ledger.past = [one for one in ledger.past if one.gone_ms > ledger.now_ms]

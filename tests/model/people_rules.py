"""Steps of people and of time: what is done to jobs, models and tenants, and what runs out."""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from builders import a_failure
from model import following, limits, many, steering, working
from model.adapter import MODELS
from model.machine import ANY, BACKOFF_MS, LEASE_MS, LOST, TENANTS, Machine
from seqd_schemas import JobState, Priority, TenantLimits, TrainJob

ANY_TENANT = st.sampled_from(["north", "south", None])
SOME_MODEL = st.sampled_from([*MODELS, "unknown"])

#: Times to pass: next to a lease, a back-off, the pause between two events, and times to live.
SPANS_MS = st.sampled_from(
    [1, 249, 250, 999, 1_000, 2_000, 30_000, LEASE_MS - 1, LEASE_MS, 600_000, 3_599_999, 3_600_000]
)

SET = st.sampled_from(
    [
        (TenantLimits(jobs=3, weight=2.0), ()),
        (TenantLimits(items=6), ()),
        (TenantLimits(jobs=0), ()),
        (TenantLimits(priorities=(Priority.NORMAL, Priority.BULK)), ()),
        (TenantLimits(results_ttl_s=600), ("jobs",)),
        (TenantLimits(), ("jobs", "items", "priorities", "results_ttl_s", "weight")),
        (TenantLimits(), ("jobs", "items", "priorities", "results_ttl_s", "weight")),
        (TenantLimits(), ()),
    ]
)


class PeopleRules(Machine):
    """What people do, and what the reconciler does when time has passed."""

    @rule(span_ms=SPANS_MS)
    def pass_time(self, span_ms: int) -> None:
        self.ledger.step(span_ms)
        self.adapter.hold(self.ledger.now_ms)

    @rule(lost=LOST)
    def expire(self, lost: int) -> None:
        self.touched |= set(self.ledger.jobs)
        self.same(lambda: working.expire(self.ledger, BACKOFF_MS), self.adapter.expire, lost)

    @precondition(lambda self: not self.may_lose)
    @rule(is_short=st.booleans())
    def run_out_of_memory(self, is_short: bool) -> None:
        self.ledger.limits.is_short = is_short
        self.adapter.publish_limits(self.ledger.limits)

    @rule(silence_s=st.sampled_from([60.0, 3_600.0]))
    def fail_abandoned(self, silence_s: float) -> None:
        self.touched |= set(self.ledger.jobs)
        self.same(
            lambda: following.fail_abandoned(self.ledger, int(1_000 * silence_s)),
            lambda: self.adapter.fail_abandoned(silence_s, self.ledger.now_ms),
        )

    @rule()
    def recount(self) -> None:
        self.adapter.recount()

    @rule()
    def evict(self) -> None:
        self.adapter.evict()
        self.has_evicted = True

    @precondition(lambda self: self.ledger.jobs)
    @rule(
        which=ANY,
        act=st.sampled_from(["cancel", "pause", "pause", "resume", "resume"]),
        lost=LOST,
    )
    def steer(self, which: int, act: str, lost: int) -> None:
        job_id = self.any_job(which).job_id
        predict = getattr(steering, act)
        self.same(
            lambda: predict(self.ledger, job_id),
            lambda: getattr(self.adapter.job(job_id), act)(),
            lost,
        )

    @precondition(lambda self: self.ledger.jobs)
    @rule(which=ANY, lost=LOST)
    def fail(self, which: int, lost: int) -> None:
        job_id, failure = self.any_job(which).job_id, a_failure()
        self.same(
            lambda: steering.fail(self.ledger, job_id, failure),
            lambda: self.adapter.fail(job_id, failure),
            lost,
        )

    @precondition(lambda self: self.ledger.jobs)
    @rule(which=ANY, lost=LOST)
    def remove(self, which: int, lost: int) -> None:
        job_id = self.any_job(which).job_id
        self.same(
            lambda: steering.remove(self.ledger, job_id),
            lambda: self.adapter.job(job_id).remove(),
            lost,
        )

    @rule(
        tenant=ANY_TENANT,
        action=st.sampled_from(["cancel", "pause", "resume", "remove"]),
        lost=LOST,
    )
    def steer_many(self, tenant: str | None, action: str, lost: int) -> None:
        self.touched |= set(self.ledger.jobs)
        self.same(
            lambda: many.act(self.ledger, action, tenant),
            lambda: self.adapter.act_on_many(action, tenant),
            lost,
        )

    @precondition(lambda self: self.may_lose)
    @rule()
    def remove_everything(self) -> None:
        """Nothing stays behind jobs that are removed."""
        for action in ("cancel", "remove"):
            self.steer_many(None, action, 0)
        assert not self.ledger.jobs
        stays = self.adapter.names_that_stay(has_past=bool(self.ledger.past))
        assert not stays, f"when all is removed, there are {stays}"

    @rule(model=SOME_MODEL, disables=st.booleans(), lost=LOST)
    def pause_model(self, model: str, disables: bool, lost: int) -> None:
        self.same(
            lambda: limits.pause_model(self.ledger, model, MODELS, disables=disables),
            lambda: self.adapter.pause_model(model, disables=disables),
            lost,
        )

    @precondition(lambda self: self.ledger.paused_models | self.ledger.disabled_models)
    @rule(model=SOME_MODEL, lost=LOST)
    def resume_model(self, model: str, lost: int) -> None:
        self.same(
            lambda: limits.resume_model(self.ledger, model),
            lambda: self.adapter.client.resume_model(model),
            lost,
        )

    @rule(tenant=TENANTS, change=SET, lost=LOST)
    def set_tenant(
        self, tenant: str, change: tuple[TenantLimits, tuple[str, ...]], lost: int
    ) -> None:
        self.same(
            lambda: limits.set_tenant(self.ledger, tenant, *change),
            lambda: self.adapter.client.set_tenant(tenant, change[0], unset=change[1]).own,
            lost,
        )

    # What people look at.

    @rule(tenant=ANY_TENANT, states=st.sampled_from([frozenset(JobState), many.ENDED, many.OPEN]))
    def list_jobs(self, tenant: str | None, states: frozenset[JobState]) -> None:
        due = [job.job_id for job in many.matching(self.ledger, tenant, states)]
        assert self.adapter.list_jobs(tenant, states) == due

    @rule(tenant=ANY_TENANT, action=st.sampled_from(sorted(many.ABLE)))
    def count_jobs(self, tenant: str | None, action: str) -> None:
        due = len(many.matching(self.ledger, tenant, many.ABLE[action]))
        assert self.adapter.count_jobs(action, tenant) == due

    @precondition(lambda self: self.ledger.jobs)
    @rule(which=ANY, offset=st.integers(0, 9), limit=st.integers(0, 9))
    def read_a_page(self, which: int, offset: int, limit: int) -> None:
        job = self.any_job(which)
        if isinstance(job.request, TrainJob):
            return
        found = self.adapter.results(job.job_id, offset, limit)
        working.end_if_overdue(self.ledger, job)  # as whoever reads it does
        assert found == self.ledger.results_of(job, offset)[:limit]

    @rule()
    def read_what_failed_and_was_used(self) -> None:
        assert self.adapter.failures(self.ledger.failures) == self.ledger.failures[::-1]
        assert self.adapter.usage() == self.ledger.usage
        assert self.adapter.evictions() == self.evicted

    @precondition(lambda self: self.ledger.jobs)
    @rule(which=ANY)
    def read_who_works(self, which: int) -> None:
        job = self.any_job(which)
        self.end_overdue([job.job_id])
        if not job.is_open:
            return
        found = self.adapter.job(job.job_id).activity()
        workers = Counter(part.worker for part in job.claimed if part.place == "leased")
        attempts = [part.attempt for part in [*job.claimed, *job.split]]
        assert found.workers == workers
        assert found.attempts == sum(attempts)
        assert found.units_tried_again == sum(attempt > 1 for attempt in attempts)
        assert found.crashes == sum(part.crashes for part in [*job.claimed, *job.split])

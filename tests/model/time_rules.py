"""Steps of time: what runs out, what the reconciler does then, and what can be seen meanwhile."""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from model import following, many, working
from model.machine import ANY, BACKOFF_MS, LEASE_MS, LOST, Machine
from seqd_schemas import JobState, TrainJob

ANY_TENANT = st.sampled_from(["north", "south", None])

#: Times to pass: next to a lease, a back-off, the pause between two events, and times to live.
SPANS_MS = st.sampled_from(
    [1, 249, 250, 999, 1_000, 2_000, 30_000, LEASE_MS - 1, LEASE_MS, 600_000, 3_599_999, 3_600_000]
)

RECONCILED = st.sampled_from(["expire", "expire", "evict", "give up", "run out of memory"])


class TimeRules(Machine):
    """What time and the reconciler do."""

    @rule(span_ms=SPANS_MS)
    def pass_time(self, span_ms: int) -> None:
        self.step(span_ms)

    @rule(what=RECONCILED, is_much=st.booleans(), lost=LOST)
    def reconcile(self, what: str, is_much: bool, lost: int) -> None:
        self.touched |= set(self.ledger.jobs)
        if what == "expire":
            self.same(lambda: working.expire(self.ledger, BACKOFF_MS), self.adapter.expire, lost)
        elif what == "evict":
            self.adapter.evict()
            self.has_evicted = True
        elif what == "give up":
            silence_ms = 3_600_000 if is_much else 60_000
            following.fail_abandoned(self.ledger, silence_ms)
            self.adapter.fail_abandoned(silence_ms / 1_000, self.ledger.now_ms)
        elif not self.may_lose:  # which jobs make room is looked up afterwards
            self.ledger.limits.is_short = is_much
            self.adapter.publish_limits(self.ledger.limits)

    @rule(tenant=ANY_TENANT, action=st.sampled_from(sorted(many.ABLE)))
    def look_at_all(self, tenant: str | None, action: str) -> None:
        for states in (frozenset(JobState), many.ABLE[action]):
            jobs = [job.job_id for job in many.matching(self.ledger, tenant, states)]
            listed = self.adapter.list_jobs(tenant, states)
            assert listed == jobs, f"listed are {listed}, due are {jobs}"
        count = self.adapter.count_jobs(action, tenant)
        assert count == len(jobs), f"{count} were counted, due are {jobs}"
        found, due = self.adapter.failures(self.ledger.failures), self.ledger.failures[::-1]
        assert found == due, f"dead are {found}, due are {due}"
        assert self.adapter.usage() == self.ledger.usage
        assert self.adapter.evictions() == self.evicted
        unnamed = self.adapter.unnamed_keys()
        assert not unnamed, f"the schemas do not name {unnamed}"
        for_ever = self.adapter.names_for_ever()
        assert not for_ever, f"these have no time to live: {for_ever}"

    @precondition(lambda self: self.ledger.jobs)
    @rule(which=ANY, offset=st.integers(0, 9), limit=st.integers(0, 9))
    def look_at_one(self, which: int, offset: int, limit: int) -> None:
        """Read a page of its results, and who works on it."""
        job = self.any_job(which)
        self.end_overdue([job.job_id])
        if job.job_id not in self.ledger.jobs or isinstance(job.request, TrainJob):
            return
        found = self.adapter.results(job.job_id, offset, limit)
        assert found == self.ledger.results_of(job, offset)[:limit]
        if not job.is_open:
            return
        activity, units = self.adapter.job(job.job_id).activity(), [*job.claimed, *job.split]
        held = Counter(unit.worker for unit in job.claimed if unit.place == "leased")
        assert activity.workers == held
        assert activity.attempts == sum(unit.attempt - unit.carried for unit in units)
        again = {unit.name.partition(":")[0] for unit in units if unit.attempt > 1}
        assert activity.units_tried_again == len(again)
        assert activity.crashes == sum(unit.crashes for unit in units)

"""What all rules share: a step is a prediction and an act, and then all is compared that is seen.

A step returns the same on both sides, or refuses with the same code. After it every job's record is
compared, the accounts, what is left and the wakeups, and of the jobs of the step their results and
events.
"""

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from model import retention, working
from model.adapter import SERVED, VERSION, Adapter, Sizes
from model.classes import Classes
from model.fairness import Fairness
from model.jobs import Claimed, ModelJob
from model.ledger import DELTA_ENTRY_BYTES, Ledger, Limits, Refused
from seqd.errors import SeqdError
from seqd_schemas import Failure, Item, JobRecord, JobState, TrainJob, queue_of, route_of

T = TypeVar("T")

#: When each walk begins: long ago, so that clients leave it to the server what is overdue.
BEGIN_MS = 1_577_836_800_000

LEASE_S, BACKOFF_S = 60.0, 1.0
LEASE_MS, BACKOFF_MS = int(1_000 * LEASE_S), int(1_000 * BACKOFF_S)

PLENTY = 1 << 30

TENANTS = st.sampled_from(["north", "south"])
ANY = st.integers(0, 1_000)
#: How many replies of a step are lost.
LOST = st.sampled_from([0, 0, 0, 0, 0, 0, 1])
#: Times to live by tenant: so ended jobs of one tenant go in the order of their ends.
TTL_S = {"north": 3_600, "south": 60}


class Machine(RuleBasedStateMachine):
    """A walk beside one real ledger."""

    adapter: Adapter

    def __init__(self) -> None:
        super().__init__()
        limits = Limits(PLENTY, PLENTY, PLENTY, PLENTY, 7_200, 1_000)
        self.ledger = Ledger(BEGIN_MS, limits, Sizes())
        self.adapter.begin(BEGIN_MS, limits)
        #: Every claim that was ever made: most of them are out of date.
        self.claims: list[Claimed] = []
        self.made = 0
        #: Jobs of the last step, and those that were open before it.
        self.touched: set[str] = set()
        self.were_open: set[str] = set()
        self.has_evicted = False
        self.may_lose = True
        self.evicted = 0
        self.classes = Classes()
        self.tenants, self.queues = Fairness("tenant"), Fairness("queue")
        self.jobs_of: dict[tuple[str, tuple[str, str]], Fairness] = {}

    @initialize(
        jobs=st.sampled_from([2, 4, PLENTY]),
        items=st.sampled_from([8, 20, PLENTY]),
        units=st.sampled_from([1, 3, 1_000]),
        kept=st.sampled_from([PLENTY, PLENTY, 12_000]),
    )
    def set_limits(self, jobs: int, items: int, units: int, kept: int) -> None:
        limits = Limits(jobs, items, PLENTY, kept, 7_200, units)
        self.ledger.limits = limits
        self.adapter.publish_limits(limits)
        # Which jobs go is only known afterwards.
        self.may_lose = kept == PLENTY

    def same(
        self,
        predict: Callable[[], T],
        act: Callable[[], T],
        lost: int = 0,
        *,
        counts_once: bool = False,
    ) -> T | None:
        """Return what both gave, None where both refused; with a lost reply it is done twice."""
        lost = lost if self.may_lose else 0
        expected = outcome_of(predict)
        for _ in range(0 if counts_once else lost):
            expected = outcome_of(predict)
        with self.adapter.replies_lost(lost):
            found = outcome_of(act)
        assert found == expected, f"it gave {found}; due was {expected}"
        if not self.may_lose:
            self._make_room(self.adapter.records())
        return None if isinstance(found, Code) else found

    def same_job(
        self, predict: Callable[[str], str], act: Callable[[], str], lost: int = 0
    ) -> str | None:
        """Compare what hands a job in under a name of its own, and return that name."""
        lost = lost if self.may_lose else 0
        with self.adapter.replies_lost(lost):
            found = outcome_of(act)
        new_id = self.new_id() if isinstance(found, Code) else found
        self.touched.add(new_id)
        for _ in range(lost + 1):
            expected = outcome_of(lambda: predict(new_id))
        assert found == expected, f"it gave {found}; due was {expected}"
        if not self.may_lose:
            self._make_room(self.adapter.records())
        return None if isinstance(found, Code) else found

    def any_job(self, which: int, suits: Callable[[ModelJob], bool] = lambda _: True) -> ModelJob:
        """Choose a job, more often than not one that suits; of a high number, the last one."""
        jobs = list(self.ledger.jobs.values())
        if which % 5:
            jobs = [job for job in jobs if suits(job)] or jobs
        job = jobs[which % len(jobs)] if which < 900 else jobs[-1]
        self.touched.add(job.job_id)
        return job

    def any_claim(self, which: int) -> Claimed:
        """Choose a claim of any age, more often than not one of the last."""
        claims = self.claims[-4:] if which % 3 else self.claims
        claimed = claims[which % len(claims)]
        self.touched.add(claimed.job_id)
        return claimed

    def new_id(self) -> str:
        """Return an identifier that no job has had."""
        self.made += 1
        self.touched.add(self.last_id)
        return self.last_id

    @property
    def last_id(self) -> str:
        """The identifier that was made last."""
        return f"job-{self.made}"

    def would_wait(self, tenant: str, items: Sequence[Item], unit_items: int) -> bool:
        """Return True for an input that the quota cuts off behind its first unit."""
        waiting = self.ledger.waiting_items(tenant) + len(items)
        return len(items) > unit_items and waiting > self.ledger.limit_of(tenant, "items")

    def step(self, span_ms: int) -> None:
        """Let time pass."""
        self.ledger.step(span_ms)
        self.adapter.hold(self.ledger.now_ms)

    def end_overdue(self, job_ids: Collection[str]) -> None:
        """Look at jobs, which ends those whose time has run out."""
        for job in [self.ledger.jobs[one] for one in sorted(job_ids) if one in self.ledger.jobs]:
            if working.is_overdue(self.ledger, job):
                outcome_of(self.adapter.job(job.job_id).record)
                working.end_if_overdue(self.ledger, job)

    # What can be seen.

    @invariant()
    def all_is_as_predicted(self) -> None:
        self.end_overdue(self.touched)
        found = self.adapter.records()
        self._make_room(found)
        listed = self.ledger.listed()
        assert [record.job_id for record in found] == [job.job_id for job in listed]
        for record, job in zip(found, listed, strict=True):
            check_record(record, job, self.ledger)
        for tenant in TTL_S:
            self._check_account(tenant)
        left, due = self.adapter.work_left(), work_left(self.ledger)
        assert left == due, f"left are {left}, due are {due}"
        self._check_wakeups()
        for job_id in sorted(self.touched & set(self.ledger.jobs)):
            self._check_content(self.ledger.jobs[job_id])
        self.touched = set()

    def _make_room(self, found: Sequence[JobRecord]) -> None:
        """Take out what had to make room since the last look."""
        jobs, kept = self.ledger.jobs, {record.job_id for record in found}
        ended = {jobs[one].tenant for one in self.were_open & set(jobs) if not jobs[one].is_open}
        if self.has_evicted:
            retention.forget_past(self.ledger)
            ended = set(TTL_S)
        gone = [job.job_id for job in jobs.values() if job.job_id not in kept]
        retention.make_room(self.ledger, gone, ended)
        self.evicted += len(gone)
        self.has_evicted = False
        self.were_open = {job.job_id for job in jobs.values() if job.is_open}

    def _check_account(self, tenant: str) -> None:
        found = self.adapter.account(tenant)
        assert (found.open_jobs, found.waiting_items, found.waiting_bytes) == (
            len(self.ledger.open_of(tenant)),
            self.ledger.waiting_items(tenant),
            self.ledger.waiting_bytes(tenant),
        ), f"{tenant} has {found}"
        least, most = self.ledger.kept_bytes(tenant), retention.account(self.ledger, tenant)
        assert least <= found.kept_bytes <= most, (
            f"{tenant} keeps {found.kept_bytes} bytes; due are {least} to {most}"
        )

    def _check_wakeups(self) -> None:
        """Whatever can be claimed, somebody is told of, and once."""
        for job in self.ledger.jobs.values():
            job.was_capped |= job.leased >= job.max_units
        due = {
            route_of(job.request.kind, job.model)
            for job in working.claimable(self.ledger, SERVED)
            # The worker whose unit made room looks for the next by itself.
            if not job.was_capped
        }
        queued = self.adapter.wakeups()
        assert all(queued[route] for route in due), f"nobody is told of {due}: {queued}"
        assert max(queued.values()) <= 1 + self.ledger.resumed_models, f"told twice: {queued}"

    def _check_content(self, job: ModelJob) -> None:
        if not isinstance(job.request, TrainJob):
            found = self.adapter.results(job.job_id, 0, 1_000)
            assert found == self.ledger.results_of(job)
        texts = self.adapter.delta_sizes(job.job_id)
        assert [size + DELTA_ENTRY_BYTES for size in texts] == self.ledger.deltas_of(job)
        for_ever = self.adapter.keys_for_ever(job.job_id)
        assert job.is_open or job.held_by or not for_ever, f"it has ended, and leaves {for_ever}"
        events, due = self.adapter.events(job.job_id), self.ledger.events_of(job)
        for event, expected in zip(events, due, strict=False):
            told = {name: _told(event, name) for name in expected}
            assert told == expected, f"{told} was told; due is {expected}"
        assert len(events) == len(due), f"{job.job_id} has {len(events)} events, due are {due}"


class Code(str):
    """The code of an error."""


def outcome_of(call: Callable[[], T]) -> T | Code:
    """Return what a call returns, or the code of what it raises."""
    try:
        return call()
    except Refused as refused:
        return Code(refused.code)
    except SeqdError as error:
        return Code(error.code)


def _told(event: object, name: str) -> object:
    value = getattr(event, name, None)
    return value.code if isinstance(value, Failure) else value


def work_left(ledger: Ledger) -> dict[str, int]:
    """Return the items that are left of jobs that are not paused, by queue."""
    left: dict[str, int] = {}
    for job in ledger.jobs.values():
        is_held_up = job.state is JobState.PAUSED or ledger.is_model_paused(job)
        items = job.counts.processing + job.unread
        if job.is_open and not is_held_up and items:
            version = None if isinstance(job.request, TrainJob) else VERSION
            queue = queue_of(route_of(job.request.kind, job.model), version)
            left[queue] = left.get(queue, 0) + items
    return left


def check_record(record: JobRecord, job: ModelJob, ledger: Ledger) -> None:
    """Compare a record with all that is predicted of it."""
    due: dict[str, object] = {
        "kind": job.request.kind,
        "model": job.model,
        "version": job.version,
        "state": job.state,
        "counts": job.counts,
        "sealed": job.sealed,
        "unit_items": job.unit_items,
        "units": len(job.units),
        "units_done": job.units_done,
        "priority": job.request.priority,
        "tenant": job.tenant,
        "created_at_ms": job.created_ms,
        "started_at_ms": job.started_ms,
        "ended_at_ms": job.ended_ms,
        "expires_at_ms": job.expires_ms,
        "kept_until_ms": job.kept_until_ms,
        "plugin_versions": job.plugin_versions,
        "continued_by": job.continued_by,
        "training": job.training,
        "job": job.request,
    }
    found = {name: getattr(record, name) for name in due}
    differing = {name: (found[name], due[name]) for name in due if found[name] != due[name]}
    assert not differing, f"{job.job_id}: these are, and these are due: {differing}"
    codes = [None if one is None else one.code for one in (record.failure, job.failure)]
    assert codes[0] == codes[1], f"{job.job_id} failed with {codes[0]}; due is {codes[1]}"

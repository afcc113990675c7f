"""Steps of workers: claim, renew, commit, fail, release and split, in any order and at any age."""

from collections.abc import Sequence
from fractions import Fraction

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from builders import a_failure, a_training_result, some_deltas
from model import claiming, submitting, trainings, working
from model.adapter import SERVED
from model.claiming import Served
from model.fairness import Fairness
from model.jobs import Claimed, ModelJob, Result
from model.machine import ANY, BACKOFF_MS, LEASE_MS, LOST, Machine
from model.submitting import INGEST
from seqd_schemas import (
    Classification,
    Item,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    JobState,
)

WORKERS = st.sampled_from(["worker-a", "worker-b"])
#: What a worker can run: all of it, more often than not.
CAN_RUN = st.sampled_from([SERVED[:1], SERVED, SERVED])
PLUGINS = st.sampled_from(["1.0", "1.0", "1.1", ""])
OUTCOMES = st.lists(st.sampled_from(["like", "like", "error", "long"]), min_size=1, max_size=4)

#: Claims within which all that can be left is done.
MOST_CLAIMS = 200


class WorkerRules(Machine):
    """What workers do."""

    @rule(worker=WORKERS, served=CAN_RUN, lost=LOST)
    def claim(self, worker: str, served: Served, lost: int) -> None:
        self._claim(worker, served, lost)

    @rule(worker=WORKERS, outcomes=OUTCOMES)
    def work_until_nothing_is_left(self, worker: str, outcomes: list[str]) -> None:
        """Nobody goes without his share, however long it takes."""
        for _ in range(MOST_CLAIMS):
            claims = self._claim(worker, SERVED, 0)
            if not claims:
                return
            for claimed in claims:
                if claimed.name == INGEST:
                    self.read_to_the_end(claimed)
                self._commit(claimed, outcomes, "1.0", 0, fenced=True)
        raise AssertionError("it never ends")

    def read_to_the_end(self, claimed: Claimed) -> None:
        """Say that a file has no more."""
        job = self.ledger.jobs[claimed.job_id]
        units = len(job.units)
        self.same(
            lambda: submitting.seal(self.ledger, job.job_id, units, reader=claimed),
            lambda: self.adapter.seal_file(job.request, claimed, units),
        )

    def _claim(self, worker: str, served: Served, lost: int) -> list[Claimed]:
        could = working.claimable(self.ledger, served)
        lost = lost if self.may_lose else 0
        with self.adapter.replies_lost(lost):
            given = self.adapter.claim(worker, served)
        if lost:
            self._take_what_was_lost(given, could, served)
            could = working.claimable(self.ledger, served)
        if given is None and not lost:
            offered = self.adapter.are_ranges_offered()
            assert offered == bool(self.ledger.offers), f"ranges are offered: {offered}"
        taken = claiming.take(self.ledger, given, worker, served, LEASE_MS)
        self._check_shares(worker, taken, could, served)
        self.claims += taken
        self.touched |= {claimed.job_id for claimed in taken}
        # A claim may end what is overdue, as whoever reads it does.
        self.end_overdue(self.ledger.jobs)
        return taken

    def _take_what_was_lost(
        self, given: claiming.GivenClaim | None, could: Sequence[ModelJob], served: Served
    ) -> None:
        """Note leases of a claim that nobody heard of."""
        known = {(one.job_id, one.name) for one in (given.units if given else ())}
        taken = []
        for (job_id, name), (attempt, worker) in self.adapter.leases(self.ledger.jobs).items():
            job = self.ledger.jobs[job_id]
            unit = job.unit(name)
            assert unit is not None
            if (job_id, name) not in known and unit.place != "leased":
                working.lease(self.ledger, job, unit, worker, LEASE_MS)
                assert unit.attempt == attempt
                taken.append(Claimed(job_id, name, attempt, worker, unit.items, unit.first_index))
                self.touched.add(job_id)
        if taken:
            self._check_shares(taken[0].worker, taken, could, served)

    def _check_shares(
        self, worker: str, taken: Sequence[Claimed], could: Sequence[ModelJob], served: Served
    ) -> None:
        """Check that this worker's classes, tenants and their jobs have got what is theirs."""
        if not taken:
            return
        jobs = [self.ledger.jobs[claimed.job_id] for claimed in taken]
        works = [_work_of(job, claimed) for job, claimed in zip(jobs, taken, strict=True)]
        first = jobs[0]
        had_work = {job.request.priority for job in could}
        linger = {
            job.request.priority
            for job in self.ledger.jobs.values()
            if job not in could and working.is_served(job, served) and self._may_linger(job)
        }
        self.classes.charge(
            worker,
            first.request.priority,
            sum(works, Fraction(0)),
            had_work,
            linger - had_work,
            self.ledger.now_ms,
        )
        rivals = [job for job in could if job.request.priority is first.request.priority]
        by_queue: dict[tuple[str, str], list[ModelJob]] = {}
        for job in rivals:
            by_queue.setdefault(_queue(job), []).append(job)
        if not all(
            claiming.is_alike(alike[0], job) for alike in by_queue.values() for job in alike
        ):
            self.tenants.note_backlog(())
            self.queues.note_backlog(())
            self.jobs_of.clear()
            return
        weights = {tenant: own.weight or 1.0 for tenant, own in self.ledger.own_limits.items()}
        with_work = {job.tenant for job in rivals}
        self.tenants.note_backlog(with_work)
        # Others' units would take some of theirs along, from the same queue.
        self.queues.note_backlog(map(str, by_queue) if len(with_work) == 1 else ())
        self.queues.serve(str(_queue(first)), Fraction(1), {})
        for tenant, queue in {(job.tenant, _queue(job)) for job in rivals}:
            flows = self.jobs_of.setdefault((tenant, queue), Fairness("job"))
            flows.note_backlog({job.job_id for job in by_queue[queue] if job.tenant == tenant})
        for job, work in zip(jobs, works, strict=True):
            self.tenants.serve(job.tenant, work, weights)
            self.jobs_of[job.tenant, _queue(job)].serve(job.job_id, work, {})

    def _may_linger(self, job: ModelJob) -> bool:
        """True of a job that a queue may still have, though nothing of it can be claimed."""
        if not job.is_open or job.state is JobState.PAUSED or self.ledger.is_model_paused(job):
            return False
        is_capped = job.leased >= job.max_units and job.next_unit() is not None
        return is_capped or job.may_linger or working.is_overdue(self.ledger, job)

    @precondition(lambda self: self.claims)
    @rule(
        which=ANY,
        fenced=st.booleans(),
        outcomes=OUTCOMES,
        plugin=PLUGINS,
        goes_on=st.booleans(),
        lost=LOST,
    )
    def commit(
        self, which: int, fenced: bool, outcomes: list[str], plugin: str, goes_on: bool, lost: int
    ) -> None:
        claimed = self.any_claim(which)
        self._commit(claimed, outcomes, plugin, lost, fenced=fenced)
        if goes_on:
            self._claim(claimed.worker, SERVED, 0)

    def _commit(
        self, claimed: Claimed, outcomes: list[str], plugin: str, lost: int, *, fenced: bool
    ) -> None:
        if claimed.name == INGEST:
            return
        if claimed.name == trainings.TRAIN:
            result = a_training_result(version=claimed.attempt)
            size = self.adapter.size_of_training(result)
            self.same(
                lambda: trainings.commit(self.ledger, claimed, result, size, plugin),
                lambda: self.adapter.commit_training(claimed, result, plugin),
                lost,
            )
            return
        results = some_results(claimed, outcomes)
        self.same(
            lambda: working.commit(self.ledger, claimed, results, fenced=fenced, plugin=plugin),
            lambda: self.adapter.commit(claimed, results, fenced=fenced, plugin=plugin),
            lost,
        )

    @precondition(lambda self: self.claims)
    @rule(outcomes=OUTCOMES, count=st.integers(2, 6), plugin=PLUGINS, lost=LOST)
    def commit_several(self, outcomes: list[str], count: int, plugin: str, lost: int) -> None:
        """Record the results of the last claims in one step."""
        claims = [one for one in self.claims[-count:] if one.name not in (trainings.TRAIN, INGEST)]
        self.touched |= {claimed.job_id for claimed in claims}
        rows = [(claimed, some_results(claimed, outcomes)) for claimed in claims]
        self.same(
            lambda: [
                working.commit(self.ledger, claimed, results, fenced=False, plugin=plugin)
                for claimed, results in rows
            ],
            lambda: self.adapter.commit_several(rows, plugin=plugin),
            lost,
        )

    @precondition(lambda self: self.claims)
    @rule(which=ANY, lost=LOST)
    def renew(self, which: int, lost: int) -> None:
        claims = [self.any_claim(which), self.any_claim(which + 1)]
        self.same(
            lambda: working.renew(self.ledger, claims, LEASE_MS),
            lambda: self.adapter.renew(claims),
            lost,
        )

    @precondition(lambda self: self.claims)
    @rule(which=ANY, chars=st.lists(st.integers(1, 500), min_size=1, max_size=4), lost=LOST)
    def write_texts(self, which: int, chars: list[int], lost: int) -> None:
        claimed = self.any_claim(which)
        if not claimed.items:
            return
        entries = [some_deltas("x" * size, unit=claimed.name) for size in chars]
        sizes = [self.adapter.size_of_deltas(entry) for entry in entries]
        self.same(
            lambda: working.publish_deltas(self.ledger, claimed, sizes),
            lambda: self.adapter.publish_deltas(claimed, entries),
            lost,
            counts_once=True,
        )

    @precondition(lambda self: self.claims)
    @rule(which=ANY, lost=LOST)
    def fail_job(self, which: int, lost: int) -> None:
        claimed, failure = self.any_claim(which), a_failure()
        self.same(
            lambda: working.fail_job(self.ledger, claimed, failure),
            lambda: self.adapter.fail_job(claimed, failure),
            lost,
        )

    @precondition(lambda self: self.claims)
    @rule(
        which=ANY,
        wait_s=st.sampled_from([0.0, 0.001, 5.0]),
        crashed=st.booleans(),
        faulted_by=st.sampled_from(["", "worker-a", "worker-b"]),
        lost=LOST,
    )
    def release_unit(
        self, which: int, wait_s: float, crashed: bool, faulted_by: str, lost: int
    ) -> None:
        claimed = self.any_claim(which)
        wait_ms = int(1_000 * wait_s)
        self.same(
            lambda: working.release_unit(
                self.ledger, claimed, wait_ms=wait_ms, crashed=crashed, faulted_by=faulted_by
            ),
            lambda: self.adapter.release_unit(
                claimed, wait_s=wait_s, crashed=crashed, faulted_by=faulted_by
            ),
            lost,
        )

    @rule(
        worker=WORKERS,
        crashed=st.booleans(),
        death=st.sampled_from(["", "It was killed.", "It hung."]),
        goes_on=st.booleans(),
        lost=LOST,
    )
    def release_worker(
        self, worker: str, crashed: bool, death: str, goes_on: bool, lost: int
    ) -> None:
        self.touched |= set(self.ledger.jobs)
        self.same(
            lambda: working.release_worker(
                self.ledger, worker, crashed=crashed, backoff_ms=BACKOFF_MS, death=death
            ),
            lambda: self.adapter.release_worker(worker, crashed=crashed, death=death),
            lost,
        )
        if goes_on:
            self._claim("worker-b", SERVED, 0)

    @rule(worker=WORKERS, said=st.sampled_from(["", "It stands still."]), lost=LOST)
    def stand_still(self, worker: str, said: str, lost: int) -> None:
        self.touched |= set(self.ledger.jobs)
        self.same(
            lambda: working.renew_worker(self.ledger, worker, LEASE_MS, said),
            lambda: self.adapter.renew_worker(worker, said),
            lost,
        )

    @precondition(lambda self: self.claims)
    @rule(which=ANY, lost=LOST)
    def split(self, which: int, lost: int) -> None:
        claimed = self.any_claim(which)
        self.same(
            lambda: working.split(self.ledger, claimed),
            lambda: self.adapter.split(claimed),
            lost,
        )


def _queue(job: ModelJob) -> tuple[str, str]:
    return job.request.kind, job.model


def some_results(claimed: Claimed, outcomes: Sequence[str]) -> list[Result]:
    """Return results that tell which attempt made them."""
    return [
        _result(item, outcomes[at % len(outcomes)], claimed)
        for at, item in enumerate(claimed.items)
    ]


def _result(item: Item, outcome: str, claimed: Claimed) -> Result:
    if outcome == "error":
        error = ItemError(code=ItemErrorCode.PLUGIN_ERROR, message=f"attempt {claimed.attempt}")
        return ItemFailure(custom_id=item.custom_id, error=error, attempts=claimed.attempt)
    label = f"{claimed.worker} {claimed.attempt}"
    if outcome == "long":
        label += "".join(chr(33 + (7 * at * at) % 90) for at in range(240))
    output = Classification(label=label, score=0.5, truncated=False)
    return ItemSuccess(custom_id=item.custom_id, output=output)


def _work_of(job: ModelJob, claimed: Claimed) -> Fraction:
    """Return a unit's work in full units of its model."""
    if claimed.name == INGEST:
        return Fraction(1)
    unit = job.unit(claimed.name)
    size = len(claimed.items) if unit is None else unit.size
    return Fraction(size, job.unit_items)

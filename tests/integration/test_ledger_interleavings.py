"""Whatever workers, clients and crashes do in whatever order, the ledger's promises hold.

A random walk over the ledger's scripts, beside a model in Python that says what must be true.
Not for single behaviours: those have tests of their own beside this file.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from builders import a_chunk, a_classify_job
from ledger_fixtures import BRIEFLY_S, Environment, open_environment
from seqd.ledger import connect
from seqd.ledger.units import Unit
from seqd.ledger.work import CommitOutcome
from seqd.settings import Settings
from seqd_schemas import ClassifyJob, JobState

pytestmark = pytest.mark.processes

WORKERS = st.sampled_from(["worker-a", "worker-b", "worker-c"])
ANY = st.integers(0, 1_000)
#: Leases and back-offs that the walk waits out end within this; others last half a minute.
SOON_MS = 10_000


@dataclass
class ModelUnit:
    """What must be true of a unit: `todo`, `leased`, `waiting` or `done`."""

    place: str = "todo"
    attempt: int = 0
    crashes: int = 0
    worker: str = ""
    is_brief: bool = False
    label: str = ""


@dataclass
class ModelJob:
    """What must be true of a job."""

    request: ClassifyJob
    units: list[ModelUnit] = field(default_factory=lambda: [ModelUnit()])
    is_sealed: bool = False
    state: JobState = JobState.QUEUED

    @property
    def is_open(self) -> bool:
        return not self.state.is_terminal

    def complete_if_done(self) -> bool:
        if self.is_sealed and all(unit.place == "done" for unit in self.units):
            self.state = JobState.COMPLETED
        return self.state is JobState.COMPLETED


class Interleavings(RuleBasedStateMachine):
    """The walk. `environments` gives a fresh ledger for each."""

    environments: Iterator[Environment]

    def __init__(self) -> None:
        super().__init__()
        self.environment = next(self.environments)
        self.brief = self.environment.with_settings(lease_s=BRIEFLY_S, backoff_s=BRIEFLY_S)
        self.jobs: dict[str, ModelJob] = {}
        #: Every claim that was ever made: most of them are zombies by now.
        self.handles: list[Unit] = []

    def model_of(self, handle: Unit) -> tuple[ModelJob, ModelUnit]:
        job = self.jobs[handle.job_id]
        return job, job.units[int(handle.name)]

    def is_current(self, handle: Unit) -> bool:
        job, unit = self.model_of(handle)
        return job.is_open and unit.place == "leased" and unit.attempt == handle.attempt

    def open_units(self) -> Iterator[tuple[str, int, ModelUnit]]:
        for job_id, job in self.jobs.items():
            if job.is_open:
                for number, unit in enumerate(job.units):
                    yield job_id, number, unit

    @precondition(lambda self: len(self.jobs) < 4)
    @rule(is_loud=st.booleans(), priority=st.sampled_from(["normal", "interactive"]))
    def submit(self, is_loud: bool, priority: str) -> None:
        request = a_classify_job(parameters={"loud": is_loud}, priority=priority)
        # Units of four leave room for two of two: like jobs come together.
        job_id = self.environment.submit(request, chunk=a_chunk(2), unit_items=4)
        self.jobs[job_id] = ModelJob(request)

    @precondition(lambda self: self.jobs)
    @rule(which=ANY, is_again=st.booleans())
    def append(self, which: int, is_again: bool) -> None:
        job_id, job = list(self.jobs.items())[which % len(self.jobs)]
        number = len(job.units) - 1 if is_again else len(job.units)

        outcome = self.environment.append(job_id, number, job=job.request)

        if not job.is_open or (job.is_sealed and not is_again):
            assert outcome == "ended"
            return
        assert outcome == "added"
        if not is_again:
            job.units.append(ModelUnit())

    @precondition(lambda self: self.jobs)
    @rule(which=ANY)
    def seal(self, which: int) -> None:
        job_id, job = list(self.jobs.items())[which % len(self.jobs)]

        sealed = self.environment.ledger.submissions.seal(job.request, job_id, len(job.units))

        assert sealed == job.is_open
        if job.is_open:
            job.is_sealed = True
            job.complete_if_done()

    @rule(worker=WORKERS, is_brief=st.booleans())
    def claim(self, worker: str, is_brief: bool) -> None:
        claim = (self.brief if is_brief else self.environment).claim(worker)

        if claim is None:
            assert [unit for _, _, unit in self.open_units() if unit.place == "todo"] == []
            return
        assert len({self.jobs[unit.job_id].request.model_dump_json() for unit in claim.units}) == 1
        assert len(claim.units) <= 2
        for handle in claim.units:
            self._take(handle, worker, is_brief)

    def _take(self, handle: Unit, worker: str, is_brief: bool) -> None:
        job, unit = self.model_of(handle)
        lowest = next(n for n, unit in enumerate(job.units) if unit.place == "todo")
        assert job.is_open, "a unit of a job that has ended was handed out"
        assert int(handle.name) == lowest
        assert handle.attempt == unit.attempt + 1
        assert handle.crashes == unit.crashes
        assert handle.started_job == (job.state is JobState.QUEUED)
        unit.place, unit.attempt, unit.worker = "leased", handle.attempt, worker
        unit.is_brief = is_brief
        job.state = JobState.RUNNING
        self.handles.append(handle)

    @precondition(lambda self: self.handles)
    @rule(which=ANY)
    def commit(self, which: int) -> None:
        handle = self.handles[which % len(self.handles)]
        job, unit = self.model_of(handle)
        label = f"attempt {handle.attempt} of {handle.job_id}/{handle.name}"

        outcome = self.environment.commit(handle, label=label)

        if unit.place == "done":
            assert outcome is CommitOutcome.DUPLICATE
        elif not job.is_open:
            assert outcome is CommitOutcome.ENDED
        else:
            unit.place, unit.label = "done", label
            is_completed = job.complete_if_done()
            assert outcome is CommitOutcome("completed" if is_completed else "committed")

    @precondition(lambda self: self.handles)
    @rule(which=ANY, is_later=st.booleans(), is_crash=st.booleans())
    def release_unit(self, which: int, is_later: bool, is_crash: bool) -> None:
        handle = self.handles[which % len(self.handles)]
        _, unit = self.model_of(handle)

        done = self.environment.ledger.work.release_unit(
            handle, wait_s=BRIEFLY_S if is_later else 0.0, crashed=is_crash
        )

        assert done == self.is_current(handle)
        if done:
            unit.place = "waiting" if is_later else "todo"
            unit.crashes += is_crash

    @precondition(lambda self: self.handles)
    @rule(which=ANY)
    def renew(self, which: int) -> None:
        handle = self.handles[which % len(self.handles)]

        kept = self.environment.ledger.work.renew([handle])

        assert kept == [self.is_current(handle)]
        if kept[0]:
            self.model_of(handle)[1].is_brief = False

    @rule(worker=WORKERS, is_crash=st.booleans())
    def release(self, worker: str, is_crash: bool) -> None:
        self.brief.ledger.work.release_worker(worker, crashed=is_crash)

        for _, _, unit in self.open_units():
            if unit.place == "leased" and unit.worker == worker:
                unit.crashes += is_crash
                unit.place = "waiting" if is_crash and unit.crashes > 1 else "todo"

    @rule()
    def expire(self) -> None:
        soon_ms = self.environment.ledger.fleet.now_ms() + SOON_MS
        timers = self.environment.redis.zrange(
            self.environment.keys.timers(), 0, -1, withscores=True
        )
        due = [int(score) for _, score in timers if score < soon_ms]
        self.environment.wait_for_clock(max(due, default=0))

        woken = self.brief.ledger.work.expire()

        expected = 0
        for _, _, unit in self.open_units():
            if unit.place == "leased" and unit.is_brief:
                unit.crashes += 1
                unit.place = "waiting" if unit.crashes > 1 else "todo"
                expected += unit.place == "todo"
            elif unit.place == "waiting":
                unit.place = "todo"
                expected += 1
        assert woken == expected

    @precondition(lambda self: self.jobs)
    @rule(which=ANY)
    def cancel(self, which: int) -> None:
        job_id, job = list(self.jobs.items())[which % len(self.jobs)]

        state = self.environment.ledger.control.cancel(job_id)

        if job.is_open:
            job.state = JobState.CANCELLED
        assert state is job.state

    @invariant()
    def counts_add_up(self) -> None:
        for job_id, job in self.jobs.items():
            record = self.environment.record(job_id)  # refuses counts that do not add up
            done = sum(unit.place == "done" for unit in job.units)
            undone = len(job.units) - done
            assert record.state is job.state
            assert (record.units, record.units_done) == (len(job.units), done)
            assert record.counts.succeeded == 2 * done
            assert record.counts.processing == (2 * undone if job.is_open else 0)
            assert record.counts.cancelled == (0 if job.is_open else 2 * undone)

    @invariant()
    def each_unit_is_in_one_place(self) -> None:
        redis, keys = self.environment.redis, self.environment.keys
        timers = {name.decode() for name in redis.zrange(keys.timers(), 0, -1)}
        for job_id, job in self.jobs.items():
            todo, leased, done = self._places(job_id)
            timed = {name.split()[1] for name in timers if name.startswith(f"{job_id} ")}
            assert done == self._names(job, "done")
            if job.is_open:
                assert todo == self._names(job, "todo")
                assert leased == self._names(job, "leased")
                assert timed == leased | self._names(job, "waiting")
            else:
                assert todo | leased | timed == set()

    @invariant()
    def results_are_those_of_the_first_commit(self) -> None:
        for job_id, job in self.jobs.items():
            for number, unit in enumerate(job.units):
                if unit.place == "done":
                    assert self.environment.labels(job_id, number) == [unit.label] * 2

    def _places(self, job_id: str) -> tuple[set[str], set[str], set[str]]:
        keys = self.environment.keys
        with self.environment.redis.pipeline() as pipe:
            pipe.zrange(keys.todo(job_id), 0, -1)
            pipe.hkeys(keys.leases(job_id))
            pipe.hkeys(keys.output(job_id))
            todo, leased, done = ({name.decode() for name in row} for row in pipe.execute())
        has_results = self.environment.redis.hexists(keys.job(job_id), "results")  # a small job
        return todo, leased, {"0"} if has_results else done

    def _names(self, job: ModelJob, place: str) -> set[str]:
        return {str(number) for number, unit in enumerate(job.units) if unit.place == place}


def fresh_environments(redis: Redis, settings: Settings) -> Iterator[Environment]:
    """Ledgers side by side on one server, all of whose keys go with the test's."""
    number = 0
    while True:
        number += 1
        yield open_environment(
            redis, settings.model_copy(update={"prefix": f"{settings.prefix}.{number}"})
        )


@pytest.mark.slow
@pytest.mark.timeout(400)  # on a failure Hypothesis takes up to five minutes to shorten the walk
def test_the_promises_hold_in_every_order(any_settings: Settings) -> None:
    assert any_settings.redis_url is not None
    with connect(any_settings.redis_url) as redis:

        class OnThisServer(Interleavings):
            environments = fresh_environments(redis, any_settings)

        run_state_machine_as_test(
            OnThisServer,
            settings=hypothesis_settings(
                max_examples=60,
                stateful_step_count=40,
                deadline=None,
                database=None,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )

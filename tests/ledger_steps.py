"""Random steps over a ledger, and what must be true of each by itself.

What clients, workers, people and time can do. Each step draws its details at random, notes down
what came of it, and does nothing where there is nothing to do it to. Items that clients hand in;
no trainings and no files. What must be true after any step is in `ledger_invariants`.
"""

import random
from collections.abc import Callable

from builders import a_chunk, a_classify_job, a_failure, some_deltas
from ledger_fixtures import BRIEFLY_S, Environment, failed_items
from ledger_invariants import STREAM_BYTES, KnownJob, StoredLedger, read_ledger
from seqd.client.requests import retry_of
from seqd.errors import InvalidRequest, QuotaExceeded, WrongState
from seqd.ledger.blobs import split_chunk, unpack_items
from seqd.ledger.units import Unit
from seqd.ledger.work import CommitOutcome, Renewal
from seqd_schemas import (
    Classification,
    Item,
    ItemChunk,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    Job,
    JobState,
)

WORKERS = ("worker-a", "worker-b", "worker-c")
TENANTS = ("north", "south")
PRIORITIES = ("interactive", "normal", "bulk")

#: Items that a model takes at once: as many as two or three units have.
UNIT_ITEMS = 6

#: Characters of a delta at most; a job keeps a few.
MOST_DELTA_CHARS = 400

#: What a tenant may keep of results and ended jobs: that of half a dozen jobs.
KEPT_BYTES = 16_000

#: A lease that no walk outlives, and what tells its end from one that is near.
LONG_S = 3_600.0
SOON_MS = 600_000


class Steps:
    """The steps, on a ledger of their own; `notes` says what was done so far."""

    def __init__(self, environment: Environment, seed: int) -> None:
        self.random = random.Random(seed)
        self.environment = environment.with_settings(
            lease_s=LONG_S,
            backoff_s=BRIEFLY_S,
            max_tenant_jobs=6,
            max_tenant_items=60,
            max_stream_bytes=STREAM_BYTES,
            max_tenant_kept_bytes=KEPT_BYTES,
        )
        self.brief = self.environment.with_settings(lease_s=BRIEFLY_S)
        self.ledger = self.environment.ledger
        self.ledger.fleet.publish_limits(self.environment.settings)
        self.jobs: dict[str, KnownJob] = {}
        #: Every claim that was ever made: most of them are out of date.
        self.handles: list[Unit] = []
        self.notes: list[str] = []

    def note(self, what: str) -> None:
        self.notes.append(what)

    def look(self) -> StoredLedger:
        for job_id in self.environment.redis.lrange(self.environment.keys.evicted(), 0, -1):
            if self.jobs.pop(job_id.decode(), None) is not None:
                self.note(f"{job_id.decode()} had to make room")
        return read_ledger(self.environment.redis, self.environment.keys, self.jobs)

    # What clients do.

    def submit(self) -> None:
        changes: dict[str, object] = {}
        if self.random.random() < 0.5:
            changes["max_running_units"] = self.random.randint(1, 2)
        if self.random.random() < 0.3:
            changes["expires_in_s"] = int(LONG_S)
        request = a_classify_job(
            tenant=self.random.choice(TENANTS),
            priority=self.random.choice(PRIORITIES),
            parameters={"loud": self.random.random() < 0.3},
            **changes,
        )
        is_sealed = self.random.random() < 0.25
        has_items = is_sealed or self.random.random() < 0.7
        chunk = a_chunk(self.random.randint(1, 5)) if has_items else None
        self._submit(request, chunk, is_sealed=is_sealed)

    def retry(self) -> None:
        job_id = self._any_job()
        if job_id is None:
            return
        try:
            request = retry_of(self.ledger.jobs.get(job_id))
        except (InvalidRequest, WrongState):
            return
        items = tuple(failed_items(self.ledger, job_id))
        self.check_undone(job_id, items)
        self._submit(request, ItemChunk(first_index=0, items=items), is_sealed=True)

    def check_undone(self, job_id: str, items: tuple[Item, ...]) -> None:
        """What of an ended job can be tried again is all that has no output, in order."""
        job = self.jobs[job_id]
        done = {name for name, answer in job.answers.items() if isinstance(answer, ItemSuccess)}
        undone = [name for name in job.items if name not in done]
        found = [item.custom_id for item in items]
        assert found == undone, f"{job_id} can be tried again with {found}; undone are {undone}"

    def _submit(self, request: Job, chunk: ItemChunk | None, *, is_sealed: bool) -> None:
        job_id = f"job-{len(self.notes)}"
        what = f"{len(chunk.items) if chunk else 0} items, sealed {is_sealed}"
        requested = request.model_dump(mode="json", exclude={"source"}, exclude_defaults=True)
        try:
            self.environment.submit(
                request, job_id=job_id, chunk=chunk, sealed=is_sealed, unit_items=UNIT_ITEMS
            )
        except (QuotaExceeded, WrongState) as refusal:
            self.note(f"submit {job_id}: {type(refusal).__name__}")
            return
        self.note(f"submit {job_id}: {what}, {requested}")
        names = [item.custom_id for item in chunk.items] if chunk else []
        self.jobs[job_id] = KnownJob(request, names, len(names[:1]))

    def append(self) -> None:
        job_id = self._any_job()
        if job_id is None:
            return
        job = self.jobs[job_id]
        chunk = a_chunk(self.random.randint(1, 5), first=len(job.items))
        outcome = self.ledger.submissions.append(job.request, job_id, job.units, chunk)
        self.note(f"append {len(chunk.items)} items to {job_id}: {outcome}")
        if outcome == "added":
            again = self.ledger.submissions.append(job.request, job_id, job.units, chunk)
            assert again == "added", f"the same items, sent to {job_id} again, were {again}"
            job.units += 1
            job.items += [item.custom_id for item in chunk.items]

    def seal(self) -> None:
        if job_id := self._any_job():
            self.seal_job(job_id)

    def seal_job(self, job_id: str) -> None:
        job = self.jobs[job_id]
        is_sealed = self.ledger.submissions.seal(job.request, job_id, job.units)
        self.note(f"seal {job_id}: {is_sealed}")

    # What workers do.

    def claim(self) -> None:
        worker = self.random.choice(WORKERS)
        is_brief = self.random.random() < 0.25
        self.claim_for(self.brief if is_brief else self.environment, worker)

    def claim_for(self, environment: Environment, worker: str) -> tuple[Unit, ...]:
        claim = environment.claim(worker)
        units = () if claim is None else claim.units
        names = " ".join(f"{unit.job_id}/{unit.name}" for unit in units)
        self.note(f"claim for {worker}, {environment.settings.lease_s:g} s: {names or 'nothing'}")
        for job in self.look().jobs:
            assert units or not job.is_claimable, f"nothing was claimed, with this there: {job}"
            if any(unit.job_id == job.job_id for unit in units):
                assert job.state == "running", f"claimed from a job that may not run: {job}"
        items = sum(len(unpack_items(unit.blob).items) for unit in units)
        assert items <= UNIT_ITEMS or len(units) == 1, f"{items} items were claimed at once"
        for unit in units:
            earlier = [old.attempt for old in self.handles if _names(old) == _names(unit)]
            assert unit.attempt > max(earlier, default=0), f"{unit} has an old fencing token"
        self.handles += units
        return units

    def commit(self) -> None:
        if self.handles:
            self.commit_unit(self._any_handle())

    def commit_unit(self, unit: Unit) -> None:
        chunk = unpack_items(unit.blob)
        label = f"step {len(self.notes)}"
        results = [self._answer(item.custom_id, label) for item in chunk.items]
        outcome = self.ledger.work.commit(unit, results, chunk)
        self.note(f"commit {_names(unit)} of attempt {unit.attempt}: {outcome}")
        if outcome in (CommitOutcome.COMMITTED, CommitOutcome.COMPLETED):
            answers = self.jobs[unit.job_id].answers
            again = [result.custom_id for result in results if result.custom_id in answers]
            assert not again, f"{again} had answers before {_names(unit)} was committed"
            answers.update((result.custom_id, result) for result in results)

    def _answer(self, item: str, label: str) -> ItemSuccess | ItemFailure:
        if self.random.random() < 0.15:
            error = ItemError(code=ItemErrorCode.PLUGIN_ERROR, message=label)
            return ItemFailure(custom_id=item, error=error)
        output = Classification(label=label, score=0.5, truncated=False)
        return ItemSuccess(custom_id=item, output=output)

    def release_unit(self) -> None:
        if self.handles:
            unit = self._any_handle()
            wait_s, crashed = self.random.choice((0, BRIEFLY_S)), self.random.random() < 0.5
            done = self.ledger.work.release_unit(unit, wait_s=wait_s, crashed=crashed)
            self.note(f"put {_names(unit)} back for {wait_s} s, crashed {crashed}: {done}")

    def split(self) -> None:
        if self.handles:
            unit = self._any_handle()
            parts = split_chunk(unpack_items(unit.blob))
            done = parts is not None and self.ledger.work.split(unit, parts)
            self.note(f"split {_names(unit)}: {done}")

    def renew(self) -> None:
        if self.handles:
            unit = self._any_handle()
            environment = self.random.choice((self.environment, self.brief))
            answer = environment.ledger.work.renew([unit])[0]
            self.note(f"renew {_names(unit)} for {environment.settings.lease_s:g} s: {answer.name}")
            assert (answer is Renewal.KEPT) == self._is_held(unit), f"{unit} is {answer.name}"

    def write(self) -> None:
        if self.handles:
            unit, worker = self._any_handle(), self.random.choice(WORKERS)
            sizes = self.random.choices(range(1, MOST_DELTA_CHARS), k=self.random.randint(1, 5))
            entries = [
                (unit, some_deltas("x" * size, unit=unit.name, attempt=unit.attempt))
                for size in sizes
            ]
            answers = self.ledger.work.publish_deltas(worker, entries)
            self.note(f"write deltas of {sizes} characters of {_names(unit)}: {answers}")
            assert answers == [self._is_held(unit)] * len(sizes), (
                f"{unit} was written on: {answers}"
            )

    def _is_held(self, unit: Unit) -> bool:
        lease = (
            self.environment.redis.hget(self.environment.keys.leases(unit.job_id), unit.name)
            or b" "
        )
        return int(lease.split(b" ")[0] or 0) == unit.attempt

    def release_worker(self) -> None:
        self.release_all_of(self.random.choice(WORKERS), crashed=self.random.random() < 0.5)

    def release_all_of(self, worker: str, *, crashed: bool) -> None:
        self.ledger.work.release_worker(worker, crashed=crashed)
        self.note(f"release all of {worker}, crashed {crashed}")

    def expire(self) -> None:
        timers = self.environment.redis.zrange(
            self.environment.keys.timers(), 0, -1, withscores=True
        )
        soon_ms = self.ledger.fleet.now_ms() + SOON_MS
        self.environment.wait_for_clock(
            max((int(at) for _, at in timers if at < soon_ms), default=0)
        )
        self.note(f"expire: {self.ledger.work.expire()} units come back")

    def evict(self) -> None:
        """Make room as the reconciler does, once in a while for want of memory."""
        is_short = self.random.random() < 0.2
        if is_short:
            self.environment.redis.set(self.environment.keys.memory(), "short")
        evicted = self.ledger.retention.evict()
        self.environment.redis.delete(self.environment.keys.memory())
        self.note(f"evict, memory short {is_short}: {evicted}")

    def recount(self) -> None:
        """Count what is left anew, one or two jobs at a time, beside all other steps."""
        begins, most = self.random.random() < 0.2, self.random.randint(1, 2)
        reply = self.ledger._scripts.call("recount_work", int(begins), most)
        self.note(f"recount {most} jobs, from the first {begins}: done {reply}")

    # What people and time do.

    def pause(self) -> None:
        self._control("pause", self.ledger.control.pause)

    def resume(self) -> None:
        self._control("resume", self.ledger.control.resume)

    def cancel(self) -> None:
        self._control("cancel", self.ledger.control.cancel)

    def fail(self) -> None:
        self._control("fail", lambda job_id: self.ledger.control.fail(job_id, a_failure()))

    def _control(self, name: str, control: Callable[[str], JobState]) -> None:
        if job_id := self._any_job():
            self.note(f"{name} {job_id}: {control(job_id)}")

    def run_out_of_time(self) -> None:
        """Move a deadline into the past; who comes by next must end the job."""
        late = self.environment.redis.zrange(self.environment.keys.deadlines(), 0, -1)
        if late:
            job_id = self.random.choice(late).decode()
            self.environment.redis.zadd(self.environment.keys.deadlines(), {job_id: 1})
            self.environment.redis.hset(self.environment.keys.job(job_id), "expires_at", 1)
            is_seen = self.random.random() < 0.5
            state = self.ledger.jobs.get(job_id).state if is_seen else "not looked at"
            self.note(f"the time of {job_id} runs out: {state}")

    def remove(self) -> None:
        if job_id := self._any_job():
            self.remove_job(job_id)

    def remove_job(self, job_id: str) -> None:
        try:
            self.ledger.control.remove(job_id)
        except WrongState:
            self.note(f"remove {job_id}: WrongState")
            return
        self.note(f"remove {job_id}")
        del self.jobs[job_id]

    def _any_handle(self) -> Unit:
        """Choose a claim of any age, more often than not one of the last."""
        is_late = self.random.random() < 0.7
        return self.random.choice(self.handles[-5:] if is_late else self.handles)

    def _any_job(self) -> str | None:
        return self.random.choice(list(self.jobs)) if self.jobs else None


def _names(unit: Unit) -> str:
    return f"{unit.job_id}/{unit.name}"

"""The state of the reference ledger, and the transitions that its operations share.

Plain data, and no Redis: what is counted, such as a tenant's account, is added up from the jobs
whenever somebody asks. Times are milliseconds of the server's clock, which the test holds.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from model.jobs import Event, ModelJob, Offers, Result, Unit
from seqd_schemas import (
    Failure,
    ItemChunk,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    Job,
    JobState,
    Priority,
    TenantLimits,
)

#: Bytes of results up to which a job of one unit is kept in one key, and what it counts as then.
SMALL_RESULTS_BYTES = 512
SMALL_JOB_BYTES = 450
#: What any other ended job counts as beside its content, and each of its events.
LARGE_JOB_BYTES = 2_500
EVENT_BYTES = 200

#: How long an ended job is kept at least when memory is short.
MIN_KEPT_MS = 60_000

#: Bytes of text deltas that a job keeps, and what an entry takes beside its content.
STREAM_BYTES = 1_024
DELTA_ENTRY_BYTES = 64
DELTAS_MS = 3_600_000

#: How long the events of a small job are kept.
SMALL_EVENTS_MS = 30_000

PROGRESS_EVERY_MS = 250

#: Units that are claimable when a file is read on.
INGEST_AHEAD_UNITS = 8

MAX_BACKOFF_MS = 600_000
MAX_NOTICE_MS = 3_600_000
DAY_MS = 86_400_000
MAX_PLUGIN_VERSIONS = 8

EXPIRED = Failure(code="expired", message="", retryable=True)


class Refused(Exception):
    """The operation raises an error of this code, and changes nothing."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Sizes(Protocol):
    """How many bytes things take in Redis."""

    def of_input(self, chunk: ItemChunk) -> int:
        """Return the bytes of a unit's input."""

    def of_results(self, results: Sequence[Result]) -> int:
        """Return the bytes of a unit's results."""

    def of_request(self, request: Job) -> int:
        """Return the bytes of a request."""


@dataclass
class Limits:
    """The operator's limits."""

    tenant_jobs: int
    tenant_items: int
    tenant_bytes: int
    tenant_kept_bytes: int
    results_ttl_s: int
    job_units: int
    #: True while Redis has too little memory for new work.
    is_short: bool = False


@dataclass(frozen=True)
class Past:
    """What is left on a tenant's account of a job whose time to live has passed."""

    tenant: str
    kept_bytes: int
    #: From when on it must not count any more, once somebody has looked.
    gone_ms: float


class Ledger:
    """All jobs, and what the whole fleet shares."""

    def __init__(self, now_ms: int, limits: Limits, sizes: Sizes) -> None:
        self.now_ms = now_ms
        self.limits = limits
        self.sizes = sizes
        self.jobs: dict[str, ModelJob] = {}
        self.own_limits: dict[str, TenantLimits] = {}
        self.paused_models: set[str] = set()
        self.disabled_models: set[str] = set()
        #: How often somebody let a model go on, which tells all its workers.
        self.resumed_models = 0
        #: Jobs that an idempotency key of a tenant stands for.
        self.keys: dict[tuple[str, str], str] = {}
        self.past: list[Past] = []
        #: Places among a tenant's ended jobs at which none is any more: it went, or is held.
        self.empty_places: Counter[str] = Counter()
        #: Items, and trainings, that tenants have used by day.
        self.usage: dict[tuple[int, str, str], int] = {}
        #: Ranges of files that are offered, by job; see `ingesting`.
        self.offers: dict[str, Offers] = {}
        #: Dead letters, the oldest first: what each must say.
        self.failures: list[Event] = []

    # Finding.

    def job(self, job_id: str) -> ModelJob:
        """Return a job that is kept. Raises Refused."""
        if job_id not in self.jobs:
            raise Refused("unknown_job")
        return self.jobs[job_id]

    def of_tenant(self, tenant: str) -> Iterator[ModelJob]:
        """All jobs of a tenant that are kept."""
        return (job for job in self.jobs.values() if job.tenant == tenant)

    def open_of(self, tenant: str) -> list[ModelJob]:
        """All jobs of a tenant that have not ended."""
        return [job for job in self.of_tenant(tenant) if job.is_open]

    def listed(self, jobs: Iterable[ModelJob] | None = None) -> list[ModelJob]:
        """Return jobs as a list shows them: the newest first."""
        chosen = self.jobs.values() if jobs is None else jobs
        return sorted(chosen, key=lambda job: (job.created_ms, job.job_id), reverse=True)

    def open_continuation(self, job: ModelJob) -> ModelJob | None:
        """Return the job that continues one, where it is kept and has not ended."""
        later = self.jobs.get(job.continued_by or "")
        return later if later is not None and later.is_open else None

    # Time.

    def step(self, milliseconds: int) -> None:
        """Let time pass. What Redis forgets by itself goes."""
        self.now_ms += milliseconds
        for offers in self.offers.values():
            if self.now_ms > offers.until_ms:
                offers.ranges, offers.ahead = {}, {}
        for job in list(self.jobs.values()):
            until_ms = job.kept_until_ms
            if until_ms is not None and self.now_ms > until_ms:
                # Buckets of an account end later than their jobs: a tenth of their time at most.
                span_ms = 1_000 * job.ttl_s
                self.past.append(Past(job.tenant, job.kept_bytes, until_ms + span_ms / 10))
                self.forget(job)

    def forget(self, job: ModelJob) -> None:
        """Take a job out, and its idempotency key."""
        del self.jobs[job.job_id]
        self.empty_places[job.tenant] += 1
        for key, job_id in list(self.keys.items()):
            if job_id == job.job_id:
                del self.keys[key]

    # What happens to jobs.

    def emit(self, job: ModelJob, name: str, told: Event | None = None) -> None:
        """Add an event to a job, which tells its counts where nothing else is said."""
        of_job = {"counts": job.counts} if told is None else told
        job.events.append({"event": name, "at_ms": self.now_ms, **of_job})

    def stop(self, job: ModelJob, state: JobState, failure: Failure | None = None) -> None:
        """End a job before its work is done."""
        job.undone = job.counts.processing
        job.failure = failure
        self._end(job, state)

    def complete_if_done(self, job: ModelJob) -> bool:
        """End a job that has nothing left to do; return True where it did."""
        if not job.sealed or job.units_done < len(job.units):
            return False
        self._end(job, JobState.COMPLETED)
        return True

    def _end(self, job: ModelJob, state: JobState) -> None:
        job.state, job.ended_ms, job.owner = state, self.now_ms, ""
        job.unread = 0
        self.offers.pop(job.job_id, None)
        for unit in job.claimed:
            if unit.place != "done":
                unit.free("undone")
        told: dict[str, object] = {"counts": job.counts}
        if state is JobState.COMPLETED:
            told |= {"training": job.training, "plugin_versions": job.plugin_versions}
        if job.failure is not None:
            told["failure"] = job.failure.code
        self.emit(job, state.value, told)
        self._let_go_continued(job)
        if job.is_small:
            job.kept_bytes += SMALL_JOB_BYTES
            job.warning = job.expires_ms = None
            return
        left = 0 if state is JobState.COMPLETED else job.pending_bytes + job.delta_bytes
        job.kept_bytes += LARGE_JOB_BYTES + self.sizes.of_request(job.request) + left
        job.kept_bytes += EVENT_BYTES * len(job.events)
        self.warn_before(job, "results", self.now_ms + 1_000 * job.ttl_s, 1_000 * job.ttl_s)

    def warn_before(self, job: ModelJob, what: str, ends_ms: int, span_ms: int) -> None:
        """Have somebody warned when a tenth of the time is left."""
        job.warning = (ends_ms - min(span_ms // 10, MAX_NOTICE_MS), what)

    def requeue(self, job: ModelJob, unit: Unit, *, crashed: bool, backoff_ms: int) -> bool:
        """End a lease or a back-off; return True where the unit is claimable now."""
        wait_ms = 0
        if crashed:
            unit.crashes += 1
            if unit.crashes > 1:
                wait_ms = min(backoff_ms * 2 ** (unit.crashes - 2), MAX_BACKOFF_MS)
        self.release(job, unit, wait_ms)
        return not wait_ms

    def release(self, job: ModelJob, unit: Unit, wait_ms: int) -> None:
        """Make a unit claimable, now or after a wait."""
        unit.free("waiting" if wait_ms else "todo", self.now_ms + wait_ms if wait_ms else 0)
        if unit is job.ingest:  # it comes when few others are left
            unit.rank = len(job.units) - INGEST_AHEAD_UNITS

    # Jobs that another one continues.

    def chain_before(self, job: ModelJob) -> Iterator[ModelJob]:
        """Yield the jobs that a job continues, the last one first."""
        later = job
        while (earlier := self.jobs.get(later.continues or "")) is not None:
            if earlier.continued_by != later.job_id:
                return
            yield earlier
            later = earlier

    def hold_continued(self, job: ModelJob) -> None:
        """Keep what an open job continues until it has ended."""
        for earlier in self.chain_before(job):
            if self.are_events_gone(earlier):
                earlier.events = []
                self.emit(earlier, "completed")
            earlier.is_small = False
            earlier.held_by = job.job_id
            self.empty_places[earlier.tenant] += 1
            span_ms = 1_000 * earlier.ttl_s
            self.warn_before(earlier, "results", self.now_ms + span_ms, span_ms)

    def _let_go_continued(self, job: ModelJob) -> None:
        for earlier in self.chain_before(job):
            if earlier.held_by == job.job_id and earlier.ended_ms is not None:
                earlier.held_by = None
                span_ms = 1_000 * earlier.ttl_s
                age_s = -(-(self.now_ms - earlier.ended_ms) // 1_000)
                earlier.ttl_s = max(earlier.ttl_s, age_s + job.ttl_s)
                until_ms = earlier.ended_ms + 1_000 * earlier.ttl_s
                self.warn_before(earlier, "results", until_ms, span_ms)

    def are_events_gone(self, job: ModelJob) -> bool:
        """True of a small job whose events were kept long enough."""
        kept_ms = min(SMALL_EVENTS_MS, 1_000 * job.ttl_s)
        return job.is_small and job.ended_ms is not None and self.now_ms > job.ended_ms + kept_ms

    # What can be seen.

    def results_of(self, job: ModelJob, offset: int = 0) -> list[Result]:
        """Return what a reader gets who does not wait, from a place on.

        Who begins behind the first unit needs none of those in front.
        """
        shown: list[Result] = []
        skipped = 0 if offset < job.unit_items else offset
        for parts in job.units:
            size = sum(part.size for part in parts)
            if skipped >= size:
                skipped, offset = skipped - size, offset - size
                continue
            if job.is_open and not all(part.place == "done" for part in parts):
                break
            skipped = 0
            for part in parts:
                shown += part.results if part.place == "done" else _undone(job, part)
        return shown[offset:]

    def events_of(self, job: ModelJob) -> list[Event]:
        """Return the events that a reader gets who begins at the first."""
        if not self.are_events_gone(job):
            return job.events
        told = {"counts": job.counts, "plugin_versions": job.plugin_versions}
        return [{"event": "completed", "at_ms": job.ended_ms, **told}]

    def deltas_of(self, job: ModelJob) -> list[int]:
        """Return the bytes of the text deltas that are kept of a job, the oldest first."""
        is_gone = job.state is JobState.COMPLETED or self.now_ms > job.deltas_until_ms
        return [] if is_gone else job.deltas

    def limit_of(self, tenant: str, name: str) -> int:
        """Return a limit that holds for a tenant: its own, or the operator's."""
        own = getattr(self.own_limits.get(tenant, TenantLimits()), name)
        shared = name if name == "results_ttl_s" else f"tenant_{name}"
        return int(getattr(self.limits, shared) if own is None else own)

    def priorities_of(self, tenant: str) -> tuple[Priority, ...]:
        """Return the priorities that a tenant may use."""
        return self.own_limits.get(tenant, TenantLimits()).priorities or tuple(Priority)

    def is_model_paused(self, job: ModelJob) -> bool:
        """True where an operator has paused or disabled the model; a training runs on none."""
        is_held_up = job.model in self.paused_models | self.disabled_models
        return job.version is not None and is_held_up

    def note_use(self, tenant: str, count: int, what: str = "items") -> None:
        """Count what a tenant has used today, in UTC."""
        key = self.now_ms // DAY_MS, tenant, what
        self.usage[key] = self.usage.get(key, 0) + count

    def waiting_items(self, tenant: str) -> int:
        """Return how many items of a tenant's open jobs are to be done."""
        return sum(job.counts.processing for job in self.open_of(tenant))

    def waiting_bytes(self, tenant: str) -> int:
        """Return the bytes of input of a tenant's open jobs."""
        return sum(job.pending_bytes for job in self.open_of(tenant))

    def kept_bytes(self, tenant: str) -> int:
        """Return the bytes of all results and ended jobs of a tenant."""
        return sum(job.kept_bytes for job in self.of_tenant(tenant))


def _undone(job: ModelJob, unit: Unit) -> list[Result]:
    is_late, failure = job.state is JobState.EXPIRED, job.failure
    if is_late:
        ended, advice = "expired", "Send it again, with more time."
    elif failure is None:
        ended, advice = f"ended as {job.state}", "Send it again."
    else:
        ended, advice = f"failed with {failure.code}", "The job's failure says why."
    error = ItemError(
        code=ItemErrorCode.EXPIRED if is_late else ItemErrorCode.CANCELLED,
        message=f"The job {ended} before this item had its turn. {advice}",
        retryable=failure is None or failure.retryable,
    )
    return [ItemFailure(custom_id=item.custom_id, error=error, attempts=0) for item in unit.items]

"""What workers do with units: claim, renew, commit, fail, release, split; and what time does."""

from collections.abc import Collection, Iterator, Sequence

from model.failures import note_failed_items, note_failed_job
from model.jobs import Claimed, Event, ModelJob, Result, Unit
from model.ledger import (
    DELTA_ENTRY_BYTES,
    DELTAS_MS,
    EXPIRED,
    MAX_PLUGIN_VERSIONS,
    PROGRESS_EVERY_MS,
    SMALL_RESULTS_BYTES,
    STREAM_BYTES,
    Ledger,
)
from seqd_schemas import Failure, ItemChunk, JobState


def holder(ledger: Ledger, claimed: Claimed) -> tuple[ModelJob, Unit] | None:
    """Return the job and unit of a claim whose lease still holds."""
    job = ledger.jobs.get(claimed.job_id)
    unit = None if job is None or not job.is_open else job.unit(claimed.name)
    if job is None or unit is None or unit.place != "leased" or unit.attempt != claimed.attempt:
        return None
    return job, unit


def is_served(job: ModelJob, served: Collection[tuple[str, str]]) -> bool:
    """True of a job that a worker can run, by kinds and models."""
    return (job.request.kind, job.model) in served


def claimable(ledger: Ledger, served: Collection[tuple[str, str]]) -> list[ModelJob]:
    """Return the jobs of which a worker may get a unit that can run these kinds and models."""
    return [
        job
        for job in ledger.jobs.values()
        if job.state in (JobState.QUEUED, JobState.RUNNING)
        and is_served(job, served)
        and not is_overdue(ledger, job)
        and not (ledger.is_model_paused(job))
        and (job.state is JobState.QUEUED or job.leased < job.max_units)
        and job.next_unit() is not None
    ]


def is_overdue(ledger: Ledger, job: ModelJob) -> bool:
    """True of an open job whose time has run out, and which nobody has ended."""
    return job.is_open and job.expires_ms is not None and job.expires_ms <= ledger.now_ms


def lease(ledger: Ledger, job: ModelJob, unit: Unit, worker: str, lease_ms: int) -> bool:
    """Lease a unit; return True where that starts its job."""
    unit.place, unit.worker, unit.until_ms = "leased", worker, ledger.now_ms + lease_ms
    unit.attempt += 1
    if job.state is not JobState.QUEUED:
        return False
    job.state, job.started_ms = JobState.RUNNING, ledger.now_ms
    ledger.emit(job, "started", {"worker": worker})
    return True


def renew(ledger: Ledger, claims: Sequence[Claimed], lease_ms: int) -> list[str]:
    """Keep leases; those of long units are revoked where their job is paused."""
    outcomes = []
    for claimed in claims:
        held = holder(ledger, claimed)
        if held is None:
            outcomes.append("LOST")
            continue
        job, unit = held
        unit.until_ms = ledger.now_ms + lease_ms
        is_revoked = job.state is JobState.PAUSED and not unit.name[0].isdigit()
        outcomes.append("REVOKED" if is_revoked else "KEPT")
    return outcomes


def commit(
    ledger: Ledger, claimed: Claimed, results: Sequence[Result], *, fenced: bool, plugin: str
) -> str:
    """Record the results of a unit."""
    job = ledger.jobs.get(claimed.job_id)
    if job is None:
        return "ended"
    unit, whole = job.unit(claimed.name), job.whole(claimed.name)
    if job.is_small or (unit is None and whole) or (unit is not None and unit.place == "done"):
        return "duplicate"
    if unit is None or not job.is_open:
        return "ended"
    if unit.place == "todo" and job.next_unit() is unit:
        job.may_linger = True
    if fenced and holder(ledger, claimed) is None:
        return "fenced"
    _record(ledger, job, unit, results)
    note_failed_items(ledger, job, claimed, results)
    ledger.note_use(job.tenant, len(results))
    note_plugin(job, plugin)
    if ledger.complete_if_done(job):
        return "completed"
    _emit_progress(ledger, job)
    return "committed"


def _record(ledger: Ledger, job: ModelJob, unit: Unit, results: Sequence[Result]) -> None:
    is_whole = job.sealed and len(job.units) == 1 and unit.name == "0"
    results_bytes = ledger.sizes.of_results(results)
    job.is_small = is_whole and results_bytes <= SMALL_RESULTS_BYTES
    job.kept_bytes += results_bytes
    unit.results = tuple(results)
    unit.free("done")
    if failed := unit.failed_items:
        chunk = ItemChunk(first_index=unit.first_index, items=tuple(failed))
        job.kept_bytes += ledger.sizes.of_input(chunk)


def note_plugin(job: ModelJob, plugin: str) -> None:
    """Note the version of the plugin that computed results."""
    known = job.plugin_versions
    if plugin and plugin not in known and len(known) < MAX_PLUGIN_VERSIONS:
        job.plugin_versions = (*known, plugin)


def _emit_progress(ledger: Ledger, job: ModelJob) -> None:
    """Tell how far a job is, four times a second at most."""
    if ledger.now_ms - job.progress_ms < PROGRESS_EVERY_MS:
        return
    job.progress_ms = ledger.now_ms
    counts = job.counts
    age_ms = max(ledger.now_ms - (job.started_ms or ledger.now_ms), 1)
    rate = 1_000 * counts.done / age_ms
    eta_s = None
    expected = getattr(job.request.source, "expected_items", None)
    if rate and (job.sealed or expected is not None):
        total = counts.total if job.sealed else max(counts.total, expected or 0)
        eta_s = float(f"{(total - counts.done) / rate:.1f}")
    told: Event = {"counts": counts, "rate_per_s": float(f"{rate:.3f}"), "eta_s": eta_s}
    ledger.emit(job, "progress", told)


def publish_deltas(ledger: Ledger, claimed: Claimed, sizes: Sequence[int]) -> list[bool]:
    """Publish text deltas of so many bytes; what is kept of them is bounded."""
    held = holder(ledger, claimed)
    if held is not None and not ledger.limits.is_short:
        job = held[0]
        for size in sizes:
            if ledger.now_ms > job.deltas_until_ms:
                job.deltas = []
            job.deltas.append(size + DELTA_ENTRY_BYTES)
            while sum(job.deltas) > STREAM_BYTES and len(job.deltas) > 1:
                job.deltas.pop(0)
            job.delta_bytes = sum(job.deltas)
            job.deltas_until_ms = ledger.now_ms + DELTAS_MS
    return [held is not None] * len(sizes)


def fail_job(ledger: Ledger, claimed: Claimed, failure: Failure) -> bool:
    """End the whole job as failed, if the unit is still held."""
    held = holder(ledger, claimed)
    if held is None:
        return False
    seen = {"worker": claimed.worker, "attempts": claimed.attempt}
    note_failed_job(ledger, held[0], failure, **seen)
    ledger.stop(held[0], JobState.FAILED, failure)
    return True


def release_unit(
    ledger: Ledger, claimed: Claimed, *, wait_ms: int, crashed: bool, faulted_by: str = ""
) -> bool:
    """Release a unit, to be claimed again now or after a wait."""
    held = holder(ledger, claimed)
    if held is None:
        return False
    job, unit = held
    unit.crashes += crashed
    if faulted_by:
        count, since_ms, _ = unit.faults or (0, ledger.now_ms, "")
        unit.faults = (count + 1, since_ms, faulted_by)
    ledger.release(job, unit, wait_ms)
    return True


def release_worker(
    ledger: Ledger, worker: str, *, crashed: bool, backoff_ms: int, death: str = ""
) -> None:
    """Release all that a worker holds, and tell each job once how it died."""
    _tell(ledger, worker, death)
    for job, unit in _units(ledger):
        if unit.place == "leased" and unit.worker == worker:
            ledger.requeue(job, unit, crashed=crashed, backoff_ms=backoff_ms)
            if death and crashed:
                unit.death = death
        elif job.is_kept_for(worker) and unit is job.ingest:
            ledger.release(job, unit, 0)


def renew_worker(ledger: Ledger, worker: str, lease_ms: int, said: str) -> None:
    """Keep all leases of a worker that stands still, and tell each job once what is said."""
    _tell(ledger, worker, said)
    for _, unit in _units(ledger):
        if unit.place == "leased" and unit.worker == worker:
            unit.until_ms = ledger.now_ms + lease_ms


def _tell(ledger: Ledger, worker: str, said: str) -> None:
    for job in ledger.jobs.values():
        holds = any(one.place == "leased" and one.worker == worker for one in job.claimed)
        if said and job.is_open and holds:
            ledger.emit(job, "log", {"message": said, "worker": worker, "level": "warning"})


def split(ledger: Ledger, claimed: Claimed) -> bool:
    """Replace a unit that is held by two halves of it."""
    held = holder(ledger, claimed)
    if held is None or len(held[1].items) < 2:
        return False
    job, unit = held
    middle = len(unit.items) // 2
    number, halves = unit.name.partition(":")[0], []
    for first, items in ((0, unit.items[:middle]), (middle, unit.items[middle:])):
        begins = unit.first_index + first
        half = Unit(f"{number}:{begins}:{begins + len(items)}", begins, items)
        half.death, half.attempt, half.carried = unit.death, unit.attempt, unit.attempt
        half.input_bytes = ledger.sizes.of_input(half.chunk)
        halves.append(half)
    parts = job.units[int(number)]
    at = parts.index(unit)
    parts[at : at + 1] = halves
    job.split.append(unit)
    return True


def expire(ledger: Ledger, backoff_ms: int) -> int:
    """Do what time has made due; return how many units can be claimed again."""
    due = [
        (job, unit)
        for job, unit in _units(ledger)
        if unit.place in ("leased", "waiting") and unit.until_ms <= ledger.now_ms
    ]
    requeued = sum(
        ledger.requeue(job, unit, crashed=unit.place == "leased", backoff_ms=backoff_ms)
        for job, unit in due
    )
    for job in list(ledger.jobs.values()):
        end_if_overdue(ledger, job)
    for job in ledger.jobs.values():
        if job.warning is not None and job.warning[0] <= ledger.now_ms:
            _warn(ledger, job, job.warning[1])
    return requeued


def end_if_overdue(ledger: Ledger, job: ModelJob) -> bool:
    """End a job whose time has run out."""
    if not is_overdue(ledger, job):
        return False
    ledger.stop(job, JobState.EXPIRED, EXPIRED)
    return True


def _warn(ledger: Ledger, job: ModelJob, what: str) -> None:
    job.warning = None
    if job.held_by is not None:  # it is looked after on
        span_ms = 1_000 * job.ttl_s
        ledger.warn_before(job, "results", ledger.now_ms + span_ms, span_ms)
        return
    at_ms = job.expires_ms if what == "job" else job.kept_until_ms
    ledger.emit(job, "expiring", {"what": what, "expires_at_ms": at_ms})


def _units(ledger: Ledger) -> Iterator[tuple[ModelJob, Unit]]:
    return ((job, unit) for job in ledger.jobs.values() if job.is_open for unit in job.claimed)

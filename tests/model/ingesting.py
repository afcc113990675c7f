"""Reading a job's file: slice by slice, and by ranges that other workers read ahead."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from model.jobs import Claimed, ModelJob, Offers, Range
from model.ledger import Ledger
from model.submitting import add_unit, over_quota
from model.working import holder
from seqd_schemas import ItemChunk, JobState

#: How long an ingest is kept for its worker, and units to be claimed that are enough for now.
KEEP_MS, ENOUGH_UNITS = 10_000, 32

#: How long a range is a worker's of which nothing comes, and how often one is offered.
TAKEN_MS, MOST_TAKES = 3_000, 3

#: How long offers are kept after the last change.
OFFERED_MS = 3_600_000

#: Jobs that somebody looks at who takes a range.
LOOKED_AT = 8


def keep(ledger: Ledger, claimed: Claimed) -> bool:
    """Release an ingest between two slices, and keep it for its worker."""
    held = holder(ledger, claimed)
    if held is None:
        return False
    job, unit = held
    job.kept_for = (unit.attempt, unit.worker)
    unit.free("waiting", ledger.now_ms + KEEP_MS)
    return True


def resume(ledger: Ledger, claimed: Claimed, lease_ms: int) -> Claimed | bool:
    """Lease an ingest again; True while it is kept on, False where it is not ours any more."""
    job = ledger.jobs.get(claimed.job_id)
    unit = None if job is None else job.ingest
    if job is None or unit is None or not job.is_open:
        return False
    if unit.place == "leased":
        is_ours = unit.attempt == claimed.attempt + 1 and unit.worker == claimed.worker
        return replace(claimed, attempt=unit.attempt) if is_ours else False
    is_kept = job.is_kept_for(claimed.worker) and unit.attempt == claimed.attempt
    if not is_kept or job.state is not JobState.RUNNING:
        return False
    todo = sum(part.place == "todo" for part in job.parts)
    if job.leased >= job.max_units or todo >= ENOUGH_UNITS:
        unit.until_ms = ledger.now_ms + KEEP_MS
        return True
    unit.place, unit.worker, unit.until_ms = "leased", claimed.worker, ledger.now_ms + lease_ms
    unit.attempt += 1
    return replace(claimed, attempt=unit.attempt)


def note_unread(ledger: Ledger, claimed: Claimed, items: int) -> bool:
    """Note how many items of the file are not read yet."""
    held = holder(ledger, claimed)
    if held is not None:
        held[0].unread = items
    return held is not None


def offer(
    ledger: Ledger, claimed: Claimed, ranges: Sequence[tuple[int, int]], *, anew: bool
) -> bool:
    """Offer ranges of the file, each by its first unit and its number of units."""
    held = holder(ledger, claimed)
    if held is None:
        return False
    offers = Offers() if anew else ledger.offers.get(claimed.job_id, Offers())
    for first, units in ranges:
        offers.ranges.setdefault(first, Range(first, units))
    if ranges:
        offers.since_ms = ledger.now_ms
        offers.until_ms = ledger.now_ms + OFFERED_MS
        ledger.offers[claimed.job_id] = offers
    elif anew:
        ledger.offers.pop(claimed.job_id, None)
    return True


def take(
    ledger: Ledger, worker: str, served: Collection[tuple[str, str]], own: str = ""
) -> tuple[str, int, int] | None:
    """Take a range: of the job whose ingest the worker holds, or of any that is offered."""
    if own:
        return _take_of(ledger, own, worker, served, is_own=True)
    offered = sorted(ledger.offers, key=lambda one: (ledger.offers[one].since_ms, one))
    for job_id in offered[:LOOKED_AT]:
        taken = _take_of(ledger, job_id, worker, served, is_own=False)
        if taken is not None:
            return taken
    return None


def _take_of(
    ledger: Ledger,
    job_id: str,
    worker: str,
    served: Collection[tuple[str, str]],
    *,
    is_own: bool,
) -> tuple[str, int, int] | None:
    job, offers = ledger.jobs.get(job_id), ledger.offers.get(job_id, Offers())
    if job is None or not job.is_open or job.sealed:
        ledger.offers.pop(job_id, None)
        return None
    if job.state is not JobState.RUNNING or not (is_own or _is_served(job, served)):
        return None
    for one in list(offers.ranges.values()):
        if one.first + one.units <= len(job.units):
            del offers.ranges[one.first]
    free = [one for one in offers.ranges.values() if _is_free(ledger, one, is_own=is_own)]
    if not free:
        if not offers.ranges:
            ledger.offers.pop(job_id, None)
        return None
    chosen = min(free, key=lambda one: one.first)
    chosen.worker, chosen.taken_ms = worker, ledger.now_ms
    chosen.takes += 1
    return job_id, chosen.first, chosen.units


def _is_served(job: ModelJob, served: Collection[tuple[str, str]]) -> bool:
    return (job.request.kind, job.model) in served


def _is_free(ledger: Ledger, one: Range, *, is_own: bool) -> bool:
    if one.worker is None:
        return True
    is_late = ledger.now_ms - one.taken_ms > TAKEN_MS
    return is_late and (is_own or one.takes < MOST_TAKES)


def release(ledger: Ledger, job_id: str, first: int, worker: str) -> None:
    """Let another take a range."""
    one = ledger.offers.get(job_id, Offers()).ranges.get(first)
    if one is not None and one.worker == worker:
        one.worker, one.taken_ms = None, 0
        one.takes -= 1


def put(ledger: Ledger, job_id: str, first: int, worker: str, number: int, chunk: ItemChunk) -> str:
    """Put a unit of a range where the ingest finds it."""
    job, offers = ledger.jobs.get(job_id), ledger.offers.get(job_id, Offers())
    one = offers.ranges.get(first)
    if job is None or job.state is not JobState.RUNNING or job.sealed:
        return "lost"
    if one is None or one.worker != worker:
        return "lost"
    if number >= len(job.units) and number not in offers.ahead:
        if ledger.limits.is_short:
            return "full"
        offers.ahead[number] = chunk
        offers.until_ms = ledger.now_ms + OFFERED_MS
    one.taken_ms = ledger.now_ms
    return "read"


def append_ahead(ledger: Ledger, claimed: Claimed, number: int) -> str:
    """Add a unit that was read ahead to the job."""
    job = ledger.jobs.get(claimed.job_id)
    if job is None or job.sealed or holder(ledger, claimed) is None:
        return "ended"
    if number < len(job.units):
        return "added"
    if number > len(job.units):
        return "behind"
    ahead = ledger.offers.get(claimed.job_id, Offers()).ahead
    chunk = ahead.get(number)
    if chunk is None:
        return "missing"
    if ledger.limits.is_short:
        return "short"
    if over_quota(ledger, job.tenant, 0, (), 0, len(chunk.items)):
        return "full"
    del ahead[number]
    add_unit(ledger, job, chunk.items, chunk.first_index)  # type: ignore[arg-type]
    return "added"

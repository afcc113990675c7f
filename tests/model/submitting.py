"""Handing jobs in: identifiers, idempotency keys, quotas, refusals; uploads, unit by unit."""

from collections.abc import Sequence

from model.jobs import Claimed, ModelJob, Unit
from model.ledger import INGEST_AHEAD_UNITS, Ledger, Refused
from model.trainings import a_unit
from model.working import holder
from seqd_schemas import FileSource, Item, Job, TrainJob, UploadSource

#: The unit that reads a job's file.
INGEST = "ingest"


def submit(
    ledger: Ledger,
    request: Job,
    items: Sequence[Item],
    *,
    job_id: str,
    version: int | None,
    unit_items: int,
    sealed: bool = True,
    owner: str = "",
) -> str:
    """Hand in a job with its first units of items; return the identifier of the one that stands.

    That is another one's where the idempotency key stands for it.
    """
    known = _known(ledger, request, job_id)
    if known is not None:
        if owner and known.owner == owner:
            return known.job_id
        return _same(ledger, known, request, items, job_id, is_whole=sealed)
    _check_admission(ledger, request, items[:unit_items])
    job = ModelJob(job_id, request, version, unit_items, ledger.now_ms, sealed, owner=owner)
    _take_limits(ledger, job)
    job.heard_ms = ledger.now_ms
    if request.continues is not None:
        earlier = ledger.jobs[request.continues]
        earlier.continued_by, job.continues = job_id, earlier.job_id
        ledger.hold_continued(job)
    ledger.jobs[job_id] = job
    if isinstance(request.source, FileSource):
        job.ingest = Unit(INGEST, 0, (), counts_for=0, rank=-INGEST_AHEAD_UNITS)
        job.unread = unit_items
        ledger.emit(job, "queued")
        return job_id
    if isinstance(request, TrainJob):
        job.units.append([a_unit()])
        ledger.emit(job, "queued")
        return job_id
    for first in range(0, len(items), unit_items):
        add_unit(ledger, job, items[first : first + unit_items])
        if first == 0:
            ledger.emit(job, "queued")
    if not items:
        ledger.emit(job, "queued")
        ledger.complete_if_done(job)
    return job_id


def append(
    ledger: Ledger,
    job_id: str,
    number: int,
    items: Sequence[Item],
    owner: str = "",
    reader: Claimed | None = None,
) -> str:
    """Add a unit to a job whose input is open; `reader` reads the job's file."""
    job = ledger.jobs.get(job_id)
    if job is None or not job.is_open:
        return "ended"
    if reader is not None and holder(ledger, reader) is None:
        return "ended"
    if job.owner != owner:
        return "not_owner"
    if number < len(job.units):
        return "added"
    if job.sealed:
        return "ended"
    if number > len(job.units):
        return "behind"
    job.heard_ms = ledger.now_ms
    over = over_quota(ledger, job.tenant, 0, items, _first_index(job), len(items))
    if ledger.limits.is_short:
        return "short"
    if over is not None:
        return "full"
    add_unit(ledger, job, items)
    return "added"


def seal(
    ledger: Ledger, job_id: str, units: int, owner: str = "", reader: Claimed | None = None
) -> bool:
    """Say that the input of a job is complete; `reader` has read the job's file."""
    job = ledger.jobs.get(job_id)
    if job is None or not job.is_open:
        return False
    if job.sealed:
        return True
    if reader is not None and holder(ledger, reader) is None:
        return False
    if job.owner != owner:
        return False
    if units != len(job.units):
        raise Refused("upload_lost")
    job.sealed, job.owner, job.unread, job.position = True, "", 0, None
    if reader is not None:
        job.ingest = None
        ledger.offers.pop(job_id, None)
    ledger.complete_if_done(job)
    return True


def _known(ledger: Ledger, request: Job, job_id: str) -> ModelJob | None:
    key = request.idempotency_key
    by_key = None if key is None else ledger.keys.get((request.tenant, key))
    return ledger.jobs.get(by_key or job_id)


def _same(
    ledger: Ledger,
    known: ModelJob,
    request: Job,
    items: Sequence[Item],
    job_id: str,
    *,
    is_whole: bool,
) -> str:
    """Return the job that is there; raise Refused where it was asked for something else."""
    asks_the_same = _without_source(known.request) == _without_source(request)
    if isinstance(request.source, FileSource) and known.request == request:
        return known.job_id
    if asks_the_same and known.sealed and known.items == list(items):
        return known.job_id
    is_by_id = known.job_id == job_id or request.idempotency_key is None
    raise Refused("id_in_use" if is_by_id else "idempotency_conflict")


def _without_source(request: Job) -> Job:
    return request.model_copy(update={"source": UploadSource()})


def _check_admission(ledger: Ledger, request: Job, first: Sequence[Item]) -> None:
    tenant = request.tenant
    if request.model.partition("@")[0] in ledger.disabled_models:
        raise Refused("model_disabled")
    if request.results_ttl_s > ledger.limit_of(tenant, "results_ttl_s"):
        raise Refused("invalid_request")
    if request.priority not in ledger.priorities_of(tenant):
        raise Refused("not_allowed")
    if ledger.limits.is_short:
        raise Refused("redis_full")
    count = 1 if isinstance(request, TrainJob) else len(first)
    if refusal := over_quota(ledger, tenant, 1, first, 0, count):
        raise Refused(refusal)
    if request.continues is not None:
        ended = ledger.jobs.get(request.continues)
        if ended is None or ended.is_open:
            raise Refused("wrong_state")
        if isinstance(request, TrainJob) and ended.training is not None:
            raise Refused("wrong_state")
        if ended.continued_by in ledger.jobs:
            raise Refused("wrong_state")


def over_quota(
    ledger: Ledger,
    tenant: str,
    jobs: int,
    items: Sequence[Item],
    first_index: int,
    count: int,
) -> str | None:
    """Return the code of the refusal of so much more; None where it fits."""
    size = ledger.sizes.of_input(Unit("", first_index, tuple(items)).chunk) if items else 0
    for name, waiting, more in (
        ("jobs", len(ledger.open_of(tenant)), jobs),
        ("items", ledger.waiting_items(tenant), count),
        ("bytes", ledger.waiting_bytes(tenant), size),
    ):
        most = ledger.limit_of(tenant, name)
        # What is larger than the whole quota may come alone.
        if more and waiting + more > most and (waiting or not most):
            return "quota_exceeded" if most else "not_allowed"
    return None


def _take_limits(ledger: Ledger, job: ModelJob) -> None:
    request = job.request
    job.ttl_s = request.results_ttl_s
    job.max_units = min(
        request.max_running_units or ledger.limits.job_units, ledger.limits.job_units
    )
    if request.expires_in_s is not None:
        span_ms = 1_000 * request.expires_in_s
        job.expires_ms = ledger.now_ms + span_ms
        ledger.warn_before(job, "job", job.expires_ms, span_ms)
    if request.idempotency_key is not None:
        ledger.keys[request.tenant, request.idempotency_key] = job.job_id


def _first_index(job: ModelJob) -> int:
    return sum(part.size for part in job.parts)


def add_unit(
    ledger: Ledger, job: ModelJob, items: Sequence[Item], first_index: int | None = None
) -> None:
    """Add a unit behind the others."""
    first = _first_index(job) if first_index is None else first_index
    unit = Unit(str(len(job.units)), first, tuple(items))
    unit.input_bytes = ledger.sizes.of_input(unit.chunk)
    job.units.append([unit])

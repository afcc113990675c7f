"""What a claim may give: often several answers are right, and this says which.

Only the order among tenants and jobs is open; `fairness` bounds that over many claims.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from model.jobs import Claimed, ModelJob, Unit
from model.ledger import Ledger
from model.working import claimable, lease
from seqd_schemas import Item, Job

#: Kinds of jobs, each with a model, that a worker can run.
Served = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class GivenUnit:
    """A unit as a worker gets it."""

    job_id: str
    name: str
    attempt: int
    crashes: int
    items: tuple[Item, ...]
    first_index: int
    started_job: bool
    job_age_s: float
    #: How often workers that were unfit released it, since how many seconds, and the last of them.
    faults: tuple[int, float, str] | None
    #: What is told of the last worker that died with it.
    death: str


@dataclass(frozen=True)
class GivenClaim:
    """What a worker gets."""

    request: Job
    version: int | None
    units: tuple[GivenUnit, ...]


def take(
    ledger: Ledger, claim: GivenClaim | None, worker: str, served: Served, lease_ms: int
) -> list[Claimed]:
    """Check what a worker was given, and note it."""
    could = claimable(ledger, served)
    if claim is None:
        assert not could, (
            f"nothing was given, and there are units of {[job.job_id for job in could]}"
        )
        return []
    _check_group(ledger, claim, could)
    taken = []
    for given in claim.units:
        job = ledger.jobs[given.job_id]
        assert job in claimable(ledger, served), (
            f"{job.job_id} is {job.state}, and was claimed from"
        )
        unit = job.next_unit()
        assert unit is not None and unit.name == given.name, f"{given.name} is not next of {job}"
        started = lease(ledger, job, unit, worker, lease_ms)
        due = GivenUnit(
            job.job_id,
            unit.name,
            unit.attempt,
            unit.crashes,
            unit.items,
            unit.first_index,
            started,
            (ledger.now_ms - job.created_ms) / 1_000,
            _faults(ledger, unit),
            unit.death if unit.crashes or unit.is_part else "",
        )
        assert given == due, f"it gave {given}; due was {due}"
        taken.append(
            Claimed(job.job_id, unit.name, unit.attempt, worker, unit.items, unit.first_index)
        )
    _check_none_was_left(ledger, claim, served)
    return taken


def is_alike(one: ModelJob, other: ModelJob) -> bool:
    """True of jobs whose units a worker computes together."""
    ours, theirs = one.request, other.request
    return (ours.kind, ours.parameters, ours.priority) == (
        theirs.kind,
        theirs.parameters,
        theirs.priority,
    ) and (one.model, one.version, one.unit_items) == (other.model, other.version, other.unit_items)


def is_exclusive(unit: Unit) -> bool:
    """True of a unit that is claimed alone: it may have killed its worker."""
    return unit.crashes > 0 or unit.is_part or not unit.name.isdecimal()


def _faults(ledger: Ledger, unit: Unit) -> tuple[int, float, str] | None:
    if unit.faults is None:
        return None
    count, since_ms, worker = unit.faults
    return count, (ledger.now_ms - since_ms) / 1_000, worker


def _check_group(ledger: Ledger, claim: GivenClaim, could: Sequence[ModelJob]) -> None:
    jobs = [ledger.jobs[given.job_id] for given in claim.units]
    first = jobs[0]
    assert first in could
    assert (claim.request, claim.version) == (first.request, first.version)
    assert all(is_alike(first, job) for job in jobs), "units that are not alike came together"
    items = sum(len(given.items) for given in claim.units)
    assert items <= first.unit_items or len(claim.units) == 1, f"{items} items came at once"
    units = [ledger.jobs[given.job_id].unit(given.name) for given in claim.units]
    is_alone = [unit is not None and is_exclusive(unit) for unit in units]
    assert len(units) == 1 or not any(is_alone), "a unit that is to come alone came with others"


def _check_none_was_left(ledger: Ledger, claim: GivenClaim, served: Served) -> None:
    """Another unit may be left that fits, only for the sake of one that does not."""
    first = ledger.jobs[claim.units[0].job_id]
    unit = first.unit(claim.units[0].name)
    if unit is not None and is_exclusive(unit):
        return
    room = first.unit_items - sum(len(given.items) for given in claim.units)
    could = claimable(ledger, served)
    alike = [job for job in could if is_alike(first, job)]
    fits = {job.job_id: _fits(job, room) for job in alike}
    # A tenant's job that does not fit, and those of other groups, are not overtaken for long.
    bound = {job.tenant for job in could if not fits.get(job.job_id, False)}
    left = [job.job_id for job in alike if fits[job.job_id] and job.tenant not in bound]
    assert not left, f"{room} items had room, and nothing was taken of {left}"


def _fits(job: ModelJob, room: int) -> bool:
    unit = job.next_unit()
    return unit is not None and not is_exclusive(unit) and unit.size <= room

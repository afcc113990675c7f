"""Trainings: one unit that saves checkpoints, publishes events and makes a version."""

from model.jobs import Claimed, ModelJob, Unit
from model.ledger import Ledger, Refused
from model.working import holder, note_plugin
from seqd_schemas import JobState, TrainingResult, TrainJob

#: Checkpoints that are kept.
KEPT = 2

TRAIN = "train"


def a_unit() -> Unit:
    """Return the unit of a training."""
    return Unit(TRAIN, 0, (), counts_for=1)


def checkpoint(ledger: Ledger, claimed: Claimed, name: str) -> list[str]:
    """Commit a checkpoint; return those that are kept, the newest first; none if it is too late."""
    held = holder(ledger, claimed)
    if held is None:
        return []
    job, unit = held
    unit.crashes = 0
    others = [one for one in job.checkpoints if one != name]
    job.checkpoints = [name, *others[: KEPT - 1]]
    return list(job.checkpoints)


def publish_epoch(ledger: Ledger, claimed: Claimed, epoch: int) -> None:
    """Publish that an epoch is over."""
    held = holder(ledger, claimed)
    if held is None:
        raise Refused("lease_lost")
    ledger.emit(held[0], "epoch", {"epoch": epoch})


def commit(ledger: Ledger, claimed: Claimed, result: TrainingResult, size: int, plugin: str) -> str:
    """Record the version that a training made, whose record takes `size` bytes."""
    job = ledger.jobs.get(claimed.job_id)
    if job is None:
        return "ended"
    unit = job.unit(claimed.name)
    if unit is not None and unit.place == "done":
        return "duplicate"
    if not job.is_open:
        return "ended"
    if holder(ledger, claimed) is None or unit is None:
        return "fenced"
    job.training = result
    job.kept_bytes += size
    unit.free("done")
    ledger.note_use(job.tenant, 1, "trainings")
    note_plugin(job, plugin)
    ledger.complete_if_done(job)
    return "completed"


def resumption(ledger: Ledger, job_id: str) -> TrainJob:
    """Return the request that continues an ended training."""
    job = ledger.job(job_id)
    if job.state is JobState.COMPLETED or not isinstance(job.request, TrainJob):
        raise Refused("wrong_state")
    changes = {"continues": job_id, "idempotency_key": None, "expires_in_s": None}
    return job.request.model_copy(update=changes)


def has_checkpoint(ledger: Ledger, job_id: str) -> bool:
    """Return True when a training, or one that it continues, has saved a checkpoint."""
    job = ledger.jobs.get(job_id)
    while job is not None:
        if job.checkpoints:
            return True
        job = _before(ledger, job)
    return False


def _before(ledger: Ledger, job: ModelJob) -> ModelJob | None:
    earlier = ledger.jobs.get(job.continues or "")
    return earlier if earlier is not None and earlier.continued_by == job.job_id else None

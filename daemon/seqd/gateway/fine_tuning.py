"""`/v1/fine_tuning/jobs`: trainings, in the form of OpenAI's fine-tuning jobs.

All of such a job is derived from the record and the events of the training.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Final, cast

from fastapi import APIRouter, Query
from pydantic import Field, JsonValue

from seqd.client.requests import training_of
from seqd.errors import UnknownJob
from seqd.gateway.bodies import Answer, RequestBody, page_of
from seqd.gateway.callers import Caller, Operator, Reader, SeqdClient, Submitter
from seqd.gateway.files import file_of
from seqd.gateway.ledger_client import GatewayClient
from seqd.gateway.stored_files import file_id_of, source_of
from seqd.ledger.submissions import new_job_id
from seqd.validation import shown
from seqd_schemas import (
    Epoch,
    Event,
    FileSource,
    JobRecord,
    JobState,
    Log,
    ParameterValue,
    Sample,
    Step,
    TrainJob,
)

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["fine-tuning"])

_PREFIX: Final = "ftjob-"

#: What OpenAI calls the states of a training.
_STATUS: Final[Mapping[JobState, str]] = {
    JobState.COMPLETED: "succeeded",
    JobState.EXPIRED: "failed",
}

#: Parameters that OpenAI's clients know by another name.
_RENAMED: Final = {"n_epochs": "epochs"}
_STOCK_NAMES: Final = {ours: theirs for theirs, ours in _RENAMED.items()}

#: Trainings that a list looks at.
_LISTED: Final = 1_000

#: The levels of events, by those of ours.
_LEVELS: Final = {"info": "info", "warning": "warn", "error": "error"}

_Limit = Annotated[int, Query(ge=1, le=100)]
_After = Annotated[str | None, Query(max_length=128)]


class TrainingRequest(RequestBody):
    """What to train, and on which files."""

    model: str = Field(max_length=40, description="A model of a plugin, such as imdb_lstm.")
    training_file: str = Field(max_length=64, description="An uploaded file.")
    validation_file: str | None = Field(default=None, max_length=64)
    """Data to validate on; without it the plugin holds some out."""
    hyperparameters: dict[str, JsonValue] = Field(default_factory=dict, max_length=64)
    """The plugin's training parameters; `auto` leaves one as it is."""
    preset: str | None = Field(default=None, max_length=40, description="A named set of them.")
    suffix: str | None = Field(default=None, min_length=1, max_length=40)
    """Makes a model of its own, `MODEL_SUFFIX`; without it, a version of `model`."""
    seed: int | None = Field(default=None, ge=0)
    metadata: dict[str, str] | None = Field(default=None, max_length=16)


@router.post("")
async def create(asked: TrainingRequest, caller: Submitter, seqd: SeqdClient) -> Answer:
    """Train a version of a model on uploaded files."""
    await seqd.check_model(asked.model, caller.only_tenant)
    await seqd.check_own_model(_model_of(asked), caller.only_tenant)
    given = {name: value for name, value in asked.hyperparameters.items() if value != "auto"}
    if asked.seed is not None:
        given["seed"] = asked.seed
    parameters = {_RENAMED.get(name, name): value for name, value in given.items()}
    held_out = None
    if asked.validation_file is not None:
        held_out = await _source(asked.validation_file, caller, seqd)
    job = training_of(
        await _source(asked.training_file, caller, seqd),
        _model_of(asked),
        {
            "parameters": cast("Mapping[str, ParameterValue]", parameters),
            "plugin": asked.model,
            "preset": asked.preset,
            "metadata": asked.metadata,
            "tenant": caller.tenant,
        },
        held_out,
    )
    return _shown(await seqd.hand_in(job, new_job_id()))


@router.get("")
async def list_trainings(
    caller: Reader, seqd: SeqdClient, limit: _Limit = 20, after: _After = None
) -> Answer:
    """Return trainings, the newest first."""
    found = await seqd.jobs(_LISTED, kind="train", tenant=caller.only_tenant)
    return page_of(_behind([_shown(record) for record in found], after), limit)


@router.get("/{training_id}")
async def show(training_id: str, caller: Reader, seqd: SeqdClient) -> Answer:
    """Return a training as it is now."""
    _, record = await seqd.found_job(_job_id(training_id), caller.only_tenant)
    return _shown(record)


@router.get("/{training_id}/events")
async def events(
    training_id: str, caller: Reader, seqd: SeqdClient, limit: _Limit = 20, after: _After = None
) -> Answer:
    """Return what has happened to a training, the newest first."""
    found = await _events_of(training_id, caller, seqd)
    return page_of(_behind([_event(one) for one in reversed(found)], after), limit)


@router.get("/{training_id}/checkpoints")
async def checkpoints(
    training_id: str, caller: Reader, seqd: SeqdClient, limit: _Limit = 10, after: _After = None
) -> Answer:
    """Return the epochs with their figures, the newest first; none is a model of its own."""
    epochs = [one for one in await _events_of(training_id, caller, seqd) if isinstance(one, Epoch)]
    return page_of(_behind([_checkpoint(one) for one in reversed(epochs)], after), limit)


@router.post("/{training_id}/cancel")
async def cancel(training_id: str, caller: Submitter, seqd: SeqdClient) -> Answer:
    """Cancel a training; it can be resumed from its last checkpoint."""
    job, _ = await seqd.found_job(_job_id(training_id), caller.only_tenant)
    await job.cancel()
    return _shown(await job.record())


@router.post("/{training_id}/pause")
async def pause(training_id: str, caller: Operator, seqd: SeqdClient) -> Answer:
    """Pause a training at a checkpoint."""
    job, _ = await seqd.found_job(_job_id(training_id), caller.only_tenant)
    await job.pause()
    return _shown(await job.record())


@router.post("/{training_id}/resume")
async def resume(training_id: str, caller: Operator, seqd: SeqdClient) -> Answer:
    """Let a paused training go on, or continue one that ended early, by a new training."""
    job, _ = await seqd.found_job(_job_id(training_id), caller.only_tenant)
    return _shown(await (await seqd.resume(job.job_id)).record())


async def _source(file_id: str, caller: Caller, seqd: GatewayClient) -> FileSource:
    return source_of(await file_of(file_id, caller, seqd), seqd, FileSource(path=file_id))


def _model_of(asked: TrainingRequest) -> str:
    """Return the name of the model that is trained."""
    if asked.suffix is None:
        return asked.model
    suffix = re.sub(r"[^a-z0-9]+", "_", asked.suffix.lower()).strip("_")
    return f"{asked.model}_{suffix}"


def _job_id(training_id: str) -> str:
    if not training_id.startswith(_PREFIX):
        raise UnknownJob(f"There is no fine-tuning job {shown(training_id)}.")
    return training_id.removeprefix(_PREFIX)


async def _events_of(training_id: str, caller: Caller, seqd: GatewayClient) -> list[Event]:
    job, _ = await seqd.found_job(_job_id(training_id), caller.only_tenant)
    return await seqd.events_by_now(job.job_id)


def _behind(entries: list[Answer], after: str | None) -> list[Answer]:
    """Return the entries of a list behind one of them; none where that is not kept any more."""
    ids = [None, *(one["id"] for one in entries)]
    return entries[ids.index(after) :] if after in ids else []


def _shown(record: JobRecord) -> Answer:
    job = record.job
    if not isinstance(job, TrainJob):
        raise UnknownJob(f"Job {record.job_id} is no training: it is of the kind {record.kind}.")
    made = record.training
    failure = record.failure
    return {
        "id": f"{_PREFIX}{record.job_id}",
        "object": "fine_tuning.job",
        "created_at": record.created_at_ms // 1_000,
        "finished_at": None if record.ended_at_ms is None else record.ended_at_ms // 1_000,
        "model": job.plugin or job.model,
        "fine_tuned_model": None if made is None else f"{made.model}@{made.version}",
        "organization_id": record.tenant,
        "status": _STATUS.get(record.state, record.state.value),
        "error": {} if failure is None else {"code": failure.code, "message": failure.message},
        "hyperparameters": {
            _STOCK_NAMES.get(name, name): one for name, one in job.parameters.items()
        },
        "preset": job.preset,
        "training_file": file_id_of(job.source),
        "validation_file": file_id_of(job.held_out),
        "result_files": [],
        "seed": job.parameters.get("seed", 0),
        "trained_tokens": None,
        "estimated_finish": None,
        "metadata": job.metadata,
        "metrics": {} if made is None else made.metrics,
    }


def _event(event: Event) -> Answer:
    data: object = event.model_dump(mode="json", exclude_none=True, exclude={"id", "job_id"})
    has_metrics = isinstance(event, Epoch | Step)
    return {
        "id": f"ftevent-{event.id}",
        "object": "fine_tuning.job.event",
        "created_at": event.at_ms // 1_000,
        "level": _LEVELS[event.level] if isinstance(event, Log) else "info",
        "message": _told(event),
        "type": "metrics" if has_metrics else "message",
        "data": data,
    }


def _told(event: Event) -> str:
    if isinstance(event, Epoch):
        return f"Epoch {event.epoch} of {event.epochs}: {_figures(event.metrics)}"
    if isinstance(event, Step):
        return f"Step {event.done:,} of {event.total:,}: {_figures(event.metrics)}"
    if isinstance(event, Sample):
        return f"Sample at temperature {event.temperature:g}: {event.text}"
    if isinstance(event, Log):
        return event.message
    return f"The training is {event.event}."


def _figures(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())


def _checkpoint(epoch: Epoch) -> Answer:
    return {
        "id": f"ftckpt-{epoch.id}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": epoch.at_ms // 1_000,
        "fine_tuning_job_id": f"{_PREFIX}{epoch.job_id}",
        "fine_tuned_model_checkpoint": None,
        "step_number": epoch.epoch,
        "metrics": dict(epoch.metrics),
    }

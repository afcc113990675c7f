"""Dead letters: what has failed, kept beside the jobs for operators, until it is purged."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from seqd_schemas.base import (
    Count,
    CustomId,
    EpochMs,
    JobId,
    ModelName,
    ShortText,
    TaskName,
    TenantName,
    WireModel,
)
from seqd_schemas.failures import DeathCause

#: Items that a record names, and characters that it has of a message. Of a traceback it has as many
#: bytes as `MAX_TRACEBACK_BYTES`, the last ones.
MAX_NAMED_ITEMS = 8
MAX_FAILURE_MESSAGE_CHARS = 1_000
MAX_TRACEBACK_BYTES = 4_000

#: An entry of the stream of dead letters, `MILLISECONDS-NUMBER`.
FailureId = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}-[0-9]{1,20}$")]


class FailureScope(StrEnum):
    """What has failed."""

    ITEMS = "items"
    """Items of one unit that have the same error code."""
    JOB = "job"
    """A job as a whole."""


class FailureRecord(WireModel):
    """One dead letter: the items of a unit that failed with one code, or a job that failed."""

    id: FailureId = Field(description="Its place in the stream of dead letters.")
    at_ms: EpochMs = Field(description="When it failed.")
    job_id: JobId = Field(description="The job, which may have been removed since.")
    tenant: TenantName = Field(description="On whose account the job runs.")
    task: TaskName = Field(description="What the job asks of its model.")
    model: ModelName = Field(description="The model.")
    version: Count | None = Field(
        default=None, description="The version that computed it; not set of a training."
    )
    scope: FailureScope = Field(default=FailureScope.ITEMS, description="What has failed.")
    unit: str = Field(
        default="", max_length=64, description="The unit, of failed items; empty of a whole job."
    )
    code: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,63}$", description="Code of the items' error, or of the job's."
    )
    cause: DeathCause | None = Field(
        default=None, description="How the worker's process ended, where that made it fail."
    )
    items: Count = Field(
        description="Items of the unit with this code, or those of the job without an output."
    )
    custom_ids: tuple[CustomId, ...] = Field(
        default=(), max_length=MAX_NAMED_ITEMS, description="The first of these items."
    )
    message: ShortText = Field(default="", description="What the first of them is told.")
    traceback: str = Field(
        default="",
        max_length=MAX_TRACEBACK_BYTES,
        description="The plugin's part of the traceback, the innermost call last; where it raised.",
    )
    worker: str = Field(default="", max_length=256, description="The worker that recorded it.")
    attempts: int = Field(default=1, ge=0, description="How often the unit was started.")
    replayed_by: JobId | None = Field(
        default=None, description="The job that tries it again, where one does or did."
    )

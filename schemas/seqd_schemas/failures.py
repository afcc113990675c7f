"""What went wrong, as data: of an item, of a job, and the dead letters that operators keep of both.

Not exceptions: those are `seqd.errors`, which turn into these at a process border.
"""

from enum import StrEnum

from pydantic import Field

from seqd_schemas.base import (
    Code,
    Count,
    CustomId,
    EntryId,
    EpochMs,
    JobId,
    ModelName,
    ShortText,
    TaskName,
    TenantName,
    WireModel,
)

#: Items that a record names, and characters that it has of a message. Of a traceback it has as many
#: bytes as `MAX_TRACEBACK_BYTES`, the last ones.
MAX_NAMED_ITEMS = 8
MAX_FAILURE_MESSAGE_CHARS = 1_000
MAX_TRACEBACK_BYTES = 4_000


class ItemErrorCode(StrEnum):
    """Why one item has no output. The list is closed: a new reason is a new schema version."""

    INVALID_INPUT = "invalid_input"
    """The item is not usable: no text, empty text, not one word that the model knows."""
    TOO_LONG = "too_long"
    """The text is longer than the daemon takes."""
    DECODE_ERROR = "decode_error"
    """The bytes are not UTF-8, or the text holds a lone surrogate."""
    PLUGIN_ERROR = "plugin_error"
    """The model plugin raised for this item, or gave for it what no result can hold."""
    WORKER_CRASHED = "worker_crashed"
    """The item killed its worker, or hung it, also when it was alone."""
    CANCELLED = "cancelled"
    """The job was cancelled, or failed, before the item had its turn."""
    EXPIRED = "expired"
    """The job expired before the item had its turn."""


class DeathCause(StrEnum):
    """Why a worker's process ended that was not asked to."""

    HANG = "hang"
    """Its plugin computed, and did not ask whether to stop for too long: it ended itself."""
    WATCHDOG = "watchdog"
    """It stood still as a whole, in C code for instance: its parent ended it."""
    OUT_OF_MEMORY = "out_of_memory"
    """The kernel killed it, since its memory limit, or the machine's memory, was used up."""
    SIGNAL = "signal"
    """A signal ended it, such as SIGSEGV, or a SIGKILL that nobody here has sent."""
    EXIT = "exit"
    """It exited by itself: the plugin, or a library of it, ended the process."""
    NOT_READY = "not_ready"
    """It was not ready for work in time, and was ended."""
    DEVICE_LOST = "device_lost"
    """Its device went away: no fault of the units."""
    WORKER_KILLED = "worker_killed"
    """The worker before it ended as a whole, and nobody had told it to: a kill, or its machine."""
    UNKNOWN = "unknown"
    """Nobody saw how it ended."""


class ItemError(WireModel):
    """Why one item has no output."""

    code: ItemErrorCode = Field(description="Stable code, from the closed list.")
    message: ShortText = Field(description="What arrived, what is allowed, what to do.")
    retryable: bool = False
    """True when the same item may succeed if it is sent again."""


class Failure(WireModel):
    """Why a whole job was refused or ended without success."""

    code: Code = Field(description="Stable code of `seqd.errors`.")
    message: ShortText = Field(description="What arrived, what is allowed, what to do.")
    retryable: bool = False
    """True when the same job may succeed if it is sent again."""
    retry_after_s: float | None = Field(default=None, ge=0.0)
    """Seconds to wait before it is sent again, if it helps."""


class FailureScope(StrEnum):
    """What has failed."""

    ITEMS = "items"
    """Items of one unit that have the same error code."""
    JOB = "job"
    """A job as a whole."""


class FailureRecord(WireModel):
    """One dead letter: the items of a unit that failed with one code, or a job that failed."""

    id: EntryId = Field(description="Its place in the stream of dead letters.")
    at_ms: EpochMs = Field(description="When it failed.")
    job_id: JobId = Field(description="The job, which may have been removed since.")
    tenant: TenantName = Field(description="On whose account the job runs.")
    task: TaskName = Field(description="What the job asks of its model.")
    model: ModelName = Field(description="The model.")
    version: Count | None = None
    """The version that computed it; not set of a training."""
    scope: FailureScope = Field(default=FailureScope.ITEMS, description="What has failed.")
    unit: str = Field(default="", max_length=64)
    """The unit, of failed items; empty of a whole job."""
    code: Code = Field(description="Code of the items' error, or of the job's.")
    cause: DeathCause | None = None
    """How the worker's process ended, where that made it fail."""
    items: Count
    """Items of the unit with this code, or those of the job without an output."""
    custom_ids: tuple[CustomId, ...] = Field(default=(), max_length=MAX_NAMED_ITEMS)
    """The first of these items."""
    message: ShortText = Field(default="", description="What the first of them is told.")
    traceback: str = Field(default="", max_length=MAX_TRACEBACK_BYTES)
    """The plugin's part of the traceback, the innermost call last; where it raised."""
    worker: str = Field(default="", max_length=256, description="The worker that recorded it.")
    attempts: int = Field(default=1, ge=0, description="How often the unit was started.")
    replayed_by: JobId | None = None
    """The job that tries it again, where one does or did."""

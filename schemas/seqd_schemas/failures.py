"""What went wrong, as data: the closed list of item error codes, and a whole job's failure.

Not exceptions: those are `seqd.errors`, which turn into these at a process border.
"""

from enum import StrEnum

from pydantic import Field

from seqd_schemas.base import ShortText, WireModel


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
    retryable: bool = Field(
        default=False, description="True when the same item may succeed if it is sent again."
    )


class Failure(WireModel):
    """Why a whole job was refused or ended without success."""

    code: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,63}$", description="Stable code of `seqd.errors`."
    )
    message: ShortText = Field(description="What arrived, what is allowed, what to do.")
    retryable: bool = Field(
        default=False, description="True when the same job may succeed if it is sent again."
    )
    retry_after_s: float | None = Field(
        default=None, ge=0.0, description="Seconds to wait before it is sent again, if it helps."
    )

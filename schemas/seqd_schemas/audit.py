"""The audit: which act of an operator or a client was done, by whom, when and from where."""

from pydantic import Field

from seqd_schemas.base import Code, EpochMs, OperatorText, WireModel
from seqd_schemas.events import EventId


class AuditEntry(WireModel):
    """An act, written before it is done; one that failed has a second entry with the outcome."""

    # No closed list: a later release has acts that this one does not know.
    action: str = Field(pattern=r"^[a-z][a-z0-9_.]{0,63}$")
    """What is done, such as `jobs.cancel`."""
    target: OperatorText = ""
    """What it is done to: a job, a model, a worker, a tenant, a filter."""
    details: dict[Code, OperatorText] = Field(default_factory=dict, max_length=32)
    """With what: options, and counts."""
    outcome: OperatorText = ""
    """What came of it: a sentence, or the code of an error; empty of an act that is about to be
    done."""
    who: OperatorText = Field(default="", description="The user of the operating system.")
    host: OperatorText = Field(default="", description="The machine.")
    pid: int = Field(default=0, ge=0, le=2**53, description="The process.")
    program: OperatorText = ""
    """The command, such as `seqd jobs cancel`, or the program."""
    redis_user: OperatorText = Field(default="", description="The user of Redis.")


class AuditRecord(AuditEntry):
    """An entry of the audit as it is read: with its place in the stream."""

    id: EventId = Field(description="The entry's place in the audit: its stream id.")
    at_ms: EpochMs = Field(description="When it was written, by the server's clock.")

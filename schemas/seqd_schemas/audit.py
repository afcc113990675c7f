"""The audit: which act of an operator or a client was done, by whom, when and from where."""

from typing import Annotated

from pydantic import Field, StringConstraints

from seqd_schemas.base import EpochMs, WireModel
from seqd_schemas.events import EventId

AuditText = Annotated[str, StringConstraints(max_length=500)]


class AuditEntry(WireModel):
    """An act, written before it is done; one that failed has a second entry with the outcome."""

    # No closed list: a later release has acts that this one does not know.
    action: str = Field(
        pattern=r"^[a-z][a-z0-9_.]{0,63}$", description="What is done, such as `jobs.cancel`."
    )
    target: AuditText = Field(
        default="", description="What it is done to: a job, a model, a worker, a tenant, a filter."
    )
    details: dict[
        Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")], AuditText
    ] = Field(default_factory=dict, max_length=32, description="With what: options, and counts.")
    outcome: AuditText = Field(
        default="",
        description="What came of it: a sentence, or the code of an error; empty of an act that is "
        "about to be done.",
    )
    who: AuditText = Field(default="", description="The user of the operating system.")
    host: AuditText = Field(default="", description="The machine.")
    pid: int = Field(default=0, ge=0, le=2**53, description="The process.")
    program: AuditText = Field(
        default="", description="The command, such as `seqd jobs cancel`, or the program."
    )
    redis_user: AuditText = Field(default="", description="The user of Redis.")


class AuditRecord(AuditEntry):
    """An entry of the audit as it is read: with its place in the stream."""

    id: EventId = Field(description="The entry's place in the audit: its stream id.")
    at_ms: EpochMs = Field(description="When it was written, by the server's clock.")

"""Records of the gateway: who may ask it for what, and the files that its callers upload."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, JsonValue, StringConstraints

from seqd_schemas.base import (
    Code,
    Count,
    EpochMs,
    OperatorText,
    Sha256,
    ShortText,
    TenantName,
    WireModel,
)
from seqd_schemas.jobs import FieldName

#: Requests a minute that a key may have at most.
MAX_REQUESTS_PER_MINUTE = 1_000_000

FileId = Annotated[str, StringConstraints(pattern=r"^file-[0-9a-f]{1,32}$")]


class KeyRole(StrEnum):
    """What the holder of a key may do; each role may do what those before it may."""

    READ = "read"
    """See the jobs, files and models of its tenant."""
    SUBMIT = "submit"
    """Hand in its tenant's jobs and files, cancel and remove them."""
    OPERATE = "operate"
    """Pause, resume and retry its tenant's jobs, and change its models."""
    ADMIN = "admin"
    """All of that for every tenant."""

    def may(self, needed: "KeyRole") -> bool:
        """Return whether it includes another role."""
        roles = list(KeyRole)
        return roles.index(self) >= roles.index(needed)


class ApiKey(WireModel):
    """A key of the gateway; its secret is not in it, and stands nowhere in Redis."""

    id: Code = Field(description="What it is called by, such as `key_5f0c2ab91d`.")
    tenant: TenantName = Field(description="On whose account its requests run.")
    role: KeyRole = Field(description="What its holder may do.")
    name: OperatorText = Field(default="", description="Whom or what it is for.")
    created_at_ms: EpochMs = Field(description="When it was made.")
    expires_at_ms: EpochMs | None = Field(default=None, description="When it ends; not set: never.")
    requests_per_minute: int | None = Field(default=None, ge=1, le=MAX_REQUESTS_PER_MINUTE)
    """Requests that it may send in a minute; not set: as many as come."""


class ApiKeyRecord(ApiKey):
    """A key as it is listed: with its last use."""

    last_used_at_ms: EpochMs | None = None
    """When it was used last, to the minute; not set: never."""


class FilePurpose(StrEnum):
    """What a file is for, as OpenAI's routes call it."""

    BATCH = "batch"
    """Requests, one a line, that a batch answers."""
    FINE_TUNE = "fine-tune"
    """What a training learns from, or is validated on."""


class CommonRequest(WireModel):
    """What all lines of a batch's file have in common: all but the text and its name."""

    url: Annotated[str, StringConstraints(max_length=64)] | None = None
    """The route that they ask, `/v1/classify`; none of lines such as `{"custom_id", "text"}`."""
    body: dict[FieldName, JsonValue] = Field(default_factory=dict, max_length=64)
    """The fields of their bodies beside the text, such as `model`."""


class LineFault(WireModel):
    """The first line of a batch's file that is no request, or asks for something else."""

    line: Count = Field(description="Its number, from 1.")
    message: ShortText = Field(description="What it says, what is allowed.")


class UploadedFile(WireModel):
    """A file that a caller of the gateway has uploaded, or uploads."""

    file_id: FileId = Field(description="Its identifier.")
    tenant: TenantName = Field(description="Whose it is.")
    filename: str = Field(max_length=255, description="How the caller calls it.")
    purpose: FilePurpose = Field(description="What it is for.")
    bytes: Count = Field(description="Its size; while it is uploaded, what is reserved for it.")
    created_at_ms: EpochMs = Field(description="When its upload began.")
    expires_at_ms: EpochMs
    """When it is removed; while it is uploaded, when that counts as broken off."""
    sha256: Sha256 | None = None
    """Digest of its content; none while it is uploaded."""
    lines: Count = Field(default=0, description="Lines of a batch's file that are not blank.")
    common: CommonRequest | None = None
    """What all lines of a batch's file ask for; none where they do not agree."""
    fault: LineFault | None = None
    """Why no batch can be made of the file."""

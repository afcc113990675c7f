"""Records of the gateway: who may ask it for what, uploaded files, and who is told of jobs."""

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

#: How jobs end, by OpenAI's names: what a webhook is told of unless it names others.
WEBHOOK_ENDINGS = (
    "batch.completed",
    "batch.failed",
    "batch.cancelled",
    "batch.expired",
    "fine_tuning.job.succeeded",
    "fine_tuning.job.failed",
    "fine_tuning.job.cancelled",
    "fine_tuning.job.expired",
)
#: All that it can be told of.
WEBHOOK_EVENTS = (
    *WEBHOOK_ENDINGS,
    *(
        f"{job}.{name}"
        for job in ("batch", "fine_tuning.job")
        for name in ("queued", "started", "paused", "resumed", "expiring")
    ),
)
#: Most webhooks of a tenant, and of all tenants.
MAX_TENANT_WEBHOOKS = 10
MAX_WEBHOOKS = 1_000
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


class WebhookEndpoint(WireModel):
    """A receiver that is told of what happens to a tenant's jobs."""

    webhook_id: str = Field(pattern=r"^wh_[0-9a-f]{24}$", description="Its identifier.")
    tenant: TenantName = Field(description="Whose jobs it is told of.")
    name: str = Field(default="", max_length=128, description="What people call it.")
    url: str = Field(pattern=r"^https?://", max_length=2_048, description="Where it is told.")
    event_types: tuple[Annotated[str, StringConstraints(max_length=64)], ...] = Field(
        default=WEBHOOK_ENDINGS, max_length=64
    )
    """What it is told of, such as `batch.completed`."""
    metadata: dict[FieldName, Annotated[str, StringConstraints(max_length=512)]] = Field(
        default_factory=dict, max_length=16
    )
    """Only of jobs whose metadata has all of these; empty: of all."""
    created_at_ms: EpochMs = Field(description="When it was made.")


class Webhook(WebhookEndpoint):
    """An endpoint as Redis holds it, with what it is signed by."""

    secret: str = Field(pattern=r"^whsec_[A-Za-z0-9+/=]{32,96}$")
    """The key of signatures. It is kept as it is, since it is what signs."""


class WebhookStatus(WebhookEndpoint):
    """An endpoint, and how its deliveries stand."""

    waiting: Count = Field(default=0, description="Jobs with messages that are not taken yet.")
    failed: Count = 0
    """Jobs whose messages it did not take for a day: kept for a week, and sent no more until they
    are replayed."""
    dropped: Count = Field(default=0, description="Messages for which too many waited.")
    delivered: Count = Field(default=0, description="Messages that it took.")
    next_at_ms: EpochMs | None = Field(default=None, description="When the next one is sent.")
    error: ShortText = Field(default="", description="What went wrong, if the last one failed.")
    error_at_ms: EpochMs | None = Field(default=None, description="When it did.")

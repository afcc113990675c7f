"""Records of the gateway: who may ask it for what."""

from enum import StrEnum

from pydantic import Field

from seqd_schemas.base import Code, EpochMs, OperatorText, TenantName, WireModel

#: Requests a minute that a key may have at most.
MAX_REQUESTS_PER_MINUTE = 1_000_000


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

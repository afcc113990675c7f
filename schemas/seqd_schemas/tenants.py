"""What an operator has set for a tenant, how that tenant stands, and what it has used."""

from typing import Annotated

from pydantic import Field, StringConstraints

from seqd_schemas.base import Count, Positive, ShortText, TenantName, WireModel
from seqd_schemas.jobs import Priority

#: Bounds of a tenant's weight: its share of the workers, beside a tenant of weight 1.
MIN_WEIGHT = 0.01
MAX_WEIGHT = 1_000.0
#: Stands for the tenants beyond the 10,000 whose use is counted one by one on a day.
OTHER_TENANTS = "*"

#: A day in UTC, such as `2026-11-26`.
Day = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]


class TenantLimits(WireModel):
    """Limits of one tenant; where one is not set, the operator's settings hold."""

    jobs: int | None = Field(default=None, ge=0, le=2**53)
    """Jobs that may be open at once; 0: no new one is taken."""
    items: int | None = Field(default=None, ge=1, le=2**53)
    """Items that may wait at once."""
    bytes: int | None = Field(default=None, ge=64 * 1024, le=2**53)
    """Compressed input that may wait in Redis at once."""
    kept_bytes: int | None = Field(default=None, ge=64 * 1024, le=2**53)
    """Bytes of results and ended jobs that Redis keeps; beyond them the oldest ended jobs are
    removed before their time."""
    results_ttl_s: int | None = Field(default=None, ge=60, le=366 * 24 * 3_600)
    """Largest results_ttl_s of a job: seconds for which it is kept after its end."""
    weight: float | None = Field(default=None, ge=MIN_WEIGHT, le=MAX_WEIGHT, allow_inf_nan=False)
    """Share of the workers while others wait as well, beside a tenant of weight 1."""
    priorities: tuple[Priority, ...] | None = Field(default=None, min_length=1, max_length=3)
    """Priorities that its jobs may have; all where it is not set."""


class TenantRecord(WireModel):
    """A tenant: what holds for it, and what it has in Redis now."""

    tenant: TenantName = Field(description="Its name.")
    own: TenantLimits = Field(description="What an operator has set for this tenant.")
    limits: TenantLimits
    """What holds for it: its own limits, else those of the workers' settings."""
    open_jobs: Count = Field(default=0, description="Jobs that have not ended.")
    waiting_items: Count = Field(default=0, description="Items that wait or are worked on.")
    waiting_bytes: Count = Field(default=0, description="Compressed input of them, in Redis.")
    kept_bytes: Count = Field(default=0, description="Bytes of its results and ended jobs.")
    damaged: tuple[ShortText, ...] = Field(default=(), max_length=16)
    """Empty: releases before 1.0.0.dev2 named here what seqd had not written."""


class TenantUsage(WireModel):
    """What a tenant has used on one day: all that was committed, each unit once."""

    day: Day = Field(description="The day, in UTC, on the Redis server's clock.")
    tenant: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,63}|\*)$")]
    """Its name; `*` for those beyond the first 10,000 of the day."""
    items: Count = Field(default=0, description="Items of classify and generate jobs.")
    trainings: Count = Field(default=0, description="Trainings, those of sweeps among them.")
    tokens: Count = 0
    """Tokens of these items, as the plugins count them; of a plugin that counts none,
    characters."""
    busy_s: Positive = 0.0
    """Seconds for which a worker computed; of a batch of several tenants, each one's part by length
    of text."""

"""What is in service: its changes, and roll-outs, which try a version beside it on some items.

A *canary* answers its share of the items. A *shadow* computes its share, too, and the version in
service answers. What a job does is fixed when it is accepted, in its `JobRollout`.
"""

from enum import StrEnum
from hashlib import blake2b
from typing import Annotated

from pydantic import Field, StringConstraints

from seqd_schemas.base import Count, CustomId, EpochMs, JobId, ShortText, WireModel
from seqd_schemas.results import Metrics

#: Roll-outs of a model that are known as aborted, the newest.
MAX_ABORTED = 100
#: Share of its items that may fail with a candidate alone, where nobody says otherwise.
MAX_ERROR_RATE = 0.01

RolloutId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Share = Annotated[float, Field(gt=0.0, le=1.0)]
# No closed list: a reader that refused a later release's kind would miss the whole model.
_Kind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class RolloutKind(StrEnum):
    """What a roll-out does with its share of the items."""

    CANARY = "canary"
    """The candidate answers them."""
    SHADOW = "shadow"
    """The candidate computes them, too; the version in service answers."""


class Rollout(WireModel):
    """A version that is tried beside the one in service."""

    id: RolloutId = Field(description="Identifier of the roll-out.")
    kind: _Kind = Field(description="`canary` or `shadow`; another one of a later release.")
    version: Count = Field(description="The candidate.")
    serving: Count = Field(description="The version in service beside which it is tried.")
    share: Share = Field(description="Share of the items of new jobs, such as 0.05.")
    max_error_rate: float = Field(default=MAX_ERROR_RATE, ge=0.0, le=1.0)
    """Share of its items that may fail with the candidate and not with the version in service;
    above it, the roll-out is aborted."""
    by: ShortText = Field(default="", description="Who began it: `user@host`.")
    why: ShortText = Field(default="", description="Why, in words.")
    at_ms: EpochMs = Field(description="When it began.")


class JobRollout(WireModel):
    """The roll-out that a job takes part in, from its submission to its end."""

    id: RolloutId = Field(description="Identifier of the roll-out.")
    kind: _Kind = Field(description="`canary` or `shadow`.")
    version: Count = Field(description="The candidate; `version` of the job is the other one.")
    share: Share = Field(description="Share of its items.")
    seed: JobId | None = None
    """The job by whose identifier items are chosen, where that is another one: the first job, of a
    job that retries its items."""

    def takes(self, job_id: str, custom_id: CustomId) -> bool:
        """Return True for an item that is the candidate's, the same each time it is asked.

        The first 8 bytes of BLAKE2b of `JOB/CUSTOM_ID`, as a share of 2^64, are below `share`.
        """
        name = f"{self.seed or job_id}/{custom_id}".encode()
        number = int.from_bytes(blake2b(name, digest_size=8).digest(), "big")
        return number < self.share * 2**64


class VersionCounts(WireModel):
    """What one version did in a roll-out, by the workers' counts."""

    version: Count = Field(description="The version.")
    items: Count = Field(default=0, description="Items that it was given.")
    errors: Count = 0
    """Of the candidate: those that failed with it and not with the version in service, and all of a
    unit that killed its worker more than once. Of the version in service: those that failed."""
    differing: Count = 0
    """Of a shadow: those for which it gave another answer."""
    batches: Count = Field(default=0, description="Batches that it computed.")
    busy_s: float = Field(default=0.0, ge=0.0, description="Seconds of computing them.")
    p50_ms: float = Field(default=0.0, ge=0.0)
    """Milliseconds that half of the batches took at most."""
    p99_ms: float = Field(default=0.0, ge=0.0)
    """Milliseconds that 99% of the batches took at most."""


class RolloutFile(WireModel):
    """The roll-outs of a model: `rollout.json` in its folder."""

    current: Rollout | None = Field(default=None, description="The one that goes on.")
    aborted: tuple[RolloutId, ...] = Field(default=(), max_length=MAX_ABORTED)
    """Those that were ended since the candidate was not good enough: it computes nothing more of
    their jobs either."""


class ServiceChange(WireModel):
    """One change of the version in service: a line of a model's `history.jsonl`."""

    at_ms: EpochMs = Field(description="When it was made.")
    by: ShortText = ""
    """Who made it: `user@host`, or the job of the training that did."""
    from_version: Count | None = None
    """The version in service before; not set: there was none."""
    to_version: Count | None = None
    """The version in service from then on; not set: none."""
    why: ShortText = Field(default="", description="Why, in words.")
    is_rollback: bool = False
    """True where it goes back to the version before."""
    gate: Metrics = Field(default_factory=dict)
    """The figures that it was made for, where it was gated."""
    rollout: Rollout | None = None
    """The roll-out that began or ended with it; the version in service may be the same before and
    after."""
    order_id: JobId | None = None
    """The order of a client that it was made for; see `ModelOrder`."""

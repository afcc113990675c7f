"""Changes of what is in service: which version of a model, since when, by whom and why."""

from pydantic import Field

from seqd_schemas.base import Count, EpochMs, JobId, ShortText, WireModel
from seqd_schemas.results import Metrics
from seqd_schemas.rollouts import Rollout


class ServiceChange(WireModel):
    """One change of the version in service: a line of a model's `history.jsonl`."""

    at_ms: EpochMs = Field(description="When it was made.")
    by: ShortText = Field(
        default="", description="Who made it: `user@host`, or the job of the training that did."
    )
    from_version: Count | None = Field(
        default=None, description="The version in service before; not set: there was none."
    )
    to_version: Count | None = Field(
        default=None, description="The version in service from then on; not set: none."
    )
    why: ShortText = Field(default="", description="Why, in words.")
    is_rollback: bool = Field(
        default=False, description="True where it goes back to the version before."
    )
    gate: Metrics = Field(
        default_factory=dict, description="The figures that it was made for, where it was gated."
    )
    rollout: Rollout | None = Field(
        default=None,
        description="The roll-out that began or ended with it; the version in service may be the "
        "same before and after.",
    )
    order_id: JobId | None = Field(
        default=None, description="The order of a client that it was made for; see `ModelOrder`."
    )

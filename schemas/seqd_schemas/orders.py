"""Model orders: what a client asks of a model's store, and what came of it.

The store is beside the workers and a client has none. So it writes an order into Redis, a worker
whose store has the model carries it out, and its answer stands in Redis for a while.

And the inbox's answers: what became of each entry that a program in any language has added. They
stand in a stream of their own, `Keys.inbox_answers`: also those to entries that named no job whose
event stream could have one.
"""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from seqd_schemas.base import (
    Code,
    Count,
    EntryId,
    EpochMs,
    JobId,
    Label,
    ModelName,
    OperatorText,
    ShortText,
    WireModel,
)
from seqd_schemas.failures import Failure
from seqd_schemas.results import Metrics
from seqd_schemas.rollouts import Rollout, Share

#: Orders that may be open at once.
MAX_MODEL_ORDERS = 256
#: Longest time, in seconds, for which workers may load a version before it goes into service.
MAX_WARM_S = 3_600

#: Characters of an entry's field `id` that its answer has.
MAX_GIVEN_ID_CHARS = 256


class OrderAction(StrEnum):
    """What an order asks for."""

    PROMOTE = "promote"
    """Put a version in service."""
    CANARY = "canary"
    """Have a version answer a share of the items."""
    SHADOW = "shadow"
    """Have a version compute a share of the items, too."""
    END_ROLLOUT = "end_rollout"
    """End a canary or a shadow; of `version` where that is set."""
    ROLLBACK = "rollback"
    """End a canary or a shadow; where there is none, put the version before in service."""
    LABEL = "label"
    """Move a label to a version."""
    UNLABEL = "unlabel"
    """Take a label away from a version."""
    REMOVE = "remove"
    """Remove a version that no label stands for and no open job runs on."""
    RENAME = "rename"
    """Give a model another name; of the release before alone."""


class ModelOrder(WireModel):
    """A change of a model that a client asks for; one worker carries it out, once."""

    order_id: JobId = Field(description="Identifies the order: sent again, it is the same one.")
    # No closed list: a worker leaves what a later release asks for to workers of that release.
    action: Code
    """What is asked for: a value of `OrderAction`, or one of a later release."""
    model: ModelName = Field(description="Name of the model.")
    new_name: ModelName | None = None
    """Its name afterwards, of `rename`; else not set."""
    version: Count | None = None
    """The version that it is about; not set for `rollback` and `rename`."""
    label: Label | None = None
    """The label of `label` and `unlabel`; else not set."""
    share: Share | None = None
    """Share of the items, of `canary` and `shadow`; else not set."""
    max_error_rate: float | None = Field(default=None, ge=0.0, le=1.0)
    """Of both, as of a `Rollout`; not set: its default."""
    expected: Count | None = None
    """The version in service that the client has seen: `promote` and `rollback` change nothing
    where another one is there. Not set: it has seen none."""
    by: OperatorText = Field(default="", description="Who ordered it, such as `user@host`.")
    why: OperatorText = Field(default="", description="Why, for the model's history.")
    warm_s: float = Field(default=60.0, ge=0.0, le=MAX_WARM_S)
    """Seconds for which workers may load the version before it is in service."""
    gate: Metrics = Field(default_factory=dict)
    """The figures that it is ordered for, where it was gated."""
    ordered_at_ms: EpochMs = Field(description="When it was ordered, by the client's clock.")


class OrderAnswer(WireModel):
    """What came of an order."""

    order_id: JobId = Field(description="The order.")
    worker: str = Field(max_length=256, description="The worker that carried it out.")
    failure: Failure | None = None
    """Why nothing was changed; not set: it was done."""
    in_service: Count | None = None
    """The version in service afterwards; not set: none."""
    before: Count | None = None
    """The version in service before; not set: none."""
    rollout: Rollout | None = None
    """The canary or shadow that began, or that ended."""
    labels: dict[Label, Count] = Field(default_factory=dict, max_length=1_024)
    """The model's labels afterwards, with the versions that they stand for."""
    notes: tuple[ShortText, ...] = Field(default=(), max_length=8)
    """What was not as it should be, though it was done, in sentences."""


class InboxAnswer(WireModel):
    """What became of one entry of the inbox."""

    entry: EntryId = Field(description="Stream id of the entry, which its XADD returned.")
    outcome: Literal["accepted", "rejected"]
    """`accepted`: `job_id` is the job. `rejected`: `failure` says why there is none."""
    id: str | None = Field(default=None, max_length=MAX_GIVEN_ID_CHARS)
    """The entry's field `id` as it was given, cut to 256 characters; None where it has none, and of
    an entry that was refused unread and whose `id` no job may have."""
    job_id: JobId | None = Field(default=None, description="The job, where it was accepted.")
    created: bool | None = None
    """Where it was accepted: True when this entry made the job, False when an earlier one with the
    same content had made it."""
    failure: Failure | None = Field(default=None, description="Why it was rejected.")
    existing_job_id: JobId | None = None
    """Of a rejected entry: the job that its identifier or idempotency key stands for already."""

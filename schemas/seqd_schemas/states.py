"""State of a job, its counts, and the record that holds both.

`STATES` says what a job may do in each state. All go by it: clients, commands, and the ledger's Lua
scripts, which move a job from one state to the next.
"""

from enum import StrEnum
from typing import NamedTuple, Self

from pydantic import Field, model_validator

from seqd_schemas.base import (
    Count,
    EpochMs,
    JobId,
    ModelName,
    PluginVersions,
    Sha256,
    ShortText,
    TenantName,
    WireModel,
)
from seqd_schemas.failures import Failure
from seqd_schemas.jobs import Job, JobKind, Priority
from seqd_schemas.results import TrainingResult
from seqd_schemas.rollouts import JobRollout


class JobState(StrEnum):
    """State of a job."""

    QUEUED = "queued"
    """In the ledger; no unit has been claimed."""
    RUNNING = "running"
    """At least one unit has been claimed."""
    PAUSED = "paused"
    """Somebody paused it: units in hand are finished, no other is begun until it is resumed."""
    COMPLETED = "completed"
    """Every item has its result or its error."""
    FAILED = "failed"
    """The job as a whole could not go on; what had finished stays readable."""
    CANCELLED = "cancelled"
    """Somebody cancelled it; what had finished stays readable."""
    EXPIRED = "expired"
    """Its time ran out; what had finished stays readable."""

    @property
    def is_terminal(self) -> bool:
        """True when nothing will change any more."""
        return STATES[self].is_terminal

    @property
    def may_claim(self) -> bool:
        """True while workers begin its units."""
        return STATES[self].may_claim

    @property
    def is_held(self) -> bool:
        """True where it has not ended, and workers begin none of its units."""
        return not (self.may_claim or self.is_terminal)

    def may(self, action: "JobAction") -> bool:
        """Return whether somebody can do this to a job in the state."""
        return action in STATES[self].actions


class JobAction(StrEnum):
    """What is done to a job from outside."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    REMOVE = "remove"


class StateRules(NamedTuple):
    """What holds for a job in one state."""

    #: Event that announces it.
    event: str
    #: What can be done to the job.
    actions: frozenset[JobAction]
    #: Workers begin its units, and what is left of them counts as work.
    may_claim: bool = False
    is_terminal: bool = False


_GOING = frozenset({JobAction.CANCEL, JobAction.PAUSE})
_HELD = frozenset({JobAction.CANCEL, JobAction.RESUME})
_OVER = frozenset({JobAction.RETRY, JobAction.REMOVE})

#: A new state is added here; the scripts that move jobs into it and out of it come beside.
STATES = {
    JobState.QUEUED: StateRules("queued", _GOING, may_claim=True),
    JobState.RUNNING: StateRules("started", _GOING, may_claim=True),
    JobState.PAUSED: StateRules("paused", _HELD),
    JobState.COMPLETED: StateRules("completed", _OVER, is_terminal=True),
    JobState.FAILED: StateRules("failed", _OVER, is_terminal=True),
    JobState.CANCELLED: StateRules("cancelled", _OVER, is_terminal=True),
    JobState.EXPIRED: StateRules("expired", _OVER, is_terminal=True),
}

#: Events behind which nothing happens to a job; one that is rejected never was any.
TERMINAL_EVENTS = frozenset(
    {*(one.event for one in STATES.values() if one.is_terminal), "rejected"}
)


class Counts(WireModel):
    """Items by outcome. At every read the outcomes and `processing` add up to `total`."""

    total: Count = Field(default=0, description="Items known so far; final when sealed.")
    succeeded: Count = Field(default=0, description="Items with an output.")
    errored: Count = Field(default=0, description="Items with an error.")
    cancelled: Count = Field(default=0, description="Items that a cancel or failure left undone.")
    expired: Count = Field(default=0, description="Items that an expiry left undone.")
    processing: Count = Field(default=0, description="Items still to be done.")

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        parts = self.succeeded + self.errored + self.cancelled + self.expired + self.processing
        if parts != self.total:
            raise ValueError(f"the outcomes add up to {parts}, the total is {self.total}")
        return self

    @property
    def done(self) -> int:
        """Items that have their result or their error."""
        return self.succeeded + self.errored


class WaitingCode(StrEnum):
    """Why no worker goes on with a job."""

    NO_WORKER = "no_worker"
    """No worker is up."""
    NO_WRITES = "no_writes"
    """Redis takes no writes, so no worker can report, and nobody knows which are up."""
    STARTING = "starting"
    """Workers start that may run it; none that has started can."""
    NOT_SERVED = "not_served"
    """None of those that are up has the model for a job of this kind."""
    NOT_PLACED = "not_placed"
    """Those that have the model leave it to others, by a placement or SEQD_SERVES."""
    UNFIT = "unfit"
    """Those that have the model cannot run it now."""
    MODEL_PAUSED = "model_paused"
    """An operator has paused or disabled the model."""


class Waiting(WireModel):
    """Why a job waits that no worker can run. It goes on by itself when one can."""

    code: WaitingCode = Field(description="Why no worker goes on with it.")
    message: ShortText = Field(description="The same in a sentence, with what each worker says.")


class JobRecord(WireModel):
    """A job as the ledger knows it at one moment."""

    job_id: JobId = Field(description="The job's identifier.")
    kind: JobKind = Field(description="What the job does.")
    model: ModelName = Field(description="Name of the model.")
    plugin: ModelName | None = None
    """The model of a plugin that it is made with; not set: that of its name."""
    version: Count | None = None
    """The version it runs on, to its end; None of a training."""
    rollout: JobRollout | None = None
    """The roll-out that it takes part in: another version has a share of its items."""
    plugin_versions: PluginVersions = ()
    """Versions of the plugin that computed what is done of it, each once, in the order of their
    first results; of a training, that which made the version. Of a fleet with several there are
    several, the first 8. None before the first result."""
    task_schema: Sha256 | None = None
    """Of a plugin's own task, the digest of the schemas of its input and output that the job was
    accepted with, and that its results keep to."""
    state: JobState = Field(description="State of the job.")
    counts: Counts = Field(description="Items by outcome.")
    sealed: bool = Field(description="True when the input is complete.")
    unit_items: int = Field(ge=1, le=65_536, description="Items that one unit holds at most.")
    units: Count = Field(description="Units known so far.")
    units_done: Count = Field(description="Units committed.")
    priority: Priority = Field(description="Which work goes first.")
    tenant: TenantName = Field(description="On whose account the job runs.")
    created_at_ms: EpochMs = Field(description="When the job was accepted.")
    started_at_ms: EpochMs | None = Field(default=None, description="When it was first claimed.")
    ended_at_ms: EpochMs | None = Field(default=None, description="When it reached its end.")
    expires_at_ms: EpochMs | None = None
    """When it must have ended, if it must."""
    kept_until_ms: EpochMs | None = None
    """Until when the ended job and its results are kept; null while a job that continues it is
    open."""
    continued_by: JobId | None = None
    """The job that retries its failed items or resumes its training."""
    waiting: Waiting | None = None
    """Why no worker that is up can go on with it; not set where one can, or where the job has ended
    or is paused."""
    failure: Failure | None = Field(default=None, description="Why it failed, if it did.")
    training: TrainingResult | None = None
    """The version it made, if it is a training that completed."""
    job: Job = Field(description="The request itself.")

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions that compute it: its own, and that of a roll-out; none of a training."""
        own = () if self.version is None else (self.version,)
        return own if self.rollout is None else (*own, self.rollout.version)

"""Events: what happens to a job, one entry each in its event stream; and deltas of its texts.

The stream is a feed, bounded and throttled; the truth is `states.JobRecord`. An event's
place is its Redis stream id, from which a reader can go on after a break. Of a long job `step` and
`progress` go first; a reader that has missed some gets a `missed` event.

Text deltas are what a worker publishes of a generation's texts while it writes them, those of a
sample in order; the truth is the results. A unit that is started again publishes the same texts
from the start: a reader leaves out what it has, by `offset`, and takes from the results what was
trimmed.

And the audit: which act of an operator or a client was done, by whom, when and from where.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter

from seqd_schemas.base import (
    Code,
    Count,
    CustomId,
    EpochMs,
    JobId,
    OperatorText,
    PluginVersions,
    Positive,
    ShortText,
    WireModel,
)
from seqd_schemas.failures import DeathCause, Failure
from seqd_schemas.results import Metrics, TrainingResult
from seqd_schemas.states import Counts

EventId = Annotated[str, StringConstraints(pattern=r"^([0-9]{1,20}-[0-9]{1,20})?$")]

#: Most deltas in one entry of the stream, and most characters of one delta.
MAX_DELTAS = 4_096
MAX_DELTA_CHARS = 16_384
#: A unit's number, or a part of a unit that was split: `3`, `3:8:12`.
UnitName = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(:[0-9]{1,9}:[0-9]{1,9})?$")]


class _EventBase(WireModel):
    """What all events share."""

    id: EventId = ""
    """Stream id, filled in by the reader; go on from it after a break."""
    job_id: JobId = Field(description="The job that it happened to.")
    at_ms: EpochMs = Field(description="When it happened, on the Redis server's clock.")


class _JobEvent(_EventBase):
    """An event of a whole job, with its counts."""

    counts: Counts = Field(description="Items by outcome.")


class _RunEvent(_EventBase):
    """An event of one training."""

    run: CustomId | None = None
    """The combination of a sweep that it is about; None of a training."""


class Queued(_JobEvent):
    """The job was accepted into the ledger."""

    event: Literal["queued"] = Field(default="queued", description="What happened.")


class Started(_EventBase):
    """The first unit was claimed."""

    event: Literal["started"] = Field(default="started", description="What happened.")
    worker: str = Field(max_length=256, description="The worker that claimed it.")


class Progress(_JobEvent):
    """Items were finished; at most four a second for each job."""

    event: Literal["progress"] = Field(default="progress", description="What happened.")
    rate_per_s: Positive = Field(description="Items finished a second since the start.")
    eta_s: float | None = Field(default=None, ge=0.0)
    """Seconds left at this rate; None until it is known."""


class Step(_RunEvent):
    """A training moved on within an epoch; throttled like progress."""

    event: Literal["step"] = Field(default="step", description="What happened.")
    done: Count = Field(description="Steps done, over all epochs.")
    total: Count = Field(description="Steps in all.")
    metrics: Metrics = Field(default_factory=dict, description="Running figures, such as `loss`.")
    eta_s: float | None = Field(default=None, ge=0.0, description="Seconds left at this rate.")


class Epoch(_RunEvent):
    """A training finished an epoch."""

    event: Literal["epoch"] = Field(default="epoch", description="What happened.")
    epoch: int = Field(ge=1, description="Number of the epoch, from 1.")
    epochs: int = Field(ge=1, description="Epochs in all.")
    metrics: Metrics = Field(description="Figures such as `loss` and `validation_accuracy`.")
    seconds: Positive = Field(description="Seconds that the epoch took.")


class Sample(_RunEvent):
    """A training shows a text that the model writes at this point."""

    event: Literal["sample"] = Field(default="sample", description="What happened.")
    epoch: int = Field(ge=1, description="Number of the epoch after which it was drawn.")
    temperature: Positive = Field(description="Temperature that it was drawn at.")
    prompt: ShortText = Field(description="Text that the model was given.")
    text: ShortText = Field(description="Text that the model wrote.")


class Log(_RunEvent):
    """Something that the caller should read."""

    event: Literal["log"] = Field(default="log", description="What happened.")
    level: Literal["info", "warning", "error"] = Field(description="How urgent it is.")
    message: ShortText = Field(description="What happened, in words.")
    cause: DeathCause | None = None
    """Why the worker's process ended, where the message tells of that."""
    worker: str | None = Field(default=None, max_length=256, description="The worker whose did.")


class Completed(_JobEvent):
    """Every item has its result or its error. Terminal."""

    event: Literal["completed"] = Field(default="completed", description="What happened.")
    training: TrainingResult | None = Field(default=None, description="The version it made.")
    plugin_versions: PluginVersions = ()
    """Versions of the plugin that computed it, as in its record."""


class Failed(_JobEvent):
    """The job as a whole could not go on. Terminal."""

    event: Literal["failed"] = Field(default="failed", description="What happened.")
    failure: Failure = Field(description="Why.")


class Cancelled(_JobEvent):
    """Somebody cancelled the job. Terminal."""

    event: Literal["cancelled"] = Field(default="cancelled", description="What happened.")


class Expired(_JobEvent):
    """The job's time ran out. Terminal."""

    event: Literal["expired"] = Field(default="expired", description="What happened.")
    failure: Failure = Field(description="Why.")


class Paused(_JobEvent):
    """Somebody paused the job: no unit is begun until it is resumed."""

    event: Literal["paused"] = Field(default="paused", description="What happened.")
    by: ShortText | None = Field(
        default=None,
        description="Who paused it, and with which filter where that paused others, too.",
    )


class Resumed(_JobEvent):
    """Somebody resumed the paused job."""

    event: Literal["resumed"] = Field(default="resumed", description="What happened.")


class Expiring(_EventBase):
    """A warning: the job, or what is kept of an ended one, has little time left."""

    event: Literal["expiring"] = Field(default="expiring", description="What happened.")
    what: Literal["job", "results"] = Field(description="What runs out.")
    expires_at_ms: EpochMs = Field(description="When it runs out.")


class Rejected(_EventBase):
    """The inbox refused the request; no job was made. Terminal."""

    event: Literal["rejected"] = Field(default="rejected", description="What happened.")
    failure: Failure = Field(description="Why.")
    existing_job_id: JobId | None = None
    """The job that the request's idempotency key stands for already."""


class Missed(_EventBase):
    """Events are not kept any more that came behind the reader's position.

    The reader makes it, in front of the next event that is kept; it stands in no stream. Its `id`
    is the position itself.
    """

    event: Literal["missed"] = Field(default="missed", description="What happened.")
    lasting: bool = False
    """True when epochs, samples or others are among them that are kept longest; else they are steps
    and progress alone."""


Event = Annotated[
    Queued
    | Started
    | Progress
    | Step
    | Epoch
    | Sample
    | Log
    | Completed
    | Failed
    | Cancelled
    | Expired
    | Paused
    | Resumed
    | Expiring
    | Rejected
    | Missed,
    Field(discriminator="event"),
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event, config=ConfigDict(defer_build=True))


class TextDelta(WireModel):
    """The next characters of one sample."""

    custom_id: CustomId = Field(description="The caller's name for the item.")
    sample: Count = Field(description="Index of the sample among those of its item, from 0.")
    offset: Count = Field(description="Characters of the sample before this delta.")
    text: str = Field(min_length=1, max_length=MAX_DELTA_CHARS, description="The characters.")


class TextDeltas(WireModel):
    """Deltas of the texts of one unit; one entry of a job's stream of text deltas."""

    unit: UnitName = Field(description="The unit that is worked on.")
    attempt: int = Field(ge=1, description="Which start of the unit it is.")
    deltas: tuple[TextDelta, ...] = Field(min_length=1, max_length=MAX_DELTAS)
    """The deltas, in order."""


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

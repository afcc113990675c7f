"""What workers publish about themselves: their plugins, their state, and what can be run.

Clients validate against a `CatalogEntry` without having any plugin; `seqd status` and
`seqd plugins list` draw the fleet from the `WorkerStatus` records.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, JsonValue, StringConstraints

from seqd_schemas.base import (
    Code,
    Count,
    EpochMs,
    JobId,
    Label,
    ModelName,
    ModelRef,
    OperatorText,
    ParameterName,
    Parameters,
    Positive,
    Sha256,
    ShortText,
    TaskName,
    TenantName,
    WireModel,
)
from seqd_schemas.failures import DeathCause
from seqd_schemas.jobs import DatasetName, NamedTask
from seqd_schemas.results import Metrics
from seqd_schemas.rollouts import Rollout, ServiceChange

#: Models that one plugin may bring.
MAX_MODELS = 256
#: Versions of one model that the catalog lists; of more, the newest.
MAX_VERSIONS = 1_000
#: Tasks that one model may have beside those with a kind of job of their own.
MAX_RUN_TASKS = 32
#: Changes of the version in service that the catalog lists of a model; of more, the newest.
MAX_PUBLISHED_CHANGES = 20
#: Entries of `WorkerStatus.unfit`.
MAX_UNFIT = 64
#: Deaths of its processes that a worker tells of, the last ones, and longest message of one.
MAX_DEATHS = 8
MAX_DEATH_CHARS = 300
#: Rules of operators that stand at once.
MAX_CORDON_RULES = 256
#: Models that are placed at once, and targets of one of them.
MAX_PLACEMENTS = 256
MAX_PLACEMENT_TARGETS = 32
#: Models that may be paused at once.
MAX_PAUSED_MODELS = 256
#: Models that a worker says it leaves to others, the first by name.
MAX_LEFT_OUT = 1_024

_RuleTarget = Annotated[
    str, StringConstraints(pattern=r"^(worker|slot|host|label):[^\x00-\x20\x7f]{1,260}$")
]
_PlacementTarget = Annotated[
    str, StringConstraints(pattern=r"^(kind|worker|slot|host|label):[^\x00-\x20\x7f]{1,260}$")
]
#: Labels of a worker: a key as `pool` or `example.org/zone`, and its value.
_LabelKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$")]
_LabelValue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,63}$")]

#: Labels that one worker has at most.
MAX_WORKER_LABELS = 32

_Versions = Annotated[tuple[Count, ...], Field(max_length=MAX_VERSIONS)]
_ClockOffsetMs = Annotated[int, Field(ge=-(2**53), le=2**53)]
_JsonSchema = Annotated[dict[str, JsonValue], Field(max_length=64)]


class PluginState(StrEnum):
    """Whether a plugin can be used in one process."""

    READY = "ready"
    """Loaded and validated."""
    BROKEN = "broken"
    """Could not be loaded; `reason` says why. The other plugins serve."""
    DISABLED = "disabled"
    """Left out by the settings."""


class PluginStatus(WireModel):
    """One plugin in one process."""

    name: str = Field(max_length=128, description="Name of its entry point.")
    distribution: str = Field(max_length=128, description="Distribution that it came with.")
    version: str = Field(max_length=64, description="Version of that distribution.")
    state: PluginState = Field(description="Whether it can be used.")
    reason: ShortText = Field(default="", description="Why it is broken or disabled.")
    code: str = Field(default="", max_length=64)
    """Stable code of why it is broken, such as `name_taken`, `plugin_fault` for what breaks the
    plugin contract, `import_failed` for any other exception."""
    models: tuple[ModelName, ...] = Field(default=(), max_length=MAX_MODELS)
    """Models that it brings, sorted."""
    import_seconds: Positive = Field(default=0.0, description="Seconds that its import took.")


class WorkerState(StrEnum):
    """What a worker is doing."""

    STARTING = "starting"
    """Its child imports the plugins and warms its models up."""
    READY = "ready"
    """It waits for work."""
    BUSY = "busy"
    """It works on a unit."""
    DRAINING = "draining"
    """It takes no more work and is about to exit."""


class CordonAction(StrEnum):
    """What a rule of an operator asks of the workers that it means."""

    CORDON = "cordon"
    """Claim nothing new, finish what is in hand, and stay up."""
    DRAIN = "drain"
    """Claim nothing new, finish or release what is in hand, and end."""
    RESTART = "restart"
    """End once a new worker has taken its place; of workers that `seqd up` has started."""


class CordonRule(WireModel):
    """A rule of an operator that keeps workers from claiming; it holds until it is removed."""

    target: _RuleTarget
    """Whom it means: worker:NAME, slot:SLOT@HOST, host:HOST, label:KEY=VALUE, or host:* for all."""
    action: CordonAction = Field(description="What it asks for.")
    reason: OperatorText = Field(default="", description="Why, in the operator's words.")
    by: OperatorText = Field(default="", description="Who made it, such as `user@host`.")
    at_ms: EpochMs = Field(description="When it was made.")


class PlacementRule(WireModel):
    """Where a model is served; it holds until it is removed. Trainings are placed by slots."""

    model: ModelName = Field(description="Name of the model, whatever its version.")
    targets: tuple[_PlacementTarget, ...] = Field(min_length=1, max_length=MAX_PLACEMENT_TARGETS)
    """Workers that serve it, each that one of these means: kind:gpu or kind:cpu, worker:NAME,
    slot:SLOT@HOST, host:HOST or label:KEY=VALUE."""
    reason: OperatorText = Field(default="", description="Why, in the operator's words.")
    by: OperatorText = Field(default="", description="Who made it, such as `user@host`.")
    at_ms: EpochMs = Field(description="When it was made.")


class ModelPause(WireModel):
    """A model whose jobs wait until an operator lets them go on; trainings are not held up."""

    model: ModelName = Field(description="Name of the model, whatever its version.")
    disabled: bool = False
    """True where the model takes no new jobs either."""
    reason: OperatorText = Field(default="", description="Why, in the operator's words.")
    by: OperatorText = Field(default="", description="Who made it, such as `user@host`.")
    at_ms: EpochMs = Field(description="When it was made.")


class Cordon(WireModel):
    """How a worker stands that claims nothing for a rule of an operator."""

    phase: Code
    """`cordoned`: it stays up. `draining`: it is about to exit. `drained`: nothing of it runs but
    what waits for the rule to be removed."""
    target: str = Field(default="", max_length=300, description="The rule's target.")
    reason: OperatorText = Field(default="", description="The rule's reason.")
    by: OperatorText = Field(default="", description="Who made it.")
    since_ms: EpochMs = Field(description="When it was made.")


class UnfitCode(StrEnum):
    """Why a worker cannot run something now, though it has the plugin for it."""

    MISSING = "missing"
    """Its store has no such version, or no longer."""
    UNREADABLE = "unreadable"
    """Files cannot be read: a disk or a share is away, or they are another user's."""
    UNWRITABLE = "unwritable"
    """A training cannot write: the disk is full, or read-only."""
    DAMAGED = "damaged"
    """Files are not what their manifest says."""
    NO_LIBRARY = "no_library"
    """A library that it needs is not installed, or cannot be imported."""
    NO_MEMORY = "no_memory"
    """The machine or the device has too little memory for it."""
    NO_DEVICE = "no_device"
    """The slot's device is not there, or its driver is not."""
    DEVICE_FAULT = "device_fault"
    """The device raises errors of its own; the worker claims nothing until it computes again."""
    LOAD_FAILED = "load_failed"
    """The plugin raised while it loaded the version."""
    BREAKER_OPEN = "breaker_open"
    """The plugin raised for all that it was given; it is tried again after a while."""


class UnfitVersion(WireModel):
    """What a worker cannot run now, and why. It claims no unit of it, and tries it again."""

    model: ModelName = Field(description="Name of the model.")
    version: Count | None = Field(default=None, description="Version; not set: its trainings.")
    code: Code
    """What is wrong: a value of `UnfitCode`, or one of a later release."""
    message: ShortText = Field(default="", description="The same in a sentence.")
    since_ms: EpochMs = Field(description="Since when.")


class WorkTotals(WireModel):
    """What a worker's child has done with items since it started.

    The difference of two reads is a period's work. `claim_s`, `unpack_s`, `vectorise_s`,
    `compute_s` and `commit_s` are parts of its wall-clock time that do not overlap; what is left
    of the time between claim and commit is the daemon's own.
    """

    units: Count = Field(default=0, description="Units committed.")
    items: Count = Field(default=0, description="Items in them.")
    batches: Count = Field(default=0, description="Batches that its models computed.")
    batch_items: Count = Field(default=0, description="Items in these batches.")
    real_tokens: Count = Field(default=0, description="Tokens of these items.")
    computed_tokens: Count = 0
    """Tokens that were computed for them, padding included."""
    claim_s: float = Field(default=0.0, ge=0.0, description="Seconds of claims that found work.")
    unpack_s: float = Field(default=0.0, ge=0.0, description="Seconds of reading their input.")
    vectorise_s: float = Field(default=0.0, ge=0.0)
    """Seconds from text to what a model computes with."""
    compute_s: float = Field(default=0.0, ge=0.0, description="Seconds of the models' arithmetic.")
    commit_s: float = Field(default=0.0, ge=0.0)
    """Seconds of packing and committing results."""


class DeviceStatus(WireModel):
    """The GPU of a worker's slot, or the MIG instance of one."""

    uuid: str = Field(max_length=128, description="`GPU-…` or `MIG-…`, as the driver has it.")
    name: str = Field(default="", max_length=128, description="What it is, such as NVIDIA H100.")
    memory_bytes: Count = Field(default=0, description="Its memory that programs may use.")
    share_bytes: Count | None = None
    """Memory that the slot may take of it; not set: no limit."""


class ChildDeath(WireModel):
    """That a worker's process ended which was not asked to."""

    at_ms: EpochMs = Field(description="When, on the Redis server's clock.")
    cause: DeathCause = Field(description="Why.")
    message: str = Field(max_length=MAX_DEATH_CHARS, description="How, in words; cut.")
    pid: Count = Field(description="The process that ended.")


class ClaimInHand(WireModel):
    """What a worker claimed last, and has not finished."""

    job_id: JobId = Field(description="Job of its first unit.")
    unit: str = Field(max_length=64, description="Its first unit.")
    units: Count = Field(description="Units of it, of one job or of several.")
    since_ms: EpochMs = Field(description="When it was claimed.")
    is_lost: bool = False
    """The worker holds nothing of it any more, such as when its job was cancelled: it takes new
    work once the plugin has stopped."""


class WorkerStatus(WireModel):
    """One worker: one slot of one machine."""

    worker: str = Field(max_length=256, description="`SLOT@HOST-NONCE`, new at each start.")
    slot: str = Field(max_length=64, description="The device share that it is pinned to.")
    tasks: tuple[NamedTask, ...] = Field(max_length=3)
    """Kinds of job that it takes; of plugins' own tasks: `run_tasks`."""
    run_tasks: dict[ModelName, tuple[TaskName, ...]] = Field(
        default_factory=dict, max_length=16 * MAX_MODELS
    )
    """Tasks that plugins have named, of the models in `versions` that have some."""
    host: str = Field(max_length=128, description="Name of its machine.")
    pid: Count = Field(description="Process that does the work; a Celery pool child.")
    pid_start_ticks: Count | None = None
    """When that process started, in clock ticks since its machine did: the number is given to
    others again. Not set on a system without `/proc`."""
    state: WorkerState = Field(description="What it is doing.")
    models_loaded: tuple[ModelRef, ...] = Field(default=(), max_length=1_024)
    """`name@version`, in memory."""
    loaded_bytes: dict[ModelRef, Count] = Field(default_factory=dict, max_length=1_024)
    """Bytes of memory that each of these takes."""
    loading: tuple[ModelRef, ...] = Field(default=(), max_length=1_024)
    """`name@version`, what it has yet to load while it starts, in this order."""
    memory_budget_bytes: Count | None = None
    """Bytes that they may take together: SEQD_MODEL_CACHE_BYTES."""
    model_loads: Count = 0
    """Versions that it has loaded since it started, each time counted."""
    left_out: tuple[ModelName, ...] = Field(default=(), max_length=MAX_LEFT_OUT)
    """Models of its slot whose items it leaves to other workers, by SEQD_SERVES or by a placement;
    sorted."""
    plugins: tuple[PluginStatus, ...] = Field(max_length=1_024)
    """Its plugins, sorted by name."""
    versions: dict[ModelName, _Versions] = Field(default_factory=dict, max_length=16 * MAX_MODELS)
    """Models of its slot, each with the versions of it that it can run, ascending; the newest of
    them."""
    unfit: tuple[UnfitVersion, ...] = Field(default=(), max_length=MAX_UNFIT)
    """What it cannot run now, and why; the first of it."""
    work: WorkTotals = Field(default_factory=WorkTotals)
    """What it has done since it started."""
    deaths: tuple[ChildDeath, ...] = Field(default=(), max_length=MAX_DEATHS)
    """The last deaths of its processes, the latest last."""
    death_counts: dict[DeathCause, Count] = Field(default_factory=dict, max_length=64)
    """How many of its processes have died since it started, by cause."""
    device: DeviceStatus | None = None
    """The GPU that it computes on; not set on a CPU."""
    labels: dict[_LabelKey, _LabelValue] = Field(default_factory=dict, max_length=MAX_WORKER_LABELS)
    """Its labels, by which operators mean it: SEQD_WORKER_LABELS."""
    claim: ClaimInHand | None = None
    """What it has in hand; not set where that is nothing."""
    cordon: Cordon | None = None
    """Why it claims nothing, where a rule of an operator asks for that; its state is then
    `draining`."""
    stopped_pid: Count | None = None
    """Its process, or that one's parent, where a signal has stopped it: the worker claims nothing.
    Its state is then `draining`."""
    supervised: bool = False
    """True for a worker of `seqd up`, which starts the next one."""
    seqd_version: str = Field(max_length=64, description="Version of the daemon.")
    reads: int = Field(default=1, ge=1)
    """Highest `format` of a job that it can read; it leaves later ones."""
    started_at_ms: EpochMs = Field(description="When its process `pid` started.")
    seen_at_ms: EpochMs = Field(description="When it last said so.")
    clock_offset_ms: _ClockOffsetMs | None = None
    """How far its machine's clock is ahead of Redis's, negative where it is behind, by at least so
    much: what the question took is left out."""


class VersionSummary(WireModel):
    """One version of a model, in short."""

    version: Count = Field(description="Version number; 0 came with the plugin.")
    created_at_ms: EpochMs = Field(description="When it was made.")
    preset: Label | None = Field(default=None, description="Preset it was trained with.")
    metrics: Metrics = Field(description="Its final figures.")
    is_built_in: bool = False
    """True where it is the plugin's code, and has no files."""
    size_bytes: Count | None = None
    """Bytes of its files; not set where it has none."""


class OutputBound(WireModel):
    """The most characters that a task writes for one item, by the parameters of the job.

    The product of the factors, times the number of values of each list, is the number of symbols.
    """

    factors: tuple[ParameterName, ...] = Field(min_length=1, max_length=8)
    """Parameters, all whole numbers, that are multiplied: symbols of a text, texts of an item."""
    lists: tuple[ParameterName, ...] = Field(default=(), max_length=8)
    """Parameters with one value or a list, of which each value has its own texts."""
    characters_per_symbol: int = Field(default=1, ge=1, le=4_096)
    """Characters of one symbol at most."""
    max_characters: int = Field(ge=1, le=2**32)
    """Symbols that the task takes for one item, and characters where it cuts."""


class TaskSchema(WireModel):
    """How one task of a model is called."""

    parameters: _JsonSchema = Field(description="JSON Schema of its parameters.")
    unit_items: int = Field(ge=1, le=65_536, description="Items that one unit holds at best.")
    output: OutputBound | None = None
    """What one item can make it write; None where nobody has said."""
    summary: ShortText = Field(default="", description="What it does, of a plugin's own task.")
    input: _JsonSchema | None = None
    """JSON Schema of a record of its input; not set: the input is a text."""
    result: _JsonSchema | None = None
    """JSON Schema of its output, of a plugin's own task."""
    allows_empty: bool = Field(default=False, description="True where a text may be empty.")
    digest: Sha256 | None = None
    """SHA-256 of `input` and `result` without what is for people; jobs state it."""


class CatalogEntry(WireModel):
    """One model that the fleet can run: enough to validate a request without the plugin."""

    model: ModelName = Field(description="Name of the model.")
    summary: ShortText = Field(description="What it is, in a sentence.")
    made_with: ModelName
    """The model of a plugin that it is made with, which a training names as `plugin`: its own name,
    or for `topics` such as `imdb_lstm`."""
    owner: TenantName | None = None
    """The tenant whose model it is, for the gateway; not set: nobody's."""
    plugin: str = Field(max_length=128, description="Plugin that brings what it is made with.")
    plugin_version: str = Field(max_length=64, description="Version of that plugin.")
    tasks: dict[NamedTask, TaskSchema] = Field(max_length=3)
    """What it can do, and how; of plugins' own tasks: `run_tasks`."""
    run_tasks: dict[TaskName, TaskSchema] = Field(default_factory=dict, max_length=MAX_RUN_TASKS)
    """Tasks that its plugin has named, and how they are called."""
    presets: dict[Label, Parameters] = Field(max_length=64, description="Training presets by name.")
    datasets: tuple[DatasetName, ...] = Field(default=(), max_length=64)
    """Named data sets that it knows."""
    versions: tuple[VersionSummary, ...] = Field(max_length=MAX_VERSIONS)
    """Versions in the store, ascending; the newest of them."""
    labels: dict[Label, Count] = Field(max_length=1_024)
    """Labels and the versions they point to."""
    rollout: Rollout | None = None
    """A version that is tried beside the one in service; not set: none."""
    labels_fault: ShortText | None = None
    """What is wrong with the stored labels: they mean nothing then, nor does the bare name, and
    only versions can be asked for. None where nothing is."""
    history: tuple[ServiceChange, ...] = Field(default=(), max_length=MAX_PUBLISHED_CHANGES)
    """Changes of the version in service, oldest first; the last of them."""
    max_output_characters: Count | None = None
    """Characters that one item may make a task write, where the task states it: the operator's
    SEQD_MAX_OUTPUT_CHARACTERS."""
    published_at_ms: EpochMs = Field(description="When a worker last published it.")

    @property
    def all_tasks(self) -> dict[str, TaskSchema]:
        """All that it can do, by name: tasks with a kind of job of their own first."""
        return dict([*self.tasks.items(), *self.run_tasks.items()])

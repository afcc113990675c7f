"""What workers publish about themselves: their plugins, their state, and what can be run.

Clients validate against a `CatalogEntry` without having any plugin; `seqd status` and
`seqd plugins list` draw the fleet from the `WorkerStatus` records.
"""

from enum import StrEnum

from pydantic import Field, JsonValue

from seqd_schemas.base import (
    Count,
    EpochMs,
    Label,
    ModelName,
    ModelRef,
    Parameters,
    ShortText,
    WireModel,
    WirePart,
)
from seqd_schemas.jobs import DatasetName, Task
from seqd_schemas.results import Metrics

#: Models that one plugin may bring.
MAX_MODELS = 256

#: Versions of one model that the catalog lists; of more, the newest.
MAX_VERSIONS = 1_000


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
    models: tuple[ModelName, ...] = Field(
        default=(), max_length=MAX_MODELS, description="Models that it brings, sorted."
    )
    import_seconds: float = Field(
        default=0.0, ge=0.0, allow_inf_nan=False, description="Seconds that its import took."
    )


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


class WorkerStatus(WireModel):
    """One worker: one slot of one machine."""

    worker: str = Field(max_length=256, description="`SLOT@HOST-NONCE`, new at each start.")
    slot: str = Field(max_length=64, description="The device share that it is pinned to.")
    tasks: tuple[Task, ...] = Field(max_length=3, description="Kinds of job that it takes.")
    host: str = Field(max_length=128, description="Name of its machine.")
    pid: Count = Field(description="Process that does the work; a Celery pool child.")
    state: WorkerState = Field(description="What it is doing.")
    models_loaded: tuple[ModelRef, ...] = Field(
        default=(), max_length=1_024, description="`name@version`, in memory."
    )
    plugins: tuple[PluginStatus, ...] = Field(
        max_length=1_024, description="Its plugins, sorted by name."
    )
    seqd_version: str = Field(max_length=64, description="Version of the daemon.")
    started_at_ms: EpochMs = Field(description="When it started.")
    seen_at_ms: EpochMs = Field(description="When it last said so.")


class VersionSummary(WirePart):
    """One version of a model, in short."""

    version: Count = Field(description="Version number; 0 is the starter.")
    created_at_ms: EpochMs = Field(description="When it was made.")
    preset: Label | None = Field(default=None, description="Preset it was trained with.")
    metrics: Metrics = Field(description="Its final figures.")


class TaskSchema(WirePart):
    """How one task of a model is called."""

    parameters: dict[str, JsonValue] = Field(
        max_length=64, description="JSON Schema of its parameters."
    )
    unit_items: int = Field(ge=1, le=65_536, description="Items that one unit holds at best.")


class CatalogEntry(WireModel):
    """One model that the fleet can run: enough to validate a request without the plugin."""

    model: ModelName = Field(description="Name of the model.")
    summary: ShortText = Field(description="What it is, in a sentence.")
    plugin: str = Field(max_length=128, description="Plugin that brings it.")
    plugin_version: str = Field(max_length=64, description="Version of that plugin.")
    tasks: dict[Task, TaskSchema] = Field(max_length=3, description="What it can do, and how.")
    presets: dict[Label, Parameters] = Field(max_length=64, description="Training presets by name.")
    datasets: tuple[DatasetName, ...] = Field(
        default=(), max_length=64, description="Named data sets that it knows."
    )
    versions: tuple[VersionSummary, ...] = Field(
        max_length=MAX_VERSIONS, description="Versions in the store, ascending; the newest of them."
    )
    labels: dict[Label, Count] = Field(
        max_length=1_024, description="Labels and the versions they point to."
    )
    published_at_ms: EpochMs = Field(description="When a worker last published it.")

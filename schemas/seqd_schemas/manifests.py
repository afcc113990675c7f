"""Manifest of a model version: what it is, what made it, and the digest of each of its files.

Written once by the model store (`seqd.models`) and never changed; read by whoever loads the
version. Labels such as `production` are not in it, since they move.
"""

from typing import Annotated

from pydantic import Field, StringConstraints

from seqd_schemas.base import (
    Count,
    EpochMs,
    JobId,
    Label,
    LeastFormat,
    ModelName,
    ModelRef,
    Parameters,
    Positive,
    Sha256,
    ShortText,
    TenantName,
    WireModel,
)
from seqd_schemas.results import ClassName, Metrics

LibraryText = Annotated[str, StringConstraints(max_length=128)]

#: Epochs that a manifest keeps of a training; of more, every second, fourth … and the last.
MAX_KEPT_EPOCHS = 256
#: Files that a version has at most.
MAX_VERSION_FILES = 64
#: Classes that are listed with their records or figures, the most frequent.
MAX_LISTED_CLASSES = 100


def run_id_of(job_id: str, unit: int | None) -> str:
    """Name a training: by its job, and by its number where the job is a sweep of several."""
    return job_id if unit is None else f"{job_id}.{unit}"


def job_of_run(run_id: str) -> tuple[str, int | None]:
    """Return the job of a training, and its number where the job is a sweep."""
    job_id, _, unit = run_id.partition(".")
    return job_id, int(unit) if unit else None


class FileDigest(WireModel):
    """One file of a version."""

    sha256: Sha256 = Field(description="SHA-256 of its bytes, in hex.")
    size_bytes: Count = Field(description="Its size in bytes.")


class DataFingerprint(WireModel):
    """Which data a version was trained on."""

    description: str = Field(max_length=512, description="Where it came from, without a full path.")
    records: Count = Field(description="Records (or, for running text, characters) in it.")
    sha256: Sha256
    """SHA-256 over its texts and labels, in order. The same for the same records in a file of any
    format and in an upload."""
    text_sha256: Sha256 | None = None
    """SHA-256 of its texts alone, joined by newlines: of a text file that of its content. Not set
    of data that only the plugin reads."""
    classes: dict[ClassName, Count] = Field(default_factory=dict, max_length=MAX_LISTED_CLASSES)
    """Records of each class, the most frequent first; empty without labels."""
    other_labelled: Count = 0
    """Labelled records of classes that are not listed."""


class EpochMetrics(WireModel):
    """One epoch of the training that made a version."""

    epoch: int = Field(ge=1, description="Number of the epoch, from 1.")
    seconds: Positive = Field(description="Seconds that the epoch took.")
    metrics: Metrics = Field(description="Figures such as `loss` and `validation_accuracy`.")


class ModelFile(WireModel):
    """What a model is, whatever its versions: `model.json`."""

    plugin: ModelName
    """The model of a plugin, such as `imdb_lstm`, that it is made with, for ever."""
    owner: TenantName | None = None
    """The tenant whose training made its first version; not set: it belongs to nobody."""
    former_names: tuple[ModelName, ...] = Field(default=(), max_length=64)
    """Names that it had before the release before this one has renamed it."""


class VersionOrigin(WireModel):
    """What a version came from, beside its data."""

    worker: ShortText = Field(default="", description="The worker that trained it.")
    slot: ShortText = Field(default="", description="That worker's slot, such as `cpu:0`.")
    tenant: TenantName | None = None
    """On whose account it was trained; not set of `default`, which is nobody's."""
    attempts: int = Field(default=1, ge=1, le=2**31)
    """Attempts at the training; each after the first went on from a checkpoint, if there was
    one."""
    continues: JobId | None = None
    """The job from whose checkpoint the training went on."""
    in_service: Count | None = None
    """The model's version in service when this one was published."""
    imported_from: ModelRef | None = None
    """What it was called where it was exported, such as `topics@2`."""
    is_built_in: bool = False
    """True for version 0 of a model without files: it is the plugin's code, and its only file is
    the module."""
    added_from: ShortText | None = None
    """Name of the folder that its files were added from, where it was made outside of seqd."""
    notes: ShortText = Field(default="", description="What whoever added it said of it.")


class ModelManifest(WireModel):
    """What a model version is, what made it, and its files: `manifest.json`."""

    format: LeastFormat = 1
    model: ModelName = Field(description="Name of the model.")
    plugin: ModelName | None = None
    """The model of a plugin that it is made with; not set: that of its name."""
    version: Count
    """Version number; 0 came with the plugin: its starter, or its code where it is built in."""
    plugin_version: str = Field(max_length=64, description="Version of the plugin that made it.")
    preset: Label | None = Field(default=None, description="Preset it was trained with.")
    parameters: Parameters = Field(description="All training parameters, defaults included.")
    metrics: Metrics = Field(description="Final figures, such as `validation_accuracy`.")
    epochs: tuple[EpochMetrics, ...] = Field(default=(), max_length=MAX_KEPT_EPOCHS)
    """The training's epochs, ascending: its learning curve. Of more than 256, every second, fourth
    … and the last; none where it has no epochs."""
    seed: Count | None = Field(default=None, description="Random seed, where there is one.")
    data: DataFingerprint = Field(description="The training data.")
    held_out: DataFingerprint | None = None
    """What it was validated on, where the caller named such data."""
    origin: VersionOrigin | None = None
    """What it came from; not set of a starter."""
    libraries: dict[LibraryText, LibraryText] = Field(max_length=32)
    """Library versions by name."""
    job_id: JobId | None = Field(default=None, description="The job that made it.")
    unit: Count | None = None
    """Which training of that job, if it is a sweep, from 0."""
    created_at_ms: EpochMs = Field(description="When it was made.")
    files: dict[str, FileDigest] = Field(min_length=1, max_length=MAX_VERSION_FILES)
    """Each file of the version, by its name."""

    @property
    def is_built_in(self) -> bool:
        """True where the version is the plugin's code, and has no files of its own."""
        return self.origin is not None and self.origin.is_built_in

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files; 0 of a version that is built in."""
        if self.is_built_in:
            return 0
        return sum(file.size_bytes for file in self.files.values())

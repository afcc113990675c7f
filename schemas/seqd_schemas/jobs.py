"""Requests: a classification, a generation, any other task of a plugin, a training, or a sweep.

`Job` is the union on `kind` that travels as JSON, from `seqd.client` or from any other
language through the inbox stream. What has become of a job is `states.JobRecord`.
"""

import json
from enum import StrEnum
from math import prod
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, StringConstraints, field_validator, model_validator
from pydantic_core import to_json

from seqd_schemas.base import (
    DEFAULT_TENANT,
    MAX_INLINE_ITEMS,
    MAX_TEXT_CHARS,
    Code,
    Count,
    CustomId,
    JobId,
    Label,
    LeastFormat,
    ModelName,
    ModelRef,
    ParameterName,
    Parameters,
    ParameterValue,
    TaskName,
    TenantName,
    WireModel,
)
from seqd_schemas.items import Item
from seqd_schemas.results import ClassName, MetricName, Probability

FieldName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
DatasetName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}:[a-z0-9_]{1,40}$")]
#: Trainings that one sweep may be made of.
MAX_COMBINATIONS = 256
#: Parameters that one sweep may vary.
MAX_SWEPT = 8
#: Labels that one job may give another name.
_MAX_MAPPED_LABELS = 256
#: Fields that one record of an input may have.
MAX_RECORD_FIELDS = 64

_NewLabel = Annotated[str, StringConstraints(min_length=1, max_length=256)]

FilePath = Annotated[str, StringConstraints(min_length=1, max_length=4_096)]


class Priority(StrEnum):
    """Which share of the workers waiting work has. Names, as raw numbers invite queue jumping."""

    INTERACTIVE = "interactive"
    """Someone is waiting: next, until it has had sixteen times the work of bulk."""
    NORMAL = "normal"
    """The default: four times the work of bulk."""
    BULK = "bulk"
    """Nobody is waiting: what is left, and one of 21 full units at least."""


class FileFormat(StrEnum):
    """How a file or folder holds its records."""

    AUTO = "auto"
    """From the name: `.jsonl`, `.csv`, `.txt` (each also as `.gz` or `.zst`), or a folder."""
    JSONL = "jsonl"
    """One JSON object, or one JSON string, a line."""
    CSV = "csv"
    """RFC 4180 with a header line."""
    LINES = "lines"
    """One item a line; for training one text in all."""
    FOLDER = "folder"
    """`LABEL/*.txt`, as `aclImdb/train` holds them; `unsup` is left out."""


class FileSource(WireModel):
    """A file or folder that the worker reads itself, under one of its allowed roots."""

    type: Literal["file"] = Field(default="file", description="Where the input is.")
    path: FilePath = Field(description="Absolute path as the worker sees it.")
    format: FileFormat = Field(default=FileFormat.AUTO, description="How the records are held.")
    id_field: FieldName = "custom_id"
    """Field with the item's identifier; `id` is taken too."""
    text_field: FieldName = "text"
    """Field with the text; of JSON Lines also one inside objects, `body.input`, where the record
    has no field of that very name."""
    label_field: FieldName = Field(default="label", description="Field with the class.")


class InlineSource(WireModel):
    """Items inside the job itself: for small jobs."""

    type: Literal["inline"] = Field(default="inline", description="Where the input is.")
    items: tuple[Item, ...] = Field(min_length=1, max_length=MAX_INLINE_ITEMS)
    """The items, in order."""


class RecordItem(WireModel):
    """One record to work on, for a task whose input is a record of declared fields."""

    custom_id: CustomId = Field(description="The caller's name for the item, unique in the job.")
    input: dict[FieldName, JsonValue] = Field(min_length=1, max_length=MAX_RECORD_FIELDS)
    """The record, by field."""

    @field_validator("input")
    @classmethod
    def _check_size(cls, record: dict[str, JsonValue]) -> dict[str, JsonValue]:
        size_bytes = len(to_json(record))
        if size_bytes > MAX_TEXT_CHARS:
            raise ValueError(f"it has {size_bytes:,} bytes as JSON; allowed: {MAX_TEXT_CHARS:,}")
        return record

    def as_item(self) -> Item:
        """Return the item by which the record travels: its text is the record as JSON."""
        text = to_json(self.input).decode()
        return Item.model_construct(custom_id=self.custom_id, text=text)


class RecordsSource(WireModel):
    """Records inside the job itself: for small jobs of tasks whose input is a record."""

    type: Literal["records"] = Field(default="records", description="Where the input is.")
    items: tuple[RecordItem, ...] = Field(min_length=1, max_length=MAX_INLINE_ITEMS)
    """The records, in order."""


class UploadSource(WireModel):
    """Items or texts that a client uploads into the ledger in chunks, before or while it runs."""

    type: Literal["upload"] = Field(default="upload", description="Where the input is.")
    expected_items: Count | None = None
    """Number of items where it is known; for the ETA only."""


class NamedSource(WireModel):
    """A data set that the plugin itself knows by name, such as `keras:imdb`."""

    type: Literal["named"] = Field(default="named", description="Where the input is.")
    name: DatasetName = Field(description="Name from the plugin's list, such as `keras:imdb`.")


ItemSource = Annotated[InlineSource | FileSource | UploadSource, Field(discriminator="type")]
RunSource = Annotated[
    InlineSource | RecordsSource | FileSource | UploadSource, Field(discriminator="type")
]
DataSource = Annotated[FileSource | UploadSource | NamedSource, Field(discriminator="type")]
SweptValues = Annotated[list[ParameterValue], Field(min_length=1, max_length=MAX_COMBINATIONS)]
HeldOutSource = Annotated[FileSource | NamedSource, Field(discriminator="type")]


class _JobBase(WireModel):
    """What jobs of every kind share."""

    format: LeastFormat = 1
    model: ModelRef
    """`name`, `name@3` or `name@label`; a bare name means the version in service, which is what the
    label `production` stands for."""
    parameters: Parameters = Field(default_factory=dict)
    """The plugin's own parameters, by name."""
    priority: Priority = Field(default=Priority.NORMAL, description="Which work goes first.")
    tenant: TenantName = Field(default=DEFAULT_TENANT, description="On whose account the job runs.")
    idempotency_key: CustomId | None = None
    """Sending the same request and input with the same key again gives the same job, not a second
    one; anything else under that key is refused."""
    metadata: dict[FieldName, Annotated[str, StringConstraints(max_length=512)]] = Field(
        default_factory=dict, max_length=16
    )
    """The caller's own notes, kept as they are."""
    expires_in_s: int | None = Field(default=None, ge=1, le=366 * 24 * 3600)
    """Seconds from its acceptance in which the job must end; then it expires, and what is undone
    gets the error `expired`. None: it never does."""
    max_running_units: int | None = Field(default=None, ge=1, le=1_000_000)
    """Units of this job that may be worked on at once; None: the operator's limit."""
    continues: JobId | None = None
    """The ended job that this one goes on from: it retries its failed items, or resumes its
    training from the last checkpoint."""
    results_ttl_s: int = Field(default=7 * 24 * 3600, ge=60, le=366 * 24 * 3600)
    """Seconds for which the ended job and its results are kept."""


#: Least format of a job with an output folder: an older worker would claim it, and ignore that.
OUTPUT_FORMAT = 3


class _ItemsJob(_JobBase):
    """What jobs of items share that files may hold and take."""

    output_folder: FilePath | None = None
    """Folder that the workers write the results into, as an absolute path as they see it. They then
    read `source`, a file, themselves, so that Redis holds a few bytes a unit. Needs `format` 3."""

    @model_validator(mode="after")
    def _check_output(self) -> Self:
        if self.output_folder is None:
            return self
        if not isinstance(getattr(self, "source", None), FileSource):
            raise ValueError("it has an output_folder, and no source of the type file")
        if self.format < OUTPUT_FORMAT:
            raise ValueError(f"it has an output_folder, which asks for the format {OUTPUT_FORMAT}")
        return self


class ClassifyJob(_ItemsJob):
    """Give each text its label and score."""

    kind: Literal["classify"] = Field(default="classify", description="What the job does.")
    source: ItemSource = Field(description="The texts.")
    min_score: Probability | None = None
    """Score below which a result is marked `uncertain`; it keeps its label and score."""
    engine: Code | None = None
    """What computes it in place of the workers, such as `ray`. Only who runs it hands it in."""
    label_map: dict[ClassName, _NewLabel] = Field(
        default_factory=dict, max_length=_MAX_MAPPED_LABELS
    )
    """What results call labels of the model, by the model's names; those that are not named keep
    theirs. Labels with one new name are one: their probabilities are added."""


class GenerateJob(_ItemsJob):
    """Continue each prompt."""

    kind: Literal["generate"] = Field(default="generate", description="What the job does.")
    source: ItemSource = Field(description="The prompts.")
    stream: bool = False
    """Publish text deltas while the texts are written."""


class RunJob(_ItemsJob):
    """Do a task that the model's plugin has named, such as `embed`, with each item."""

    kind: Literal["run"] = Field(default="run", description="What the job does.")
    task: TaskName = Field(description="The task, of those that the model's catalog entry lists.")
    source: RunSource = Field(description="The texts or records.")
    stream: bool = False
    """Publish text deltas, of a task whose output has a text."""


#: Of the field `plugin`.
_PLUGIN = (
    "The model of a plugin, such as `imdb_lstm`, to make it with; not set: what the model is made "
    "with, or that of its name."
)


class TrainJob(_JobBase):
    """Train a model from data into a new version in the model store."""

    kind: Literal["train"] = Field(default="train", description="What the job does.")
    model: ModelName
    """Name of the model, a new one or one that there is; the job makes a version."""
    plugin: ModelName | None = Field(default=None, description=_PLUGIN)
    preset: Label | None = None
    """Named set of parameters, which `parameters` then override."""
    source: DataSource = Field(description="What to learn from.")
    held_out: DataSource | None = None
    """Data to validate on; without it the plugin holds some out."""
    labels: tuple[Label, ...] = Field(default=(), max_length=8)
    """Labels to move to the new version."""


class SweepJob(_JobBase):
    """Train a model once for each combination of values, all on the same data.

    Each combination is an item, whose `custom_id` names it, such as `embedding_dim=8`, and whose
    output is the version that it made.
    """

    kind: Literal["sweep"] = Field(default="sweep", description="What the job does.")
    model: ModelName
    """Name of the model, a new one or one that there is; each combination makes a version."""
    plugin: ModelName | None = Field(default=None, description=_PLUGIN)
    preset: Label | None = None
    """Named set of parameters, which `parameters` and `grid` then override."""
    grid: dict[ParameterName, SweptValues] = Field(min_length=1, max_length=MAX_SWEPT)
    """Values to try, by parameter; each value of one goes with each of the others, the last
    parameter changing fastest. 256 combinations at most."""
    source: HeldOutSource = Field(description="What to learn from.")
    held_out: HeldOutSource | None = None
    """Data to validate on; without it the plugin holds some out."""
    metric: MetricName | None = None
    """Figure that says which version is best; None: `validation_accuracy`, or what the model has in
    its place."""
    labels: tuple[Label, ...] = Field(default=(), max_length=8)
    """Labels to move to the best version at the end."""
    only: tuple[CustomId, ...] | None = Field(default=None, max_length=MAX_COMBINATIONS)
    """Combinations to train, by `custom_id`: of a retry, the failed ones. None: all"""

    @field_validator("grid")
    @classmethod
    def _check_grid(cls, grid: dict[str, list[ParameterValue]]) -> dict[str, list[ParameterValue]]:
        for name, values in grid.items():
            if len({json.dumps(value) for value in values}) < len(values):
                raise ValueError(f"a value of {name!r} is given twice")
        combinations = prod(len(values) for values in grid.values())
        if combinations > MAX_COMBINATIONS:
            raise ValueError(f"it has {combinations:,} combinations; allowed: {MAX_COMBINATIONS}")
        return grid


Job = Annotated[
    ClassifyJob | GenerateJob | RunJob | TrainJob | SweepJob, Field(discriminator="kind")
]
#: What a job can be.
JobKind = Literal["classify", "generate", "run", "train", "sweep"]
#: Tasks with a kind of job of their own; a slot takes some of them.
NamedTask = Literal["classify", "generate", "train"]
#: What a model can do: one of these, or a task that its plugin has named.
Task = TaskName
#: Names that no plugin can give a task of its own: they mean something else in a route.
RESERVED_TASKS = frozenset({"ingest", "run", "sweep"})


def output_folder_of(job: Job) -> str | None:
    """Return the folder of a job by reference, into which workers write; None of any other."""
    return job.output_folder if isinstance(job, _ItemsJob) else None


def engine_of(job: Job) -> str | None:
    """Return what computes a job in place of the workers; None of nearly all."""
    return job.engine if isinstance(job, ClassifyJob) else None


def has_upload(job: Job) -> bool:
    """Return True for a job whose input, or whose held-out data, a client uploads."""
    sources = (job.source, job.held_out if isinstance(job, TrainJob) else None)
    return any(isinstance(source, UploadSource) for source in sources)


#: Fields of the jobs of every kind.
_OF_EVERY_KIND = {*_JobBase.model_fields, "kind", "source"}


def own_options(job: Job) -> dict[str, object]:
    """Return what a job asks for by fields that only jobs of some kinds have, without defaults."""
    return job.model_dump(exclude=_OF_EVERY_KIND, exclude_defaults=True)


def task_of(job: Job) -> str:
    """Return what a job's units do: those of a sweep are trainings."""
    if isinstance(job, RunJob):
        return job.task
    return "train" if job.kind == "sweep" else job.kind

"""A model version's card: what is known of it, what was measured of it, and when it was in service.

`ModelCard` is what `seqd models show --json` prints. `VersionMeasurements` is what is kept beside a
version, in `evaluations/VERSION.json` of its model's folder: it may change, the version does not.
"""

from typing import Annotated, Literal

from pydantic import Field

from seqd_schemas.base import (
    Count,
    CustomId,
    EpochMs,
    Label,
    ModelName,
    Parameters,
    Positive,
    Sha256,
    ShortText,
    TaskName,
    WireModel,
)
from seqd_schemas.manifests import MAX_LISTED_CLASSES, DataFingerprint, ModelManifest
from seqd_schemas.results import ClassName, MetricName, Probability
from seqd_schemas.rollouts import ServiceChange

#: Evaluations that are kept of a version, the newest of each data; and measured speeds.
MAX_EVALUATIONS = 8
MAX_SPEEDS = 8
#: Pairs of classes that are listed with the items of one that were taken for the other.
MAX_CONFUSIONS = 256
#: Examples of each sort that are kept, and the characters of a text that are.
MAX_EXAMPLES = 5
MAX_EXAMPLE_CHARS = 200

_Figure = Annotated[float, Field(allow_inf_nan=False)]


class EvaluatedMetric(WireModel):
    """One figure, with the interval that holds the true one with a probability of 95%."""

    value: _Figure = Field(description="The figure.")
    low: _Figure | None = Field(default=None, description="Lower end of its 95% interval.")
    high: _Figure | None = Field(default=None, description="Upper end of its 95% interval.")
    method: Literal["wilson", "bootstrap", "normal", "fisher"] | None = None
    """How the interval was computed: Wilson's score interval, 2,000 resamples with a fixed seed
    (fewer where thousands of pairs of classes are confused), the normal distribution, or Fisher's
    transformation of a correlation; not set where there is none."""


class EvaluatedClass(WireModel):
    """One class of an evaluation. A figure whose denominator is zero is not set."""

    label: ClassName = Field(description="Name of the class.")
    items: Count = Field(description="Items that are truly of it.")
    predicted: Count = Field(description="Items that the model predicted to be of it.")
    precision: Probability | None = None
    """Share of those predicted that are truly of it."""
    recall: Probability | None = None
    """Share of those truly of it that were predicted."""
    f1: Probability | None = None
    """Harmonic mean of precision and recall."""
    is_known: bool = True
    """False: the model has no such class, so it is never right."""


class Confusion(WireModel):
    """One cell of a confusion matrix that is not zero."""

    truth: ClassName = Field(description="The true class.")
    predicted: ClassName = Field(description="The class that the model gave.")
    items: Count = Field(description="Items of the one for which it gave the other.")


class ReliabilityBin(WireModel):
    """Predictions of similar score. Well calibrated, their accuracy is their mean score."""

    lower: Probability = Field(description="Lowest score, which belongs to the bin before.")
    upper: Probability = Field(description="Highest score.")
    items: Count = Field(description="Predictions with a score in between.")
    mean_score: Probability = Field(description="Mean of their scores.")
    accuracy: Probability = Field(description="Share of them that are right.")


class EvaluatedExample(WireModel):
    """One item of the data, with what the model answered."""

    custom_id: CustomId = Field(description="The item's name.")
    text: str = Field(max_length=MAX_EXAMPLE_CHARS)
    """The first 200 characters of its text."""
    truth: ClassName = Field(description="Its true class.")
    predicted: ClassName = Field(description="The class that the model gave.")
    score: Probability = Field(description="The score that it gave.")


class WrittenSample(WireModel):
    """A text that a version wrote."""

    prompt: str = Field(max_length=MAX_EXAMPLE_CHARS, description="What it continued.")
    text: str = Field(max_length=MAX_EXAMPLE_CHARS, description="What it wrote, its beginning.")


class VersionEvaluation(WireModel):
    """How good a version is on one set of data."""

    data: DataFingerprint = Field(description="The data.")
    is_training_data: bool = False
    """True where the version was trained on the same texts."""
    at_ms: EpochMs = Field(description="When it was evaluated.")
    by: ShortText = Field(default="", description="Who did it, as `user@host`.")
    task: TaskName
    """What the version does: `classify`, `generate` or a task of its plugin's own."""
    output: Label | None = None
    """Of a plugin's own task, the `type` of its outputs, which says what the figures are: `labels`,
    `score`, `spans`, `text` or `embedding`."""
    parameters: Parameters = Field(default_factory=dict)
    """Parameters that were asked for, defaults left out."""
    min_score: Probability | None = None
    """Score that an answer must have to be in `kept_share` and `kept_accuracy`."""
    items: Count = Field(description="Items with a true label and an answer; characters of a text.")
    unlabelled: Count = Field(default=0, description="Items left out, without a true label.")
    errored: Count = Field(default=0, description="Items left out, as the model gave an error.")
    unknown_labels: Count = 0
    """Items whose true label is none of the model's; they count as wrong."""
    beyond_limit: Count = 0
    """Items left out, as the figures are of the first items alone."""
    metrics: dict[MetricName, EvaluatedMetric] = Field(max_length=64)
    """Figures by name: `accuracy`, `f1_macro`, `log_loss`, `brier_score`, `calibration_error`, and
    with a `min_score` `kept_share` and `kept_accuracy`; of a text `bits_per_char` and what else the
    plugin measures; of outputs that are labels or spans `f1_micro` and others, of a score
    `mean_absolute_error` and others, of a text beside a reference `chrf`, of an embedding
    `neighbour_accuracy`."""
    classes: tuple[EvaluatedClass, ...] = Field(default=(), max_length=MAX_LISTED_CLASSES)
    """The classes in the model's order; of more than 100 those with most items."""
    confusion: tuple[Confusion, ...] = Field(default=(), max_length=MAX_CONFUSIONS)
    """The confusion matrix without its zeros, the most items first."""
    confusion_left_out: Count = 0
    """Items of the cells that `confusion` has no room for."""
    calibration: tuple[ReliabilityBin, ...] = Field(default=(), max_length=32)
    """The bins of scores that have predictions."""
    right: tuple[EvaluatedExample, ...] = Field(default=(), max_length=MAX_EXAMPLES)
    """Right answers with the highest scores."""
    wrong: tuple[EvaluatedExample, ...] = Field(default=(), max_length=MAX_EXAMPLES)
    """Wrong answers with the highest scores."""
    sample: WrittenSample | None = None
    """A text that the version wrote, where it writes texts."""


class MeasuredSpeed(WireModel):
    """How fast a version is on one machine, alone, when it has been loaded and warmed up."""

    at_ms: EpochMs = Field(description="When it was measured.")
    machine: ShortText = Field(description="Name of the machine.")
    processor: ShortText = Field(default="", description="Its processor, as the system calls it.")
    slot: ShortText = Field(description="The device share that it ran on, such as `cpu:0`.")
    threads: int = Field(ge=1, le=65_536, description="Threads that a numeric library might use.")
    task: TaskName = Field(description="What it did.")
    items: Count = Field(description="Items that it did: texts that it classified, or wrote.")
    seconds: Positive = Field(description="Seconds that it took.")
    items_per_s: Positive = Field(description="Texts a second.")
    characters_per_s: Positive
    """Characters a second: of the texts classified, or of those written."""


class VersionMeasurements(WireModel):
    """What was measured of a version: `evaluations/VERSION.json` in its model's folder."""

    version_sha256: Sha256
    """The version's digest, as its card has it: of another version of that number this says
    nothing."""
    evaluations: tuple[VersionEvaluation, ...] = Field(default=(), max_length=MAX_EVALUATIONS)
    """The newest evaluation on each data with the same parameters, the newest last."""
    speeds: tuple[MeasuredSpeed, ...] = Field(default=(), max_length=MAX_SPEEDS)
    """The newest speed of each machine, slot and task, the newest last."""


class ModelCard(WireModel):
    """All that is known of a version where its store is."""

    model: ModelName = Field(description="Name of the model.")
    version: Count = Field(description="Version number.")
    is_in_service: bool = Field(description="True where the bare name means this version.")
    labels: tuple[Label, ...] = Field(max_length=1_002)
    """Labels that stand for it, sorted."""
    version_sha256: Sha256
    """SHA-256 over its files' names and digests, a line each, sorted by name."""
    size_bytes: Count = Field(description="Bytes of its files.")
    numbers: dict[str, Count] = Field(default_factory=dict, max_length=64)
    """Numbers in each of its safetensors files: the parameters of a network, or a table such as the
    counts of n-grams."""
    manifest: ModelManifest
    """What it was made of: data, parameters, metrics, learning curve, origin, files."""
    evaluations: tuple[VersionEvaluation, ...] = Field(max_length=MAX_EVALUATIONS)
    """Its newest evaluation on each data, newest last."""
    speeds: tuple[MeasuredSpeed, ...] = Field(max_length=MAX_SPEEDS)
    """Its newest speed on each machine, newest last."""
    history: tuple[ServiceChange, ...] = Field(max_length=1_001)
    """When it went into service and out of it, oldest first."""

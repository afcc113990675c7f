"""Results: one record for each item (of a sweep, for each training), or one for a training.

`ItemResult` is a line of a results file: a success with an output, or a failure with an
error, in input order. Records carry plain strings only, so that they can be read long after
the plugin that made them is gone.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Generic, Literal, Never

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, StringConstraints, TypeAdapter
from pydantic.json_schema import SkipJsonSchema
from typing_extensions import TypeVar

from seqd_schemas.base import (
    Count,
    CustomId,
    ModelName,
    Parameters,
    Positive,
    WireModel,
)
from seqd_schemas.errors import ItemFailed
from seqd_schemas.failures import ItemError

#: mypy takes it for True, whatever it is; no other checker does.
MYPY = False
#: Classes that one model may tell apart.
MAX_CLASSES = 1_000

ClassName = Annotated[str, StringConstraints(max_length=256)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
MetricName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Metrics = Annotated[
    dict[MetricName, Annotated[float, Field(allow_inf_nan=False)]], Field(max_length=64)
]


class Classification(WireModel):
    """A text's label."""

    type: Literal["classification"] = "classification"
    """What the output is."""
    label: str = Field(max_length=256)
    """The most probable class, by the job's name for it."""
    score: float = Field(ge=0.0, le=1.0)
    """The model's probability of `label`, not calibrated."""
    truncated: bool = Field(description="True when the text was longer than the model reads.")
    unknown_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of its words that the model does not know."""
    probabilities: dict[ClassName, Probability] | None = Field(default=None, max_length=MAX_CLASSES)
    """Each class's probability, where the job asked for them."""
    uncertain: bool = False
    """True where `score` is below the job's `min_score`."""


class FinishReason(StrEnum):
    """Why a sample ends where it ends."""

    LENGTH = "length"
    """It has the length that was asked for."""
    STOP = "stop"
    """A stop text came, which is not part of it."""
    END = "end"
    """The model ended it: a sentence, where it writes sentences."""


class GeneratedSample(WireModel):
    """One continuation of a prompt."""

    text: str = Field(max_length=1_048_576, description="The continuation, without the prompt.")
    temperature: Positive = Field(description="The temperature it was drawn at.")
    seed: Count = Field(description="The job's seed, for the record.")
    mean_log_prob: float | None = Field(default=None, allow_inf_nan=False)
    """Mean natural log-probability of its symbols under the model itself, at temperature 1; symbols
    are characters, or words of a model that writes words."""
    finish_reason: FinishReason = FinishReason.LENGTH
    """Why it ends where it ends."""
    distinct_n: tuple[Probability, ...] = Field(default=(), max_length=8)
    """Share of different n-grams among its n-grams of symbols, for n of 1, 2, 3."""
    longest_copy: Count | None = None
    """Characters of its longest span that stands in the training text, where the model keeps that
    text."""


class Generation(WireModel):
    """A prompt's continuations."""

    type: Literal["generation"] = Field(default="generation", description="What the output is.")
    prompt: str = Field(max_length=1_048_576, description="The prompt that was continued.")
    unknown_characters: Count = 0
    """Characters of the prompt that the model does not know and left out."""
    samples: tuple[GeneratedSample, ...] = Field(max_length=4_096)
    """Temperatures in the order asked for, samples within each."""


class TrainedVersion(WireModel):
    """The version that one combination of a sweep made."""

    type: Literal["training"] = Field(default="training", description="What the output is.")
    model: ModelName = Field(description="Name of the model.")
    version: Count = Field(description="Its new version in the model store.")
    parameters: Parameters = Field(description="The combination: the swept parameters alone.")
    metrics: Metrics = Field(description="Final figures by name, such as `validation_accuracy`.")
    seconds: Positive
    """Seconds of its epochs, over all attempts; else those of its last attempt."""


#: The values of `type` that no output of a plugin's own task may have.
NAMED_OUTPUTS = frozenset({"classification", "generation", "training"})

#: Fields of each item's result beside its output and its error: columns of all tables of results.
ITEM_COLUMNS: Mapping[str, Literal["text", "integer"]] = {"custom_id": "text", "version": "integer"}

#: Columns of an error in such a table.
ERROR_COLUMNS: Mapping[str, Literal["text"]] = {"error_code": "text", "error_message": "text"}

NamedOutput = Annotated[Classification | Generation | TrainedVersion, Field(discriminator="type")]


def _check_is_own(output: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Refuse what says that it is an output of another kind: it is one that is damaged."""
    kind = output.get("type")
    if isinstance(kind, str) and kind in NAMED_OUTPUTS:
        raise ValueError(f"it is no sound output of the type {kind!r}")
    return output


#: Fields that one output may have.
MAX_OUTPUT_FIELDS = 256
#: What a task of a plugin's own gave, as JSON: the schema is in the catalog.
JsonOutput = Annotated[
    dict[str, JsonValue], Field(max_length=MAX_OUTPUT_FIELDS), AfterValidator(_check_is_own)
]
# Types that a generator makes of the schema tell outputs apart by their `type`, which a plugin's
# own need not have. Those are in the schemas of a model: `seqd schema --model NAME`.
ItemOutput = Annotated[NamedOutput | SkipJsonSchema[JsonOutput], Field(union_mode="left_to_right")]

#: The outputs of one job, for type checkers: `ItemSuccess[Classification]`, or any without it.
Output = TypeVar("Output", covariant=True, default=ItemOutput)


class ItemSuccess(WireModel, Generic[Output]):
    """An item with its output."""

    status: Literal["succeeded"] = Field(default="succeeded", description="How the item ended.")
    custom_id: CustomId = Field(description="The caller's name for the item.")
    output: Output = Field(description="What the model made of it.")
    version: Count | None = None
    """The version that computed it, where the job takes part in a canary; not set: that of the
    job."""

    @property
    def ok(self) -> Literal[True]:
        """True: there is an output."""
        return True

    def unwrap(self) -> Output:
        """Return the output."""
        return self.output

    if TYPE_CHECKING and not MYPY:

        @property
        def error(self) -> Never:
            """Never there; see `ItemFailure.output`."""


class ItemFailure(WireModel):
    """An item with the reason why it has no output."""

    status: Literal["errored"] = Field(default="errored", description="How the item ended.")
    custom_id: CustomId = Field(description="The caller's name for the item.")
    error: ItemError = Field(description="Why there is no output.")
    attempts: int = Field(default=1, ge=0, description="How often the item's unit was started.")
    version: Count | None = None
    """The version that computed it, where the job takes part in a canary; not set: that of the
    job."""

    @property
    def ok(self) -> Literal[False]:
        """False: there is an error."""
        return False

    def unwrap(self) -> Never:
        """Raise ItemFailed, which has the error and its code."""
        error = self.error
        message = f"Item {self.custom_id!r} has no output: {error.message}"
        raise ItemFailed(error.code, message, error.retryable, custom_id=self.custom_id)

    # pyright does not narrow by the truth of a member (its issue 6113), so in `if result.ok:` it
    # asks what this is: nothing. mypy narrows, and refuses it where `ok` was not asked for.
    if not MYPY:

        @property
        def output(self) -> Never:
            """Raise what `unwrap` does: there is no output."""
            self.unwrap()


ItemResult = Annotated[ItemSuccess | ItemFailure, Field(discriminator="status")]
ITEM_RESULT: TypeAdapter[ItemSuccess | ItemFailure] = TypeAdapter(
    ItemResult, config=ConfigDict(defer_build=True)
)


class TrainingResult(WireModel):
    """The version that a training job made."""

    model: ModelName = Field(description="Name of the model.")
    version: Count = Field(description="Its new version in the model store.")
    metrics: Metrics = Field(description="Final figures by name, such as `validation_accuracy`.")
    seconds: Positive = Field(description="Seconds of the last attempt, loading included.")

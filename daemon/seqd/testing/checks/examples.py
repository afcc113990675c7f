"""What an author may declare for the checks: examples that the tasks take, and expected failures.

A model states them as a plain mapping, so that a plugin imports nothing for it; of what
`seqd.plugin` has decorated it is an attribute of the class, or of the function:

    class Hello(Model):
        checks: ClassVar = {
            "texts": ["hello world", "good morning"],
            "expected_failures": {"D2": "its library draws from the clock"},
        }

Tests give them to `PluginChecks` as `examples = PluginExamples(texts=[...])`.
"""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from seqd.errors import PluginFault
from seqd.hookspecs import LabelledRecord, Model
from seqd.models.plugin_frames import packages_of
from seqd.plugin.decorated import DecoratedModel
from seqd.validation import fault_sentence
from seqd_schemas import ParameterValue

#: Attribute of a model that has its examples.
ATTRIBUTE = "checks"


class TrainingExample(BaseModel):
    """A record that the training learns from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    label: str | None = None


class PluginExamples(BaseModel):
    """Examples for the checks. What is left out is made up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    texts: tuple[str, ...] = Field(
        default=(), description="Texts that each task of texts takes, all different; 3 at least."
    )
    records: Mapping[str, tuple[dict[str, JsonValue], ...]] = Field(
        default_factory=dict, description="Records that a task takes, by the task's name."
    )
    data: tuple[TrainingExample, ...] = Field(
        default=(), description="A small set of records to train on, in seconds."
    )
    parameters: Mapping[str, dict[str, ParameterValue]] = Field(
        default_factory=dict, description="Parameters that make a task cheap, by the task's name."
    )
    expected_failures: Mapping[str, str] = Field(
        default_factory=dict, description="Why a check is expected to fail, by its id."
    )

    def over(self, other: "PluginExamples") -> "PluginExamples":
        """Return these examples, and those of `other` where there are none here."""
        given = {name: value for name in type(self).model_fields if (value := getattr(self, name))}
        return other.model_copy(update=given)

    def training_data(self) -> list[LabelledRecord]:
        """Return the records to train on; none where they are to be made up."""
        return [LabelledRecord(text=one.text, label=one.label) for one in self.data]


def examples_of(model: Model) -> PluginExamples:
    """Return what a model declares for its checks. Raises PluginFault for what is none."""
    given = getattr(model, ATTRIBUTE, None) or getattr(author_object(model), ATTRIBUTE, {})
    if isinstance(given, PluginExamples):
        return given
    try:
        return PluginExamples.model_validate(given)
    except ValidationError as error:
        raise PluginFault(
            f"model {model.name!r}: its `{ATTRIBUTE}` cannot be read: {fault_sentence(error)}. "
            f"Known names: {', '.join(PluginExamples.model_fields)}."
        ) from None


def author_object(model: Model) -> object:
    """Return the class or the function."""
    return type(model).author if isinstance(model, DecoratedModel) else type(model)


def author_packages(module: str, model: Model) -> frozenset[str]:
    """Return the packages of the author's files: of the plugin's module, and of the model's."""
    return packages_of(module, str(getattr(author_object(model), "__module__", module)))


def author_method(model: Model, name: str) -> object:
    """Return what the author wrote as `train` or `load`; where nothing, what it would be of."""
    wrote = author_object(model)
    return getattr(wrote, name, wrote)

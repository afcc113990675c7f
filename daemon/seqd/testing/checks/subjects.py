"""What checks are given: a version in memory or a training, with small parameters and tiny data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, cast

from pydantic import BaseModel, JsonValue

from seqd.authoring.messages import RunChecks
from seqd.hookspecs import (
    Artifact,
    LabelledRecord,
    LoadedModel,
    Model,
    PluginParameters,
    TrainedModel,
    WorkItem,
)
from seqd.inputs.datasets import ListDataset
from seqd.kinds import SERVED_TASKS, TRAIN, kind_of_task
from seqd.models.agreement import with_values
from seqd.models.catalog import is_built_in
from seqd.models.made_records import with_record
from seqd.plugin.calls import OneProcess
from seqd.plugin.decorated import LoadedFunctions
from seqd.testing.checks.catalog import Part
from seqd.testing.checks.examples import PluginExamples, author_object
from seqd.testing.checks.failures import CheckFailed, DoesNotApply
from seqd.testing.contexts import CPU, MemoryCheckpoints, MemoryRunContext, MemoryTrainContext
from seqd_schemas import ParameterValue, Task

#: Small values of usual parameters; each is used where a model has it, within its bounds.
SMALL: Final[Mapping[str, float]] = {
    "epochs": 2,
    "units": 4,
    "embedding_dim": 4,
    "vocabulary_size": 60,
    "max_tokens": 12,
    "window": 8,
    "step": 4,
    "batch_size": 8,
    "sample_length": 4,
    "validation_split": 0.2,
    "length": 12,
    "samples": 2,
    "seed": 11,
}

#: Texts of the checks by their class: of two classes alone a fault of the weights may not show.
_MADE: Final = {
    "negative": "a dull film with a weak plot and a cold heart number {}, which i hated",
    "positive": "a great film with a fine cast and a warm heart number {}, which i loved",
    "mixed": "a long film with a clever plot and a slow second half number {}, which i forgot",
}

#: Said of all other checks of a version where its outcomes cannot be told apart by their items.
COUNT_IS_WRONG: Final = "B1 failed"


def made_text(number: int) -> str:
    """Return a short review; by turns it blames, praises, and does neither."""
    return tuple(_MADE.values())[number % len(_MADE)].format(number)


def tiny_data(examples: PluginExamples) -> "ReadDataset":
    """Return the author's records, or forty short reviews of three classes: 2,900 characters."""
    labels = tuple(_MADE)
    made = [LabelledRecord(made_text(at), labels[at % len(labels)]) for at in range(40)]
    return ReadDataset(examples.training_data() or made, "forty reviews of a check")


class ReadDataset(ListDataset):
    """Records in memory, which know whether they were read."""

    was_read = False

    def _read(self) -> Iterator[LabelledRecord]:
        self.was_read = True
        return super()._read()


def small_parameters(model: Model, task: Task, examples: PluginExamples) -> PluginParameters:
    """Return the cheapest sensible parameters of a task, or those that the author gave."""
    parameters = model.tasks[task].parameters
    schema = cast(
        "Mapping[str, Mapping[str, JsonValue]]",
        parameters.model_json_schema().get("properties", {}),
    )
    values: dict[str, ParameterValue] = {
        name: _within(value, schema[name])
        for name, value in SMALL.items()
        if schema.get(name, {}).get("type") in ("integer", "number")
    }
    values |= examples.parameters.get(task, {})
    unknown = [
        name
        for name, one in parameters.model_fields.items()
        if one.is_required() and name not in values
    ]
    if unknown:
        raise CheckFailed(
            f"{task} needs the parameter {unknown[0]!r}, which has no default",
            f"Give a value to check with: checks = {{'parameters': {{{task!r}: "
            f"{{{unknown[0]!r}: ...}}}}}} on the model.",
            author_object(model),
        )
    return parameters.model_validate(values)


def _within(value: float, schema: Mapping[str, JsonValue]) -> float:
    low, high = (cast("float", schema.get(name, value)) for name in ("minimum", "maximum"))
    return min(max(value, low), high)


def parts_of(model: Model, *, has_folder: bool = False) -> list[Part]:
    """Return the parts that a model has, beside its description."""
    parts = [Part.TRAINING, Part.TRAINED] if TRAIN in model.tasks else []
    if model.starter is not None:
        parts.append(Part.STARTER)
    if is_built_in(model):
        parts.append(Part.BUILT_IN)
    return [*parts, Part.FOLDER] if has_folder else parts


@dataclass
class Version:
    """A version of a model, with what is needed to run it."""

    model: Model
    artifact: Artifact
    #: An empty folder for the checks.
    folder: Path
    examples: PluginExamples
    #: What loads the plugin once more, for a check that needs another process.
    spec: RunChecks | None = None
    _loaded: LoadedModel | None = None

    @property
    def loaded(self) -> LoadedModel:
        """The version in memory, loaded once."""
        if self._loaded is None:
            self._loaded = self.load()
        return self._loaded

    def load(self) -> LoadedModel:
        """Load the version once more."""
        with OneProcess():
            return self.model.load(self.artifact, CPU)

    @property
    def tasks(self) -> list[Task]:
        """The tasks that turn items into outcomes, those that the plugin has named among them."""
        return [task for task in self.model.tasks if task != TRAIN]

    def output(self, task: Task) -> type[BaseModel]:
        """Return the class of what a task gives."""
        return cast("type[BaseModel]", kind_of_task(task).output or self.model.tasks[task].output)

    def method(self, task: Task) -> object:
        """Return the plugin's function that does a task."""
        if isinstance(self.loaded, LoadedFunctions):
            return self.loaded.author_function(task)
        return getattr(type(self.loaded), task if task in SERVED_TASKS else "run", None)

    @property
    def source_of_chance(self) -> str:
        """Where what the plugin's author has written takes chance from, in words."""
        if isinstance(self.loaded, LoadedFunctions):
            return "a parameter annotated seqd.plugin.Random"
        return "seqd.hookspecs.random_stream(seed, item.index, sample)"

    def items(self, task: Task, count: int, first: int = 0) -> list[WorkItem]:
        """Return items that a task takes, of different lengths and, unless given, all different.

        Raises DoesNotApply where no record can be made.
        """
        texts = self.examples.texts or tuple(
            made_text(place)[: 30 + 5 * (place % 9)] for place in range(count)
        )
        items = [WorkItem(first + place, texts[place % len(texts)]) for place in range(count)]
        return self.work(task, items)

    def work(self, task: Task, items: Sequence[WorkItem]) -> list[WorkItem]:
        """Return items as a task takes them: those that a record can be made of, as records."""
        record = self.model.tasks[task].input
        if record is None:
            return list(items)
        given = self.examples.records.get(task, ())
        return [made for item in items if (made := with_record(item, record, given)) is not None]

    def run(
        self,
        task: Task,
        items: Sequence[WorkItem],
        context: MemoryRunContext | None = None,
        loaded: LoadedModel | None = None,
        more: Mapping[str, object] | None = None,
    ) -> list[object]:
        """Run one batch, and return as many outcomes as there are items.

        Raises DoesNotApply where there are more or fewer, which B1 tells.
        """
        outcomes = self.outcomes(task, items, context, loaded, more)
        if not isinstance(outcomes, Sequence) or len(outcomes) != len(items):
            raise DoesNotApply(COUNT_IS_WRONG)
        return list(outcomes)

    def outcomes(
        self,
        task: Task,
        items: Sequence[WorkItem],
        context: MemoryRunContext | None = None,
        loaded: LoadedModel | None = None,
        more: Mapping[str, object] | None = None,
    ) -> Sequence[object]:
        """Run one batch, on this version or as `loaded` has it, and return what comes."""
        model = loaded or self.loaded
        run = getattr(model, task) if task in SERVED_TASKS else partial(model.run, task)
        small = small_parameters(self.model, task, self.examples)
        parameters = with_values(small, more or {})
        with OneProcess():
            return cast("Sequence[object]", run(items, parameters, context or MemoryRunContext()))


@dataclass
class Training:
    """The training of a model, with what is needed to run it."""

    model: Model
    folder: Path
    examples: PluginExamples
    _undisturbed: MemoryTrainContext | None = None

    @property
    def parameters(self) -> PluginParameters:
        """Small parameters."""
        return small_parameters(self.model, TRAIN, self.examples)

    @property
    def undisturbed(self) -> MemoryTrainContext:
        """A training that nothing disturbed, run once."""
        if self._undisturbed is None:
            self._undisturbed = self.train("undisturbed")
        return self._undisturbed

    def context(
        self,
        name: str,
        *,
        stop_after: int | None = None,
        checkpoints: MemoryCheckpoints | None = None,
        data: ListDataset | None = None,
    ) -> MemoryTrainContext:
        """Return a context whose folder has this name among the checks' own."""
        return MemoryTrainContext(
            self.folder / name / "version",
            data or tiny_data(self.examples),
            stop_after=stop_after,
            checkpoints=checkpoints,
        )

    def train(self, name: str, context: MemoryTrainContext | None = None) -> MemoryTrainContext:
        """Train on the tiny data, and return the context with what was reported."""
        used = context or self.context(name)
        self.trained(used)
        return used

    def trained(self, context: MemoryTrainContext) -> TrainedModel:
        """Train on the data of a context, and return what `train` does."""
        with OneProcess():
            return self.model.train(self.parameters, context)

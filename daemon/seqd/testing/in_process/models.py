"""Models whose outputs small functions decide: a plugin that the worker loads like any other.

A model of a name that an installed plugin brings has that one's tasks, parameters and presets, so
that a request is checked as it is in production. Any other has the tasks that it has functions for,
and no parameters.
"""

import inspect
import json
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import ClassVar, Protocol, TypeAlias, cast

from pydantic import BaseModel, JsonValue

from seqd import __version__
from seqd.errors import InvalidSettings, Stopped
from seqd.hookspecs import (
    Artifact,
    Device,
    LabelledRecord,
    LoadedModel,
    Model,
    PluginParameters,
    RunContext,
    TaskSpec,
    TrainContext,
    TrainedModel,
    WorkItem,
    hookimpl,
)
from seqd.kinds import CLASSIFY, GENERATE, TRAIN
from seqd.models.loading import PluginSource, discover
from seqd.models.plugin_frames import raised_by_plugin
from seqd.models.registry import Registry
from seqd.models.store import ModelStore
from seqd.models.version_files import VersionDraft, no_data
from seqd.settings import Settings
from seqd.testing.in_process.orders import FailedByOrder, Orders
from seqd_schemas import (
    Classification,
    GeneratedSample,
    Generation,
    ItemError,
    ItemErrorCode,
    ParameterValue,
    PluginState,
    Task,
)

#: A function of a text, or of a text and the job's parameters.
TextFunction = Callable[..., object]

#: What does a task that a plugin named: a function of a text or, where the task takes records, of a
#: record; with the classes of the output and the record. Where an installed plugin brings a model
#: of this name, it says these, and the function alone will do.
RunFunction: TypeAlias = (
    TextFunction
    | tuple[TextFunction, type[BaseModel]]
    | tuple[TextFunction, type[BaseModel], type[BaseModel]]
)

#: The file of a version, which holds nothing that matters.
_FILE = "stub.json"

_SHA256_OF_NOTHING = "0" * 64


class TrainFunction(Protocol):
    """Returns the figures of a new version by the records of its data."""

    def __call__(self, records: Sequence[LabelledRecord], /) -> Mapping[str, float]:
        """Return figures by name, such as `validation_accuracy`."""


@dataclass(frozen=True, slots=True)
class StubModel:
    """What a model does, where one function for classifying and generating is not enough.

    `classify` returns a label, a Classification or an ItemError. `generate` returns a text, a
    Generation, an ItemError, or an iterator of texts, which are streamed. What either raises is
    the item's error. `train` returns figures; what it raises fails the training. A function may
    take the job's parameters as its second argument.

    `run` has the tasks that a plugin named, such as `{"embed": (function, Embedding)}`; where a
    task takes records, their class is a third. Such a function returns an output of that class, a
    dictionary of its fields, or an ItemError. Where the output has a field `text`, it may also
    return a text, or an iterator of texts, which are streamed.
    """

    classify: TextFunction | None = None
    generate: TextFunction | None = None
    train: TrainFunction | None = None
    run: Mapping[str, RunFunction] = field(default_factory=dict)
    #: Of all tasks but training, where no installed plugin brings a model of this name.
    parameters: type[PluginParameters] = PluginParameters


ModelFunction = TextFunction | StubModel


def stub_of(model: ModelFunction) -> StubModel:
    """Return what a function stands for. Raises TypeError for what is none."""
    if isinstance(model, StubModel):
        return model
    if callable(model):
        return StubModel(classify=model, generate=model)
    raise TypeError(
        f"A model is a function of a text, or a StubModel; this is {model!r:.80}. Such as "
        '{"imdb_lstm": lambda text: "positive"}.'
    )


def registry_of(
    stubs: MutableMapping[str, StubModel], orders: Orders, settings: Settings
) -> Registry:
    """Return a registry with these models. Raises InvalidSettings where one cannot be loaded.

    What stands in `stubs` at the time of a call counts, so a model may be exchanged.
    """
    models = [_description(name, stubs, orders) for name in sorted(stubs)]
    candidate = PluginSource(
        name="stubs", loads=lambda: _Plugin(models), version=__version__, address=__name__
    )
    registry = Registry([candidate], settings)
    for status in registry.statuses:
        if status.state is PluginState.BROKEN:
            raise InvalidSettings(f"The models of this test cannot be loaded: {status.reason}")
    return registry


def publish_first_version(name: str, store: ModelStore) -> None:
    """Publish version 1 of a model."""
    folder = store.new_folder(name, "stub")
    (folder / _FILE).write_text("{}")
    data = no_data("none")
    store.publish(folder, VersionDraft(model=name, plugin_version=__version__, data=data))


class _Plugin:
    """The plugin that brings the models."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = models

    @hookimpl
    def seqd_register_models(self) -> Sequence[Model]:
        """Return the models."""
        return self._models


@cache
def _installed(name: str) -> Model | None:
    """Return the model of this name that an installed plugin brings; None where none does."""
    namesakes = [one for one in discover() if one.name == name]
    return _models_of(namesakes).get(name) or _all_installed().get(name)


@cache
def _all_installed() -> Mapping[str, Model]:
    """Return all models of installed plugins, which takes longer to import."""
    return _models_of(discover())


def _models_of(candidates: Sequence[PluginSource]) -> Mapping[str, Model]:
    return Registry.alone(candidates).models


def _description(name: str, stubs: Mapping[str, StubModel], orders: Orders) -> Model:
    installed, stub = _installed(name), stubs[name]
    fields = {
        "name": name,
        "summary": "A model of a test.",
        "tasks": _tasks_of(stub) if installed is None else dict(installed.tasks),
        "presets": {} if installed is None else installed.presets,
        "datasets": () if installed is None else installed.datasets,
    }
    # A model's name and tasks are its class's.
    kind = cast(type[_StubDescription], type("StubDescription", (_StubDescription,), fields))
    return kind(stubs, orders)


def _tasks_of(stub: StubModel) -> dict[Task, TaskSpec]:
    tasks: dict[Task, TaskSpec] = {TRAIN: TaskSpec(PluginParameters)}
    if stub.classify is not None:
        tasks[CLASSIFY] = TaskSpec(stub.parameters)
    if stub.generate is not None:
        tasks[GENERATE] = TaskSpec(stub.parameters)
    for task, given in stub.run.items():
        tasks[task] = _spec_of(task, given, stub.parameters)
    return tasks


def _spec_of(task: str, given: RunFunction, parameters: type[PluginParameters]) -> TaskSpec:
    """Return the description of a task that is run. Raises TypeError where it has no output."""
    if isinstance(given, tuple):
        record = given[2] if len(given) == 3 else None
        return TaskSpec(parameters, output=given[1], input=record, allows_empty=record is None)
    raise TypeError(
        f"The task {task!r} of a StubModel is {given!r:.80}, and no installed plugin says what it "
        f'gives. Add its output: run={{"{task}": (function, Embedding)}}.'
    )


class _StubDescription(Model):
    """A model's description; a subclass has its name and tasks."""

    name: ClassVar[str] = "stub"
    needs_weights: ClassVar[bool] = True

    def __init__(self, stubs: Mapping[str, StubModel], orders: Orders) -> None:
        self._stubs = stubs
        self._orders = orders

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        return _LoadedStub(self.name, self.tasks, self._stubs, self._orders)

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        began = time.monotonic()
        self._orders.apply(None, context.stop_requested)
        records = self._records(context)
        train = self._stubs[self.name].train
        metrics = dict(train(records)) if train is not None else {}
        context.step(1, 1)
        context.epoch(1, 1, time.monotonic() - began, **metrics)
        (context.folder / _FILE).write_text(json.dumps({"records": len(records)}))
        return TrainedModel(metrics=metrics)

    def _records(self, context: TrainContext) -> list[LabelledRecord]:
        if context.data.named is None:
            return list(context.data.records())
        context.fingerprint(0, _SHA256_OF_NOTHING)
        return []


@dataclass
class _LoadedStub(LoadedModel):
    """A model in memory: calls the function that the test has given it, item by item."""

    _name: str
    _tasks: Mapping[Task, TaskSpec]
    _stubs: Mapping[str, StubModel]
    _orders: Orders
    memory_bytes: int = 1

    def warm_up(self) -> None:
        """Do nothing: a test's function should see what the test sends, and nothing else."""

    def classify(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Classification | ItemError]:
        return cast(list[Classification], self.run(CLASSIFY, items, parameters, context))

    def generate(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Generation | ItemError]:
        return cast(list[Generation], self.run(GENERATE, items, parameters, context))

    def run(
        self,
        task: str,
        items: Sequence[WorkItem],
        parameters: PluginParameters,
        context: RunContext,
    ) -> Sequence[BaseModel | ItemError]:
        function, given = self._function(task), parameters.model_dump(mode="json")

        def make(item: WorkItem) -> object:
            if task == GENERATE:
                return _generation(function, item, given, context)
            made = _call(function, item.text if item.record is None else item.record, given)
            if task == CLASSIFY:
                return _classification(made)
            output = cast(type[BaseModel], self._tasks[task].output)
            return _run_output(made, output, item, context)

        outcomes = [self._outcome(item, make, context) for item in items]
        return cast(Sequence[BaseModel | ItemError], outcomes)

    def _function(self, task: str) -> TextFunction:
        stub = self._stubs[self._name]
        named = {CLASSIFY: stub.classify, GENERATE: stub.generate}
        given = named[task] if task in named else stub.run.get(task)
        function = given[0] if isinstance(given, tuple) else given
        if function is None:
            raise NotImplementedError(
                f"the test's model {self._name} has no function to {task}; give its StubModel one"
            )
        return function

    def _outcome(
        self, item: WorkItem, make: Callable[[WorkItem], object], context: RunContext
    ) -> object:
        """Return what a function makes of an item; anything it should not is the worker's."""
        if context.stop_requested():
            raise Stopped("asked to stop")
        try:
            self._orders.apply(item.text, context.stop_requested)
            return make(item)
        except Stopped:
            raise
        except FailedByOrder as order:
            return order.error
        except Exception as error:  # noqa: BLE001  a test's function may raise anything
            # As the worker says it of a plugin, which it would call a second time for each item.
            return ItemError(code=ItemErrorCode.PLUGIN_ERROR, message=raised_by_plugin(error))


def _call(function: TextFunction, text: object, parameters: Mapping[str, JsonValue]) -> object:
    return function(text, parameters) if _takes_parameters(function) else function(text)


def _takes_parameters(function: TextFunction) -> bool:
    """Return True for a function of two arguments."""
    try:
        arguments = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # such as of a function in C
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    due = [one for one in arguments if one.kind in positional and one.default is one.empty]
    return len(due) > 1


def _classification(made: object) -> object:
    if isinstance(made, str):
        return Classification(label=made, score=1.0, truncated=False)
    return made


def _run_output(
    made: object, output: type[BaseModel], item: WorkItem, context: RunContext
) -> object:
    """Return what a function made as the output of its task; texts are streamed."""
    if isinstance(made, Mapping):
        return output.model_validate(made)
    if "text" not in output.model_fields:
        return made
    if isinstance(made, str | Iterator):
        return output.model_validate({"text": _streamed(made, item, 0, context)})
    if type(made) is output:
        context.stream(item, 0, str(made.__dict__["text"]))
    return made


def _streamed(made: str | Iterator[str], item: WorkItem, sample: int, context: RunContext) -> str:
    """Return a text, or the parts of one put together, as they are streamed."""
    text = ""
    for delta in [made] if isinstance(made, str) else made:
        context.stream(item, sample, delta)
        text += delta
    return text


def _generation(
    function: TextFunction,
    item: WorkItem,
    parameters: Mapping[str, JsonValue],
    context: RunContext,
) -> object:
    """Return the generation of a prompt, with as many samples as the parameters ask for."""
    samples = []
    for number, temperature in enumerate(_temperatures(parameters)):
        made = _call(function, item.text, parameters)
        if isinstance(made, Generation):
            for at, sample in enumerate(made.samples):
                context.stream(item, at, sample.text)
            return made
        if not isinstance(made, str | Iterator):
            return made
        text = _streamed(made, item, number, context)
        seed = parameters.get("seed", 0)
        samples.append(
            GeneratedSample(
                text=text, temperature=temperature, seed=seed if isinstance(seed, int) else 0
            )
        )
    return Generation(prompt=item.text, samples=tuple(samples))


def _temperatures(parameters: Mapping[str, ParameterValue | JsonValue]) -> list[float]:
    """Return the temperature of each sample, in the order that a generation has them."""
    given, samples = parameters.get("temperature", 1.0), parameters.get("samples", 1)
    temperatures = given if isinstance(given, list) else [given]
    each = samples if isinstance(samples, int) else 1
    return [
        float(one) if isinstance(one, int | float) else 1.0
        for one in temperatures
        for _ in range(each)
    ]

"""Decorator that makes a model of a class: several tasks, files, and what learns.

    @model("bayes", summary="Classifies texts by their words.")
    class Bayes:
        @classmethod
        def train(cls, records: list[LabelledRecord], smoothing: float = 1.0) -> Self: ...
        def save(self, folder: Path) -> None: ...
        @classmethod
        def load(cls, folder: Path) -> Self: ...
        def classify(self, text: str) -> Label: ...

Without `train`, `load` and `save` an object is made by `cls()`. With `load` alone the model's
versions come from elsewhere: a starter, or `seqd models add`.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from numbers import Real
from typing import Any, ClassVar, TypeVar, cast

from seqd.errors import PluginFault, Stopped
from seqd.hookspecs import (
    Artifact,
    Dataset,
    Device,
    Inspection,
    LabelledRecord,
    LoadedModel,
    Model,
    Needs,
    PluginParameters,
    RunContext,
    TaskSpec,
    TrainContext,
    TrainedModel,
)
from seqd.plugin.decorated import About, DecoratedModel, LoadedFunctions, MemoryGrowth, mark
from seqd.plugin.functions import (
    TASK_MARK,
    UNIT_ITEMS,
    FunctionOptions,
    check_called,
    labels_of,
    task_function,
)
from seqd.plugin.running import TaskFunction
from seqd.plugin.signatures import (
    Signature,
    choices_of,
    elements_of,
    in_words,
    read_signature,
    summary_of,
)
from seqd_schemas import ParameterValue

C = TypeVar("C", bound=type[Any])

#: The parameter of `train` that gets what to validate on.
_HELD_OUT = "held_out"


def model(
    name: str,
    *,
    summary: str = "",
    example: str | None = None,
    presets: Mapping[str, Mapping[str, ParameterValue]] | None = None,
    libraries: Sequence[str] = (),
    starter: str = Model.starter_name,
    max_chars: int | None = None,
    unit_items: int = UNIT_ITEMS,
    batch_items: int = 64,
    needs: Needs | None = None,
    memory_bytes: int = 0,
) -> Callable[[C], C]:
    """Return a decorator that makes the model `name` of a class.

    Its methods `classify` and `generate`, and those that `task(...)` stands above, are its tasks;
    they take and give what functions do, or take a `list[WorkItem]` and give what a `LoadedModel`
    does. A parameter that is annotated with a `PluginParameters` gets all of them. `train`, a class
    method, takes the data first: a `list[LabelledRecord]`, an `Iterable` of them, a str (all texts
    as one) or a `Dataset`; a parameter `held_out` of the same kind or None gets what to validate
    on, one annotated `TrainContext` the context. It returns an object, which `save` writes into a
    folder as .json and .safetensors, and `load` reads. An attribute `metrics` of the object has its
    figures, and methods `inspect`, `measure`, `measure_adapting`, `cost_tokens` and `warm_up` do
    what those of `Model` and `LoadedModel` do. `libraries` are distributions whose versions are
    written down, as are those of an attribute `libraries` of the object. `starter` is the folder of
    the version that ships with the plugin. For the rest see `classifier`. Raises PluginFault for a
    class of another form.
    """
    check_called(name, "model")
    options = FunctionOptions(unit_items, batch_items, max_chars)

    def decorate(kind: C) -> C:
        if not inspect.isclass(kind):
            raise PluginFault(
                f"@model stands above {in_words(kind)}, which is no class. Above a function: "
                "@classifier, @generator or @task."
            )
        about = About(
            name, summary or summary_of(kind), needs or Needs(), (), example, memory_bytes
        )
        functions = _functions_of(kind, options)
        for method in ("train", "load"):
            wrote = inspect.getattr_static(kind, method, None)
            if not isinstance(wrote, classmethod | None):
                raise PluginFault(
                    f"{_where(kind)}.{method} is no class method. Put @classmethod above."
                )
        learns = _train_signature(kind)
        if not functions:
            raise PluginFault(
                f"{_where(kind)} has no task. Give it a method classify(self, text: str) -> Label, "
                "generate(self, prompt: str) -> str, or one under @task(...)."
            )
        has_load = _has(kind, "load")
        if not has_load:
            _check_made_of_nothing(kind)
        return mark(
            kind,
            ClassModel,
            about,
            functions,
            tasks={"train": TaskSpec(learns.parameters, unit_items=1)} if learns else {},
            presets=dict(presets or {}),
            needs_weights=has_load,
            learns=learns,
            libraries=tuple(libraries),
            starter_name=starter,
        )

    return decorate


def _check_made_of_nothing(kind: type) -> None:
    """Raise PluginFault where an object of a class without `load` needs arguments."""
    try:
        inspect.signature(kind).bind()
    except TypeError as error:
        raise PluginFault(
            f"{_where(kind)}() cannot be made: {error}. Give the parameters of __init__ defaults, "
            f"or the class a `load`: {_LEARNER_METHODS['load']}"
        ) from None
    except ValueError:
        return  # a class in C, without a signature


def _functions_of(kind: type, options: FunctionOptions) -> dict[str, TaskFunction]:
    found: dict[str, TaskFunction] = {}
    for name in ("classify", "generate"):
        method = inspect.getattr_static(kind, name, None)
        if method is not None and not inspect.isfunction(method):
            raise PluginFault(
                f"{_where(kind)}.{name} is {type(method).__name__}. Write a method: "
                f"def {name}(self, ...)."
            )
        if method is not None:
            _, said = vars(method).get(TASK_MARK, (name, options))
            found[name] = task_function(name, method, said, kind)
    for attribute, method in inspect.getmembers_static(kind, inspect.isfunction):
        if TASK_MARK in vars(method):
            name, said = vars(method)[TASK_MARK]
            if name == attribute in found:
                continue
            if name in found:
                raise PluginFault(f"{_where(kind)} has two tasks {name!r}. Rename one.")
            found[name] = task_function(name, method, said, kind)
    return found


def _has(kind: type, name: str) -> bool:
    return inspect.getattr_static(kind, name, None) is not None


def _train_signature(kind: type) -> Signature | None:
    """Return what `train` takes; None without it. Raises PluginFault for half a learner."""
    if not _has(kind, "train"):
        return None
    for name in ("save", "load"):
        if not _has(kind, name):
            raise PluginFault(
                f"{_where(kind)} has `train` and no `{name}`. Add: {_LEARNER_METHODS[name]}"
            )
    function = inspect.getattr_static(kind, "train").__func__
    gifts = (TrainContext, Device)
    signature = read_signature(function, kind, gifts=gifts, named_gifts=(_HELD_OUT,))
    taken = {signature.taken.name: signature.taken.annotation}
    taken |= {name: one for name, one in signature.gifts.items() if name == _HELD_OUT}
    for name, annotation in taken.items():
        if _data_kind(annotation) is None:
            raise PluginFault(
                f"{signature.where}: {name!r} is annotated {in_words(annotation)}. Allowed: "
                "list[LabelledRecord], Iterable[LabelledRecord], str (all texts as one), Dataset."
            )
    return signature


def _data_kind(annotation: object) -> object:
    """Return how a training wants its data: `str`, `Dataset`, `list` or `Iterable` of records.

    None where the annotation is none of these; `X | None` counts as X.
    """
    kinds = [one for one in choices_of(annotation) if one is not type(None)]
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    if kind in (str, Dataset):
        return kind
    if elements_of(kind, (list, Sequence)) is LabelledRecord:
        return list
    return Iterable if elements_of(kind) is LabelledRecord else None


_LEARNER_METHODS = {
    "save": "def save(self, folder: Path) -> None, which writes .json and .safetensors.",
    "load": "@classmethod def load(cls, folder: Path) -> Self, which reads what `save` wrote.",
}


def _where(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


class ClassModel(DecoratedModel):
    """A model that a class does."""

    author: ClassVar[type]
    #: What its `train` takes; None without it.
    learns: ClassVar[Signature | None]
    libraries: ClassVar[Sequence[str]]

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        """Return an object of the class, made of the version's files, or of none."""
        with MemoryGrowth() as grown:
            made = self._made(artifact, device)
        # What is read lazily, or into memory that was freed before, does not show as growth.
        measured = max(grown.bytes, artifact.manifest.size_bytes)
        return LoadedObject(made, self.functions, self.about, device, measured)

    def _made(self, artifact: Artifact, device: Device) -> object:
        if not self.needs_weights:
            return self.author()
        load = cast("Callable[..., object]", getattr(self.author, "load"))  # noqa: B009
        made = load(artifact.folder, **_gift(load, "device", Device, device))
        if not isinstance(made, self.author):
            raise PluginFault(
                f"{_where(self.author)}.load gave {made!r:.80}. It gives an object of its class."
            )
        return made

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        """Train by the class's `train`, and have the object write its files."""
        learns = self.learns
        assert learns is not None, "only a class with `train` has the task"
        train = cast("Callable[..., object]", getattr(self.author, "train"))  # noqa: B009
        data = _data(context.data, learns.taken.annotation, context)
        made = train(data, **learns.values_of(parameters), **_train_gifts(learns, context))
        if context.stop_requested():
            raise Stopped
        if not isinstance(made, self.author):
            raise PluginFault(
                f"{learns.where} gave {made!r:.80}. It gives the object that has learnt."
            )
        cast("Any", made).save(context.folder)
        return TrainedModel(
            metrics=_metrics(made),
            libraries=_versions((*self.libraries, *getattr(made, "libraries", ()))),
            in_memory=LoadedObject(made, self.functions, self.about, context.device, 0),
        )

    def inspect(self, artifact: Artifact, focus: str | None) -> Sequence[Inspection]:
        """Return what the class's `inspect` shows; nothing where it has none."""
        if not _has(self.author, "inspect"):
            return ()
        made = self._made(artifact, Device(slot="cpu:0", kind="cpu"))
        return cast("Sequence[Inspection]", cast("Any", made).inspect(focus))


def _gift(
    function: Callable[..., object], name: str, kind: type, gift: object
) -> dict[str, object]:
    """Return what a function asks for beside its argument, by the type or by the name."""
    asked = inspect.signature(function).parameters.values()
    return {
        one.name: gift
        for one in asked
        if one.name == name or one.annotation in (kind, kind.__name__)
    }


def _train_gifts(signature: Signature, context: TrainContext) -> dict[str, object]:
    gifts: dict[str, object] = {}
    for name, kind in signature.gifts.items():
        if kind is TrainContext:
            gifts[name] = context
        elif kind is Device:
            gifts[name] = context.device
        elif context.held_out is None:
            gifts[name] = None
        else:
            gifts[name] = _data(context.held_out, kind, context)
    return gifts


def _data(dataset: Dataset, annotation: object, context: TrainContext) -> object:
    """Return a data set as a training asks for it."""
    kind = _data_kind(annotation)
    if kind is str:
        return dataset.text()
    if kind is Dataset:
        return dataset
    records = _Records(dataset, context)
    return list(records) if kind is list else records


@dataclass(frozen=True, slots=True)
class _Records(Iterable[LabelledRecord]):
    """Records of a data set, from the first one each time that they are gone through."""

    dataset: Dataset
    context: TrainContext

    def __iter__(self) -> Iterator[LabelledRecord]:
        for record in self.dataset.records():
            if self.context.stop_requested():
                raise Stopped
            yield record


def _metrics(made: object) -> Mapping[str, float]:
    metrics = getattr(made, "metrics", {})
    try:
        # Numbers of NumPy and tensors of one number are floats in this sense, too.
        return {str(name): float(figure) for name, figure in metrics.items()}
    except (AttributeError, TypeError, ValueError):
        raise PluginFault(
            f"{_where(type(made))}.metrics is {metrics!r:.80}. It is a mapping of names to numbers."
        ) from None


def _versions(libraries: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            raise PluginFault(
                f"`libraries` names {name!r}, and no distribution of that name is installed."
            ) from None
    return found


class LoadedObject(LoadedFunctions):
    """An object of an author's class, in memory."""

    def __init__(
        self,
        made: object,
        functions: Mapping[str, TaskFunction],
        about: About,
        device: Device,
        measured_bytes: int,
    ) -> None:
        bound = {name: done.bound_to(made) for name, done in functions.items()}
        super().__init__(bound, about, device)
        self.memory_bytes = about.memory_bytes or _said_bytes(made) or measured_bytes
        labels = (labels_of(done.signature) for done in functions.values())
        own = tuple(label for one in labels for label in one)
        # Those of a library may be NumPy's, or numbers, which a Label has as texts.
        self.classes = own or tuple(map(str, getattr(made, "classes", ())))
        self._made = made

    def warm_up(self) -> None:
        """Run the class's own `warm_up`, or its tasks on the example."""
        own = getattr(self._made, "warm_up", None)
        if own is None:
            super().warm_up()
        else:
            own()

    def cost_tokens(self, text: str) -> int:
        """Return what the class's `cost_tokens` says, or what is usual."""
        own = getattr(self._made, "cost_tokens", super().cost_tokens)
        return cast("int", own(text))

    def measure(self, text: str, context: RunContext) -> Mapping[str, float]:
        """Return the figures of the class's `measure`. Raises NotImplementedError without one."""
        return self._figures("measure", super().measure, text, context)

    def measure_adapting(self, text: str, context: RunContext) -> Mapping[str, float]:
        """Return the figures of the class's `measure_adapting`, as `measure` does."""
        return self._figures("measure_adapting", super().measure_adapting, text, context)

    def _figures(
        self, name: str, usual: Callable[..., object], text: str, context: RunContext
    ) -> Mapping[str, float]:
        own: Callable[..., object] = getattr(self._made, name, usual)
        figures = own(text, **_gift(own, "context", RunContext, context))
        return cast("Mapping[str, float]", figures)


def _said_bytes(made: object) -> int:
    """Return the attribute `memory_bytes` of an object; 0 without one. Raises PluginFault."""
    said = getattr(made, "memory_bytes", 0)
    if isinstance(said, Real) and (number := float(said)) >= 0:
        return int(number)
    raise PluginFault(
        f"{_where(type(made))}.memory_bytes is {said!r:.80}; allowed: a number, 0 and more."
    )

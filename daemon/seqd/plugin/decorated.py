"""What decorators make of an author's code: a model, and its functions in memory."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Final, TypeVar, cast

from seqd.errors import PluginFault
from seqd.hookspecs import (
    Artifact,
    Device,
    LoadedModel,
    Model,
    Needs,
    PluginParameters,
    RunContext,
    TaskSpec,
    WorkItem,
    hookimpl,
)
from seqd.plugin.running import Outcome, TaskFunction
from seqd_schemas import Classification, Generation, ItemError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

#: What a model is taken to need at least: 0 would say that unloading it frees nothing.
MIN_BYTES: Final = 2**20

#: Attribute of a function or class that was decorated.
_MODEL_MARK: Final = "__seqd_model__"


@dataclass(frozen=True, slots=True)
class About:
    """What a model's description says besides its tasks."""

    name: str
    summary: str
    needs: Needs = field(default_factory=Needs)
    classes: Sequence[str] = ()
    example: str | None = None
    memory_bytes: int = 0

    def __post_init__(self) -> None:
        """Raise PluginFault for what a type checker would find."""
        if not isinstance(self.example, str | None):
            raise PluginFault(f"`example` is {self.example!r:.80}; allowed: a text.")
        if self.memory_bytes < 0:
            raise PluginFault(f"`memory_bytes` is {self.memory_bytes}; allowed: 0 and more.")


class DecoratedModel(Model):
    """A model that decorated functions do. It is not trained: its version 0 is the code."""

    #: The author's function or class.
    author: ClassVar[object]
    functions: ClassVar[Mapping[str, TaskFunction]]
    about: ClassVar[About]

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        """Return the functions, ready to be called."""
        return LoadedFunctions(self.functions, self.about, device)


def mark(
    author: Decorated,
    base: type[DecoratedModel],
    about: About,
    functions: Mapping[str, TaskFunction],
    tasks: Mapping[str, TaskSpec] | None = None,
    **more: object,
) -> Decorated:
    """Note on what an author decorates the model that is made of it, and return that.

    The model's class is of the author's module, where its starter would lie. `tasks` are those
    beside its functions, `more` its other attributes. Raises PluginFault for a second model.
    """
    if _MODEL_MARK in vars(author):
        raise PluginFault(
            f"{author.__module__}.{author.__qualname__} is decorated twice. Write a function "
            "for each model; a class has several tasks."
        )
    attributes = {
        "__module__": author.__module__,
        "__doc__": about.summary,
        "name": about.name,
        "summary": about.summary,
        "tasks": {name: done.spec for name, done in functions.items()} | dict(tasks or {}),
        "needs": about.needs,
        "author": author,
        "functions": functions,
        "about": about,
    }
    kind = type(f"{author.__name__}_model", (base,), attributes | more)
    setattr(author, _MODEL_MARK, kind())
    return author


class LoadedFunctions(LoadedModel):
    """Functions, or methods of one object, that do the tasks of a model."""

    def __init__(self, functions: Mapping[str, TaskFunction], about: About, device: Device) -> None:
        self._functions = functions
        self._device = device
        self._example = about.example
        self.memory_bytes = max(about.memory_bytes, MIN_BYTES)
        self.classes = tuple(about.classes)

    def author_function(self, task: str) -> Callable[..., object]:
        """Return what the author has written for a task: the place of a fault of it."""
        return self._functions[task].call

    def warm_up(self) -> None:
        """Run each task that takes a text once on the author's example, where there is one."""
        if self._example is None:
            return
        item = WorkItem(index=0, text=self._example)
        for done in self._functions.values():
            fields = done.signature.parameters.model_fields.values()
            is_text = done.signature.taken.kind in (str, WorkItem)
            if is_text and not any(one.is_required() for one in fields):
                done.run([item], done.signature.parameters(), QuietContext(self._device))

    def classify(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Classification | ItemError]:
        """Return one label per item, in order."""
        outcomes = self.run("classify", items, parameters, context)
        return cast("Sequence[Classification | ItemError]", outcomes)

    def generate(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Generation | ItemError]:
        """Return the continuations of each prompt, in order."""
        outcomes = self.run("generate", items, parameters, context)
        return cast("Sequence[Generation | ItemError]", outcomes)

    def run(
        self,
        task: str,
        items: Sequence[WorkItem],
        parameters: PluginParameters,
        context: RunContext,
    ) -> Sequence[Outcome]:
        """Return one output per item, in order."""
        return self._functions[task].run(items, parameters, context)


class QuietContext:
    """A `RunContext` without a daemon: what is streamed leads nowhere."""

    def __init__(
        self,
        device: Device,
        stop: Callable[[], bool] = lambda: False,
        told: Callable[[Mapping[str, float]], None] = lambda said: None,
    ) -> None:
        """`stop` says whether to end, `told` gets what is said of a batch, by its name."""
        self.device = device
        self._stop = stop
        self._told = told

    def stop_requested(self) -> bool:
        """True once the call is to end."""
        return self._stop()

    def batch(self, **said: float) -> None:
        """Pass on what is said of a batch."""
        self._told(said)

    def stream(self, item: WorkItem, sample: int, delta: str) -> None:
        """Take a text delta."""


class MemoryGrowth:
    """A `with` block; `bytes` is how much the resident memory grew in it, 1 MiB at least.

    Memory that was freed before and is used again does not count: the first load in a process says
    most. On a system without /proc it is 1 MiB.
    """

    bytes: int = MIN_BYTES

    def __enter__(self) -> "MemoryGrowth":
        """Begin to measure."""
        self._before = resident_bytes()
        return self

    def __exit__(self, *_: object) -> None:
        """Measure."""
        self.bytes = max(MIN_BYTES, resident_bytes() - self._before)


def resident_bytes() -> int:
    """Return the resident memory of this process; 0 where no /proc tells it."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class DecoratedPlugin:
    """The plugin object of decorated functions and classes, and of hooks beside them."""

    def __init__(self, models: Sequence[Model], hooks: Mapping[str, object]) -> None:
        self.models = tuple(models)
        vars(self).update(hooks)

    @hookimpl
    def seqd_register_models(self) -> Sequence[Model]:
        """Return their models."""
        return self.models


def decorated_models(loaded: object) -> list[Model]:
    """Return the model of what was decorated, or those of all that a module has decorated.

    What a package takes from its own modules is its own; what it takes from elsewhere is not.
    """
    if isinstance(loaded, ModuleType):
        own = {id(one): one for one in vars(loaded).values() if _is_of(one, loaded.__name__)}
        return [model for one in own.values() for model in decorated_models(one)]
    marked = getattr(loaded, "__dict__", {})
    return [marked[_MODEL_MARK]] if _MODEL_MARK in marked else []


def _is_of(thing: object, module: str) -> bool:
    where = getattr(thing, "__module__", None)
    return isinstance(where, str) and (where == module or where.startswith(f"{module}."))

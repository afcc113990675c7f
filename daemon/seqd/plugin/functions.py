"""Decorators that make a model of a function: `classifier`, `generator` and `task`.

Each leaves the function as it is and notes the model on it, where the plugin host finds it.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

from seqd.errors import PluginFault
from seqd.hookspecs import (
    Artifact,
    Device,
    LoadedModel,
    Model,
    Needs,
    PluginParameters,
    TaskSpec,
)
from seqd.plugin.loaded import About, LoadedFunctions
from seqd.plugin.marks import mark
from seqd.plugin.outcomes import MAX_TEXT_CHARS, BadItem, Label
from seqd.plugin.running import TaskFunction
from seqd.plugin.signatures import (
    Random,
    Signature,
    check_taken,
    choices_of,
    elements_of,
    in_words,
    read_signature,
    summary_of,
)
from seqd_schemas import Classification, Generation, OutputBound, Text

F = TypeVar("F", bound=Callable[..., Any])

#: Items of a unit, unless the author says otherwise: a function of a second for so many is usual.
UNIT_ITEMS: Final = 512

#: Parameter of a generator that takes chance.
_SAMPLES: Final = (
    Annotated[int, Field(ge=1, le=16)],
    cast("FieldInfo", Field(default=1, description="Samples of each prompt.")),
)


@dataclass(frozen=True, slots=True)
class FunctionOptions:
    """What an author may say of a task besides its function."""

    unit_items: int = UNIT_ITEMS
    batch_items: int = 64
    max_chars: int | None = None
    bound: OutputBound | None = None
    summary: str = ""
    allows_empty: bool = False

    def __post_init__(self) -> None:
        """Raise PluginFault for numbers with which nothing can be called."""
        for name, number in (("batch_items", self.batch_items), ("max_chars", self.max_chars)):
            if number is not None and number < 1:
                raise PluginFault(f"`{name}` is {number!r}; allowed: 1 and more.")


def classifier(
    name: str,
    *,
    summary: str = "",
    classes: Sequence[str] = (),
    example: str | None = None,
    max_chars: int | None = None,
    unit_items: int = UNIT_ITEMS,
    batch_items: int = 64,
    needs: Needs | None = None,
    memory_bytes: int = 0,
) -> Callable[[F], F]:
    """Return a decorator that makes the model `name` of a function: it labels texts.

    The function takes a text and gives a `Label` or a str, or takes a list of up to `batch_items`
    texts and gives a list of as many. Without `summary` the docstring's first line is taken. A text
    longer than `max_chars` is cut to it, and its result says so. `classes` are the labels there
    are, where they are known: a return type of `Literal` says them, too. `example` is run once when
    a worker starts. `memory_bytes` is what the model takes; without it that is measured. Raises
    PluginFault for a function of another form.
    """
    check_called(name, "classifier")
    if isinstance(classes, str):
        raise PluginFault(f'`classes` is {classes!r}. Write a list: ["{classes}"].')
    options = FunctionOptions(unit_items, batch_items, max_chars)

    def decorate(function: F) -> F:
        done = classify_function(function, options)
        labels = tuple(classes) or labels_of(done.signature)
        about = About(
            name, summary or summary_of(function), needs or Needs(), labels, example, memory_bytes
        )
        return mark(function, _model_of(function, {"classify": done}, {"classify": options}, about))

    return decorate


def generator(
    name: str,
    *,
    summary: str = "",
    example: str | None = None,
    unit_items: int = 32,
    batch_items: int = 16,
    bound: OutputBound | None = None,
    needs: Needs | None = None,
    memory_bytes: int = 0,
) -> Callable[[F], F]:
    """Return a decorator that makes the model `name` of a function: it continues prompts.

    The function takes a prompt and gives a str, or yields its parts, which clients get as they
    come; or it takes a list of prompts and gives a list. A parameter `length` is the characters
    that a text is cut to. One that is annotated `Random` gets a random stream: the model then has
    the parameters `seed` and `samples` too. For the rest see `classifier`.
    """
    check_called(name, "generator")
    options = FunctionOptions(unit_items, batch_items, bound=bound)

    def decorate(function: F) -> F:
        done = generate_function(function, options)
        about = About(
            name, summary or summary_of(function), needs or Needs(), (), example, memory_bytes
        )
        return mark(function, _model_of(function, {"generate": done}, {"generate": options}, about))

    return decorate


def task(
    name: str,
    *,
    model: str | None = None,
    summary: str = "",
    example: str | None = None,
    unit_items: int = UNIT_ITEMS,
    batch_items: int = 64,
    allows_empty: bool = False,
    bound: OutputBound | None = None,
    needs: Needs | None = None,
    memory_bytes: int = 0,
) -> Callable[[F], F]:
    """Return a decorator that makes a task `name` of a function or of a method.

    Of a function with `model`, the name of the model that does it. In a class that is decorated by
    `model(...)` it stands above a method. It takes a text, or a record: a pydantic model; and gives
    a pydantic model, such as `Embedding`; or lists of them. One that gives a str, or yields parts
    of it, has the output `Text`. For the rest see `classifier`.
    """
    check_called(name, "task")

    def decorate(function: F) -> F:
        said = summary or summary_of(function)
        options = FunctionOptions(unit_items, batch_items, None, bound, said, allows_empty)
        if model is None:
            vars(function)[TASK_MARK] = (name, options)
            return function
        done = run_function(function, options)
        about = About(model, said, needs or Needs(), (), example, memory_bytes)
        return mark(function, _model_of(function, {name: done}, {name: options}, about))

    return decorate


def check_called(name: object, decorator: str) -> None:
    """Raise PluginFault where a decorator stands without its parentheses, or without a name."""
    if not isinstance(name, str):
        what = getattr(name, "__qualname__", repr(name)[:80])
        raise PluginFault(
            f"@{decorator} stands above {what} without a name. Write "
            f'@{decorator}("{getattr(name, "__name__", "name").lower()}").'
        )


#: Attribute of a method that does a task of its own.
TASK_MARK: Final = "__seqd_task__"


def classify_function(
    function: Callable[..., object], options: FunctionOptions, own_class: type | None = None
) -> TaskFunction:
    """Return a classifying function or method as it is called. Raises PluginFault."""
    signature = _signature_of(function, own_class)
    _check_text(signature, "classifier")
    for one in choices_of(_given_of(signature)):
        if one not in (Label, str, BadItem) and get_origin(one) is not Literal:
            raise PluginFault(
                f"{signature.where} gives {in_words(signature.given)}. A classifier of "
                f"{in_words(signature.taken.annotation)} gives {_due(signature, 'Label')}."
            )
    _check_yields(signature, function, yields=False)
    return TaskFunction(
        function,
        signature,
        Classification,
        batch_items=options.batch_items,
        max_chars=options.max_chars,
    )


def generate_function(
    function: Callable[..., object], options: FunctionOptions, own_class: type | None = None
) -> TaskFunction:
    """Return a generating function or method as it is called. Raises PluginFault."""
    signature = _signature_of(function, own_class, {"samples": _SAMPLES})
    _check_text(signature, "generator")
    yields = not signature.taken.is_list and elements_of(signature.given) is str
    for one in choices_of(str if yields else _given_of(signature)):
        if one not in (str, BadItem):
            raise PluginFault(
                f"{signature.where} gives {in_words(signature.given)}. A generator of "
                f"{in_words(signature.taken.annotation)} gives {_due(signature, 'str')}"
                f"{'' if signature.taken.is_list else ', or yields: Iterator[str]'}."
            )
    _check_yields(signature, function, yields=yields)
    return TaskFunction(function, signature, Generation, yields, batch_items=options.batch_items)


def run_function(
    function: Callable[..., object], options: FunctionOptions, own_class: type | None = None
) -> TaskFunction:
    """Return a function or method of a task of its own as it is called. Raises PluginFault."""
    signature = _signature_of(function, own_class)
    check_taken(signature)
    yields = not signature.taken.is_list and elements_of(signature.given) is str
    given = str if yields else _given_of(signature)
    kinds = [one for one in choices_of(given) if one is not BadItem]
    output = Text if kinds == [str] else kinds[0]
    if len(kinds) != 1 or not (isinstance(output, type) and issubclass(output, BaseModel)):
        raise PluginFault(
            f"{signature.where} gives {in_words(signature.given)}. A task of "
            f"{in_words(signature.taken.annotation)} gives {_due(signature, 'a pydantic model')}, "
            "such as seqd.plugin.Embedding, or str."
        )
    _check_yields(signature, function, yields=yields)
    return TaskFunction(function, signature, output, yields, batch_items=options.batch_items)


def task_spec(name: str, done: TaskFunction, options: FunctionOptions) -> TaskSpec:
    """Return a task's description."""
    parameters = done.signature.parameters
    if done.gives in (Classification, Generation):
        bound = options.bound
        if bound is None and done.gives is Generation:
            bound = _bound_of(parameters)
        return TaskSpec(parameters, options.unit_items, bound=bound)
    record = done.signature.taken.kind
    return TaskSpec(
        parameters,
        options.unit_items,
        output=done.gives,
        input=None if record is str else record,
        bound=options.bound,
        summary=options.summary,
        allows_empty=options.allows_empty,
    )


def labels_of(signature: Signature) -> tuple[str, ...]:
    """Return the labels that a return type names by `Literal`; none where it names none."""
    found = [one for one in choices_of(_given_of(signature)) if get_origin(one) is Literal]
    return tuple(str(label) for one in found for label in get_args(one))


def _signature_of(
    function: Callable[..., object],
    own_class: type | None,
    more: Mapping[str, tuple[object, FieldInfo]] | None = None,
) -> Signature:
    found = read_signature(function, is_method=own_class is not None, own_class=own_class)
    if more and found.gift_of(Random) is not None:
        return read_signature(
            function, is_method=own_class is not None, own_class=own_class, more=more
        )
    return found


def _check_text(signature: Signature, what: str) -> None:
    check_taken(signature)
    if signature.taken.kind is not str:
        raise PluginFault(
            f"{signature.where} takes {in_words(signature.taken.annotation)}. A {what} takes a "
            "text: str, or list[str]. A record is what a task of its own takes: "
            "`@task(...)`."
        )


def _check_yields(signature: Signature, function: Callable[..., object], *, yields: bool) -> None:
    """Raise PluginFault where a function of one text yields, and says that it returns."""
    is_series = yields or signature.taken.is_list
    if not is_series and inspect.isgeneratorfunction(inspect.unwrap(function)):
        raise PluginFault(
            f"{signature.where} has a `yield`, and gives {in_words(signature.given)}. Parts of a "
            "text are yielded by `-> Iterator[str]`; else write `return`."
        )


def _given_of(signature: Signature) -> object:
    """Return what is given for one item: of a list that a function gives, what it holds."""
    if not signature.taken.is_list:
        return signature.given
    return elements_of(signature.given)


def _due(signature: Signature, one: str) -> str:
    return f"list[{one}]" if signature.taken.is_list else one


def _bound_of(parameters: type[PluginParameters]) -> OutputBound | None:
    fields = parameters.model_json_schema().get("properties", {})
    if fields.get("length", {}).get("type") != "integer":
        return None
    factors = [name for name in ("length", "samples") if name in fields]
    return OutputBound(factors=tuple(factors), max_characters=MAX_TEXT_CHARS)


class FunctionModel(Model):
    """A model that functions do. It is not trained: its version 0 is the code."""

    functions: ClassVar[Mapping[str, TaskFunction]]
    about: ClassVar[About]

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        """Return the functions, ready to be called."""
        return LoadedFunctions(self.functions, self.about, device)


def _model_of(
    function: Callable[..., object],
    functions: Mapping[str, TaskFunction],
    options: Mapping[str, FunctionOptions],
    about: About,
) -> Model:
    """Return a model whose class is of the function's module, where its starter would lie."""
    kind = type(
        f"{function.__name__}_model",
        (FunctionModel,),
        {
            "__module__": function.__module__,
            "__doc__": about.summary,
            "name": about.name,
            "summary": about.summary,
            "tasks": {
                name: task_spec(name, done, options[name]) for name, done in functions.items()
            },
            "needs": about.needs,
            "functions": functions,
            "about": about,
        },
    )
    return cast("Model", kind())

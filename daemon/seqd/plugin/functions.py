"""Decorators that make a model of a function: `classifier`, `generator` and `task`.

Each leaves the function as it is and notes the model on it, where the plugin host finds it.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

from seqd.errors import PluginFault
from seqd.hookspecs import Needs, PluginParameters, TaskSpec, WorkItem
from seqd.plugin.decorated import About, DecoratedModel, mark
from seqd.plugin.running import MAX_TEXT_CHARS, BadItem, Label, TaskFunction
from seqd.plugin.signatures import (
    Signature,
    check_taken,
    choices_of,
    elements_of,
    in_words,
    read_signature,
    summary_of,
)
from seqd_schemas import Classification, Generation, ItemError, OutputBound, Text

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
    about = About(name, summary, needs or Needs(), tuple(classes), example, memory_bytes)
    return _decorating("classify", about, FunctionOptions(unit_items, batch_items, max_chars))


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
    about = About(name, summary, needs or Needs(), (), example, memory_bytes)
    return _decorating("generate", about, FunctionOptions(unit_items, batch_items, bound=bound))


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

    A function needs `model`, the name of the model that does the task. In a class under
    `model(...)` it stands above a method. It takes a text, or a record: a pydantic model. It gives
    a pydantic model, such as `Embedding`. Or it takes and gives lists of them. One that gives a
    str, or yields parts of it, has the output `Text`. Above a method `classify` or `generate` it
    says what that is called with. For the rest see `classifier`.
    """
    check_called(name, "task")
    options = FunctionOptions(unit_items, batch_items, None, bound, summary, allows_empty)
    if model is not None:
        about = About(model, summary, needs or Needs(), (), example, memory_bytes)
        return _decorating(name, about, options)

    def decorate(method: F) -> F:
        vars(method)[TASK_MARK] = (name, options)
        return method

    return decorate


def _decorating(task: str, about: About, options: FunctionOptions) -> Callable[[F], F]:
    """Return a decorator that makes a model of a function that does one task."""

    def decorate(function: F) -> F:
        done = task_function(task, function, options)
        said = replace(
            about,
            summary=about.summary or summary_of(function),
            classes=about.classes or labels_of(done.signature),
        )
        return mark(function, DecoratedModel, said, {task: done})

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


def task_function(
    task: str,
    function: Callable[..., object],
    options: FunctionOptions,
    own_class: type | None = None,
) -> TaskFunction:
    """Return a function, or a method of a class, as a task calls it. Raises PluginFault."""
    chance = {"samples": _SAMPLES} if task == "generate" else {}
    signature = read_signature(function, own_class, with_chance=chance)
    check_taken(signature)
    what, due = _FORMS.get(task, ("task", "a pydantic model"))
    taken = signature.taken
    if what != "task" and taken.kind not in (str, WorkItem):
        raise PluginFault(
            f"{signature.where} takes {in_words(taken.annotation)}. A {what} takes a text: str, or "
            "list[str]. A record is what a task of its own takes: `@task(...)`."
        )
    yields = what != "classifier" and not taken.is_list and elements_of(signature.given) is str
    given = str if yields else _given_of(signature)
    output = _output_of_items(task, given) if taken.kind is WorkItem else _output_of(what, given)
    if taken.kind is WorkItem:
        due = f"{getattr(_OUTCOMES.get(task), '__name__', 'Embedding')} | ItemError"
    if output is None:
        or_else = {"task": ", such as seqd.plugin.Embedding, or str"}.get(what, "")
        if what == "generator" and not taken.is_list:
            or_else = ", or yields: Iterator[str]"
        raise PluginFault(
            f"{signature.where} gives {in_words(signature.given)}. A {what} of "
            f"{in_words(taken.annotation)} gives {f'list[{due}]' if taken.is_list else due}"
            f"{or_else}."
        )
    if not (yields or taken.is_list) and inspect.isgeneratorfunction(inspect.unwrap(function)):
        raise PluginFault(
            f"{signature.where} has a `yield`, and gives {in_words(signature.given)}. Parts of a "
            "text are yielded by `-> Iterator[str]`; else write `return`."
        )
    return TaskFunction(
        call=function,
        signature=signature,
        spec=_spec_of(function, signature, output, options),
        gives=output,
        yields=yields,
        batch_items=options.batch_items,
        max_chars=options.max_chars if task == "classify" else None,
    )


#: Of the tasks that have a decorator of their own: who does it, and what it gives.
_FORMS: Final = {"classify": ("classifier", "Label"), "generate": ("generator", "str")}


def _output_of(what: str, given: object) -> type[BaseModel] | None:
    """Return what becomes of what is given for one item; None where a task gives no such thing."""
    kinds = [one for one in choices_of(given) if one is not BadItem]
    if what == "classifier":
        is_due = all(one in (Label, str) or get_origin(one) is Literal for one in kinds)
        return Classification if is_due else None
    if kinds == [str]:
        return Generation if what == "generator" else Text
    if what != "task" or len(kinds) != 1:
        return None
    (kind,) = kinds
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


#: What the contract has for one item of these tasks.
_OUTCOMES: Final = {"classify": Classification, "generate": Generation}


def _output_of_items(task: str, given: object) -> type[BaseModel] | None:
    """Return what a function of items gives for one; None where it is not what the contract has."""
    kinds = [one for one in choices_of(given) if one not in (BadItem, ItemError)]
    if len(kinds) != 1 or not isinstance(kinds[0], type) or not issubclass(kinds[0], BaseModel):
        return None
    return kinds[0] if kinds[0] is _OUTCOMES.get(task, kinds[0]) else None


def _spec_of(
    function: Callable[..., object],
    signature: Signature,
    output: type[BaseModel],
    options: FunctionOptions,
) -> TaskSpec:
    parameters = signature.parameters
    if output in (Classification, Generation):
        usual = _bound_of(parameters) if output is Generation else None
        return TaskSpec(parameters, options.unit_items, bound=options.bound or usual)
    record = signature.taken.kind
    return TaskSpec(
        parameters,
        options.unit_items,
        output=output,
        input=None if record in (str, WorkItem) else record,
        bound=options.bound,
        summary=options.summary or summary_of(function),
        allows_empty=options.allows_empty,
    )


def labels_of(signature: Signature) -> tuple[str, ...]:
    """Return the labels that a return type names by `Literal`; none where it names none."""
    found = [one for one in choices_of(_given_of(signature)) if get_origin(one) is Literal]
    return tuple(str(label) for one in found for label in get_args(one))


def _given_of(signature: Signature) -> object:
    """Return what is given for one item: of a list that a function gives, what it holds."""
    if not signature.taken.is_list:
        return signature.given
    return elements_of(signature.given)


def _bound_of(parameters: type[PluginParameters]) -> OutputBound | None:
    fields = parameters.model_json_schema().get("properties", {})
    if fields.get("length", {}).get("type") != "integer":
        return None
    factors = [name for name in ("length", "samples") if name in fields]
    return OutputBound(factors=tuple(factors), max_characters=MAX_TEXT_CHARS)

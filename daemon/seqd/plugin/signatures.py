"""Reads a function's signature: what it takes and gives, and the parameters that it makes.

A parameter's type and default come from the signature, its bounds from `Annotated`, and its
description from the docstring: a line `word: What counts as a greeting.`, also under `Args:` or as
`:param word:`. Or one parameter, annotated with a class of parameters, gets them all.
"""

import copy
import inspect
import re
import types
import typing
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import (
    TYPE_CHECKING,
    Annotated,
    Final,
    Literal,
    TypeAlias,
    Union,
    cast,
    get_args,
    get_origin,
)

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic.fields import FieldInfo
from pydantic_core import SchemaError

from seqd.errors import PluginFault, all_told, schema_fault
from seqd.hookspecs import Device, PluginParameters, RunContext, WorkItem

if TYPE_CHECKING:
    import numpy as np

    Random: TypeAlias = np.random.Generator
else:

    class Random:
        """Annotates a parameter that gets the random stream of its item: a NumPy `Generator`.

        The function then has a parameter `seed`, and the same seed gives the same outcome.
        """


#: Bounds of parameters that state none: what the wire needs, and no model minds.
INT_BOUNDS: Final = (-(2**31), 2**31 - 1)
FLOAT_BOUNDS: Final = (-1e9, 1e9)
TEXT_BOUNDS: Final = StringConstraints(max_length=1_000)
MAX_ELEMENTS: Final = 100

#: Bounds of a parameter `length`, which is what a generator's texts are cut to, in characters.
LENGTH_BOUNDS: Final = Field(ge=1, le=100_000)

#: What a run may be given besides its text, by the type that asks for it.
RUN_GIFTS: Final = (RunContext, Device, Random)

#: A parameter of all that takes chance.
SEED: Final = (
    Annotated[int, Field(ge=0, le=2**32 - 1)],
    cast("FieldInfo", Field(default=0, description="Same seed, same texts: same outcomes.")),
)

_LISTS: Final = (list, tuple, Sequence)
_SERIES: Final = (*_LISTS, Iterable, Iterator, Generator)

_ALLOWED: Final = "bool, int, float, str, Literal, and lists of these"


class FunctionParameters(PluginParameters):
    """Base of parameters that were read from a signature: they may be called `model_…`."""

    model_config = ConfigDict(protected_namespaces=())


@dataclass(frozen=True, slots=True)
class Taken:
    """The first parameter: one text or record, or a list of them, or of a call's items."""

    name: str
    #: `str`, the class of a record, or `WorkItem`.
    kind: type
    is_list: bool
    #: The annotation itself, for messages and for what a training takes.
    annotation: object


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and gives."""

    #: Such as `seqd_hello.hello`, for messages.
    where: str
    taken: Taken
    #: What is given for one item, with `list[…]` taken off where the function takes a list.
    given: object
    parameters: type[PluginParameters]
    #: Names of its parameters that are of `parameters`, or of the one that gets them all.
    names: tuple[str, ...]
    #: Parameters that the wrapper fills, by name, with the type that asks for it.
    gifts: Mapping[str, object]
    #: True where one parameter gets them all.
    takes_class: bool = False

    def values_of(self, parameters: BaseModel) -> dict[str, object]:
        """Return the function's own parameters by name, as it is called with them: copies.

        One that gets them all gets the object itself, which is frozen.
        """
        if self.takes_class:
            return dict.fromkeys(self.names, parameters)
        return copy.deepcopy({name: getattr(parameters, name) for name in self.names})


def read_signature(
    function: Callable[..., object],
    own_class: type | None = None,
    *,
    gifts: Sequence[object] = RUN_GIFTS,
    named_gifts: Sequence[str] = (),
    with_chance: Mapping[str, tuple[object, FieldInfo]] | None = None,
) -> Signature:
    """Return what a function takes and gives. Raises PluginFault, which says what to change.

    It is a method where it has an `own_class`. `gifts` are the types that its parameters may ask
    for, `named_gifts` names that are filled too. One with a Random has the parameter `seed` and
    those of `with_chance`, unless it has declared them itself.
    """
    if inspect.isclass(function) or not hasattr(function, "__qualname__"):
        raise PluginFault(
            f"{in_words(function)} is decorated as a function, and is none. Write `def`; above a "
            "class: @model."
        )
    where = f"{function.__module__}.{function.__qualname__}"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise PluginFault(f"{where} is `async`. A plugin's functions are called one by one: `def`.")
    hints = _hints(function, where, own_class)
    first, rest = _declared(function, where, is_method=own_class is not None)
    given: dict[str, object] = {}
    for one in rest:
        hint = hints.get(one.name)
        gift = next((kind for kind in gifts if kind in choices_of(hint)), None)
        if gift is not None or one.name in named_gifts:
            given[one.name] = gift if gift is not None else hint
    taken, returned = _taken(first, hints.get(first.name)), hints.get("return")
    classes = {one.name: hints.get(one.name) for one in rest if _is_class(hints.get(one.name))}
    if classes:
        own = _only(classes, [one.name for one in rest if one.name not in given], where)
        return Signature(where, taken, returned, own, tuple(classes), given, takes_class=True)
    usual = {"seed": SEED, **(with_chance or {})} if Random in given.values() else {}
    doc = inspect.getdoc(function) or ""
    fields, faults = dict[str, object](), list[str]()
    for one in rest:
        try:
            _check_form(one)
            if one.name not in given:
                hint = hints.get(one.name)
                if one.name in usual and hint is not None:
                    hint = _number(hint, one.name, usual[one.name][0])
                fields[one.name] = _field(one, hint, doc)
        except PluginFault as fault:
            faults.append(str(fault))
    if faults:
        raise PluginFault(f"{where}: {all_told(faults)}")
    model = create_model(  # type: ignore[call-overload]
        f"{_title(function.__qualname__)}Parameters",
        __base__=FunctionParameters,
        __module__=function.__module__,
        __doc__=f"Parameters of {where}.",
        **{**fields, **{name: one for name, one in usual.items() if name not in fields}},
    )
    return Signature(where, taken, returned, model, tuple(fields), given)


def _is_class(hint: object) -> bool:
    """Return whether an annotation is a class of parameters."""
    return isinstance(hint, type) and issubclass(hint, PluginParameters)


def _only(
    classes: Mapping[str, object], names: Sequence[str], where: str
) -> type[PluginParameters]:
    """Return the one class of parameters. Raises PluginFault where there are others beside it."""
    if len(names) > 1:
        raise PluginFault(
            f"{where} takes {', '.join(names)}. A class of parameters has them all: write its "
            f"fields into it, and take `{next(iter(classes))}` alone."
        )
    return cast("type[PluginParameters]", classes[names[0]])


def _declared(
    function: Callable[..., object], where: str, *, is_method: bool
) -> tuple[inspect.Parameter, list[inspect.Parameter]]:
    """Return what a function works on, and its other parameters. Raises PluginFault."""
    declared = list(inspect.signature(function).parameters.values())[1 if is_method else 0 :]
    if not declared:
        raise PluginFault(f"{where} takes nothing. Its first parameter is what it works on.")
    first, *rest = declared
    if first.kind not in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
        raise PluginFault(
            f"{where}: its first parameter {first.name!r} is {first.kind.description}. It is what "
            f"the function works on, and given by its place: def {function.__name__}(text: str)."
        )
    for one in rest:
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            stars = "*" if one.kind is one.VAR_POSITIONAL else "**"
            raise PluginFault(
                f"{where} takes {stars}{one.name}. Declare each parameter by its name: clients see "
                "what there is."
            )
    return first, rest


def _number(hint: object, name: str, usual: object) -> object:
    """Return the type of a parameter that the wrapper reads, too: `usual` where it has no bounds.

    Raises PluginFault for what is no whole number.
    """
    if hint is int:
        return usual
    if get_origin(hint) is Annotated and get_args(hint)[0] is int:
        return hint
    raise PluginFault(
        f"parameter {name!r} is annotated {in_words(hint)}. Beside a Random it is an int: "
        f"write `{name}: int`, or another name."
    )


def elements_of(annotation: object, kinds: Sequence[object] = _SERIES) -> object | None:
    """Return what a list or an iterable holds, by its annotation; None where it is neither."""
    if get_origin(annotation) not in kinds:
        return None
    arguments = get_args(annotation)
    return arguments[0] if arguments else None


def choices_of(annotation: object) -> tuple[object, ...]:
    """Return the members of a union, or the annotation alone."""
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)


def in_words(annotation: object) -> str:
    """Return an annotation as its author wrote it, for messages."""
    if annotation is None:
        return "nothing"
    if annotation is type(None):
        return "None"
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation.__name__
    choices = choices_of(annotation)
    if len(choices) > 1:
        return " | ".join(map(in_words, choices))
    return str(annotation).replace("typing.", "").replace("collections.abc.", "")


def _hints(
    function: Callable[..., object], where: str, own_class: type | None
) -> dict[str, object]:
    names = {} if own_class is None else {own_class.__name__: own_class}
    try:
        return typing.get_type_hints(function, localns=names, include_extras=True)
    except NameError as error:
        raise PluginFault(
            f"{where}: its annotations cannot be read: {error}. Have the name at the top of the "
            "module, and not in a function or under `if TYPE_CHECKING:`."
        ) from None
    except TypeError as error:
        raise PluginFault(f"{where}: its annotations cannot be read: {error}.") from None


def _check_form(one: inspect.Parameter) -> None:
    if one.kind is one.POSITIONAL_ONLY:
        raise PluginFault(f"parameter {one.name!r} is given by name. Take the `/` away.")
    if one.name.startswith("_") or hasattr(BaseModel, one.name):
        raise PluginFault(
            f"no parameter can be called {one.name!r}. Choose another name; allowed: letters, "
            "digits and underscores, a letter in front, and no method of a pydantic model."
        )


def _taken(one: inspect.Parameter, hint: object) -> Taken:
    element = elements_of(hint, _LISTS)
    kind = hint if element is None else element
    is_item = kind is WorkItem and element is not None
    if isinstance(kind, type) and (kind is str or is_item or issubclass(kind, BaseModel)):
        return Taken(one.name, kind, element is not None, hint)
    return Taken(one.name, type(None), False, hint)


def check_taken(signature: Signature) -> None:
    """Raise PluginFault unless a function takes a text, a record, or a list of them."""
    taken = signature.taken
    if taken.kind is type(None):
        raise PluginFault(
            f"{signature.where}: its first parameter {taken.name!r} is "
            f"{_annotated(taken.annotation)}. Allowed: str, a pydantic model, or a list of one of "
            f"them. Write `{taken.name}: str`."
        )
    if taken.is_list and Random in signature.gifts.values():
        raise PluginFault(
            f"{signature.where} takes a list and a Random. An outcome must not depend on what else "
            "is in the list, so a function with a Random takes one text: str."
        )


def _annotated(annotation: object) -> str:
    return "not annotated" if annotation is None else f"annotated {in_words(annotation)}"


def _field(one: inspect.Parameter, hint: object, doc: str) -> tuple[object, FieldInfo]:
    if hint is None:
        example = "str" if one.default is one.empty else type(one.default).__name__
        raise PluginFault(
            f"parameter {one.name!r} is not annotated. Write `{one.name}: {example}`; allowed: "
            f"{_ALLOWED}."
        )
    if one.name == "length" and hint is int:
        hint = Annotated[int, LENGTH_BOUNDS]
    bounded = _bounded(hint, f"parameter {one.name!r}")
    description = _described(hint) or description_of(one.name, doc)
    faults = list[str]()
    if not description:
        faults.append(
            f"parameter {one.name!r} has no description. Put a line into the docstring: "
            f"`{one.name}: What it does.`"
        )
    if isinstance(one.default, FieldInfo):
        faults.append(
            f"the default of parameter {one.name!r} is a Field. Bounds go to the type: "
            f"`{one.name}: Annotated[{in_words(hint)}, Field(...)] = ...`."
        )
    else:
        faults += _wrong_values(one, bounded)
    if faults:
        raise PluginFault(all_told(faults))
    if one.default is one.empty:
        return bounded, Field(description=description)
    return bounded, Field(default=one.default, description=description, validate_default=True)


def _wrong_values(one: inspect.Parameter, bounded: object) -> Iterator[str]:
    """Yield what pydantic would say of a type when the class is made, and of its default later."""
    try:
        adapter: TypeAdapter[object] = TypeAdapter(bounded)  # type: ignore[arg-type]
    except SchemaError as error:
        yield f"parameter {one.name!r}: {schema_fault(error)}."
        return
    try:
        if one.default is not one.empty:
            adapter.validate_python(one.default)
    except ValidationError as error:
        for fault in error.errors():
            said = f"{fault['input']!r:.80}: {fault['msg']}."
            yield f"the default of parameter {one.name!r} is {said}"


def _described(hint: object) -> str:
    """Return the description that a `Field` in an annotation has, also in a member of a union."""
    choices = choices_of(hint)
    if len(choices) > 1:
        return next(filter(None, map(_described, choices)), "")
    found = (one.description for one in get_args(hint)[1:] if isinstance(one, FieldInfo))
    return next(filter(None, found), "")


#: A line of a docstring that begins what is said of a parameter, or a section of it.
_ANY_PARAMETER: Final = re.compile(r"^\s*(?::\w+\s*)?\w+\s*(?:\([^)]*\))?\s*:(?:\s|$)")


def description_of(name: str, doc: str) -> str:
    """Return what a docstring says of a parameter: from `name:` to the next such line."""
    begins = re.compile(rf"^\s*(?::param\s+)?{re.escape(name)}\s*(?:\([^)]*\))?\s*:\s*(.*)$")
    lines = iter(doc.splitlines())
    found = next((match[1] for line in lines if (match := begins.match(line))), None)
    if found is None:
        return ""
    said = [found]
    for line in lines:
        if not line.strip() or _ANY_PARAMETER.match(line):
            break
        said.append(line)
    return " ".join(" ".join(said).split())


def summary_of(decorated: object) -> str:
    """Return the first line of a docstring; nothing where that is about a parameter."""
    lines = (inspect.getdoc(decorated) or "").splitlines()
    return "" if not lines or _ANY_PARAMETER.match(lines[0]) else lines[0].strip()


def _bounded(hint: object, where: str, stated: frozenset[str] = frozenset()) -> object:
    """Return a type with bounds, its own or those above. Raises PluginFault for what has none.

    `stated` are the sides, `low` and `high`, for which the annotation around it has bounds.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        base, *metadata = arguments
        inner = _bounded(base, where, stated | _sides_of(metadata))
        own = get_args(inner)[1:] if get_origin(inner) is Annotated else ()
        plain = get_args(inner)[0] if own else inner
        return Annotated[(plain, *own, *metadata)]
    if len(choices := choices_of(hint)) > 1:
        return Union[tuple(_bounded(one, where, stated) for one in choices)]  # noqa: UP007
    if origin is tuple and arguments[1:] != (...,):
        raise PluginFault(
            f"{where} is annotated {in_words(hint)}, a tuple of so many. Write `list[int]`, or a "
            "parameter for each."
        )
    if origin in _LISTS and arguments:
        element = _bounded(arguments[0], where)
        kind = list[element] if origin is list else tuple[element, ...]  # type: ignore[valid-type]
        return Annotated[kind, Field(max_length=MAX_ELEMENTS)]
    return _bounded_scalar(hint, where, stated)


def _sides_of(metadata: Iterable[object]) -> frozenset[str]:
    """Return on which sides the metadata of an annotation bound a number."""
    found: set[str] = set()
    for one in metadata:
        if isinstance(one, FieldInfo):
            found |= _sides_of(one.metadata)
        for side, names in _BOUNDS.items():
            if any(getattr(one, name, None) is not None for name in names):
                found.add(side)
    return frozenset(found)


#: What bounds of `annotated_types`, of which those of a `Field` are made, are called.
_BOUNDS: Final = {"low": ("gt", "ge"), "high": ("lt", "le")}


def _bounded_scalar(hint: object, where: str, stated: frozenset[str]) -> object:
    if hint in (int, float):
        low, high = INT_BOUNDS if hint is int else FLOAT_BOUNDS
        bounds = Field(
            ge=None if "low" in stated else low,
            le=None if "high" in stated else high,
            allow_inf_nan=False if hint is float else None,
        )
        return Annotated[hint, bounds]
    if hint is str:
        return Annotated[str, TEXT_BOUNDS]
    is_enum = isinstance(hint, type) and issubclass(hint, Enum)
    if hint in (bool, type(None)) or get_origin(hint) is Literal or is_enum:
        return hint
    raise PluginFault(
        f"{where} is {_annotated(hint)}, which no parameter can be. Allowed: {_ALLOWED}; a record "
        "of several values is the first parameter."
    )


def _title(qualname: str) -> str:
    words = re.split(r"[^A-Za-z0-9]+", qualname.replace("<locals>", ""))
    return "".join(word[:1].upper() + word[1:] for word in words if word)

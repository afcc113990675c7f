"""Methods that two faces have, stated once: one that blocks, and one of asyncio.

A base class says what a method does as an exchange (`call`) or as a `reading`, with its
parameters and its docstring. A class that is `Blocking` or `Awaiting` beside it gets a function for
each of them. The descriptors are for type checkers, which see what a face returns.
"""

import inspect
import re
from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import Parameter
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    ForwardRef,
    Generic,
    ParamSpec,
    TypeVar,
    Unpack,
    get_args,
    get_origin,
    overload,
)

from seqd.ledger.exchange import Exchange, Reading

if TYPE_CHECKING:
    from seqd.ledger.async_transport import AsyncStream, AsyncTransport
    from seqd.ledger.transport import Stream, Transport

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")
V = TypeVar("V")

_Function = Callable[..., object]
F = TypeVar("F", bound=_Function)


class Blocking:
    """A face whose calls block, and whose readings are iterators."""

    _transport: "Transport"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, method in _methods_of(cls):
            setattr(cls, name, _shown(cls, name, method, _blocking(method), "Stream"))
        _unfold_options(cls)


class Awaiting:
    """A face whose calls are coroutines, and whose readings are asynchronous iterators."""

    _transport: "AsyncTransport"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, method in _methods_of(cls):
            setattr(cls, name, _shown(cls, name, method, _awaiting(method), "AsyncStream"))
        _unfold_options(cls)


class call(Generic[S, P, T]):  # noqa: N801 - a decorator
    """A method of both faces that returns what an exchange does."""

    def __init__(self, steps: Callable[Concatenate[S, P], Exchange[T]]) -> None:
        self.steps = steps

    @overload
    def __get__(self, face: Blocking, owner: type) -> Callable[P, T]: ...

    @overload
    def __get__(self, face: Awaiting, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __get__(self, face: object, owner: type) -> object:
        """Return the method of a face, by its type: each has a function in the place of this."""
        raise AttributeError(f"{owner.__qualname__} is no face: a subclass of it has the method")


class reading(Generic[S, P, V]):  # noqa: N801 - a decorator
    """A method of both faces that gives what a reading does."""

    def __init__(self, steps: Callable[Concatenate[S, P], Reading[V]]) -> None:
        self.steps = steps

    @overload
    def __get__(self, face: Blocking, owner: type) -> "Callable[P, Stream[V]]": ...

    @overload
    def __get__(self, face: Awaiting, owner: type) -> "Callable[P, AsyncStream[V]]": ...

    def __get__(self, face: object, owner: type) -> object:
        """Return the method of a face, by its type: each has a function in the place of this."""
        raise AttributeError(f"{owner.__qualname__} is no face: a subclass of it has the method")


def told_as(other: _Function) -> Callable[[F], F]:
    """Give a method the docstring of the other face's, where both have a body of their own.

    The first line of it stands there, too, for editors that read the source alone.
    """

    def told(function: F) -> F:
        function.__doc__ = other.__doc__
        return function

    return told


_Method = call[Any, Any, Any] | reading[Any, Any, Any]


def _methods_of(face: type) -> list[tuple[str, _Method]]:
    """Return the methods of a face that no class of its own states."""
    found = ((name, inspect.getattr_static(face, name)) for name in dir(face))
    return [(name, method) for name, method in found if isinstance(method, call | reading)]


def _blocking(method: _Method) -> _Function:
    steps = method.steps
    if isinstance(method, reading):
        return lambda face, *args, **named: face._transport.read(steps(_of(face), *args, **named))
    return lambda face, *args, **named: face._transport.run(steps(_of(face), *args, **named))


def _awaiting(method: _Method) -> _Function:
    if isinstance(method, reading):
        return _blocking(method)  # it gives an iterator at once, which is asynchronous
    steps = method.steps

    async def awaited(face: Awaiting, *args: Any, **named: Any) -> object:
        return await face._transport.run(steps(_of(face), *args, **named))

    return awaited


def _of(face: Any) -> object:
    """Return what the steps of a face's methods are methods of: a handle's `steps`, or the face."""
    return face.steps if getattr(face, "has_steps", False) else face


def _shown(face: type, name: str, method: _Method, made: _Function, iterator: str) -> _Function:
    """Give a function the name, the docstring and the signature that people read."""
    wraps(method.steps)(made)
    made.__qualname__ = f"{face.__qualname__}.{name}"
    signature = inspect.signature(method.steps)
    # `Exchange[JobRecord]` and `Reading[Event]`, as they are written there, in quotes.
    inner = re.sub(r"^\w+\[(.*)\]$", r"\1", str(signature.return_annotation))
    returned = f"{iterator}[{inner}]" if isinstance(method, reading) else inner
    made.__signature__ = signature.replace(return_annotation=returned)  # type: ignore[attr-defined]
    return made


class _LeftOut:
    """Stands for what an option is when it is left out."""

    def __repr__(self) -> str:
        return "..."


_LEFT_OUT = _LeftOut()


def _unfold_options(face: type) -> None:
    """Have methods show the options of a TypedDict one by one: callers give them by name."""
    for method in filter(inspect.isfunction, vars(face).values()):
        hints: list[object] = [*method.__annotations__.values()]
        if any(get_origin(hint) is Unpack for hint in hints):
            signature = inspect.signature(method)
            parts = [one for part in signature.parameters.values() for one in _unfolded(part)]
            method.__signature__ = signature.replace(parameters=parts)  # type: ignore[attr-defined]


def _unfolded(part: Parameter) -> list[Parameter]:
    """Return a parameter, or the options in its place."""
    if get_origin(part.annotation) is not Unpack:
        return [part]
    (options,) = get_args(part.annotation)
    return [
        Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=_LEFT_OUT,
            # As it is written.
            annotation=hint.__forward_arg__ if isinstance(hint, ForwardRef) else hint,
        )
        for name, hint in options.__annotations__.items()
    ]

"""Exchanges with Redis without a connection: requests as data, replies as values.

What a part of the ledger does is a generator: it yields requests, is sent the reply to each, and
returns what came of them. It sends nothing itself: a `Transport` runs it over a connection that
blocks, an `AsyncTransport` over those of asyncio, so both faces of the client share all of it.

A `Reading` is an exchange that gives values on its way, such as the results of a job.
"""

from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from seqd.errors import RedisNoPermission
from seqd_schemas import Keys

if TYPE_CHECKING:
    from seqd.settings import Settings

#: Seconds after which whoever waits looks at its job, also where nothing was heard of it.
LOOK_S = 2.0

Argument = str | int | float | bytes
Reply = bytes | int | list["Reply"]

#: An entry of a stream: its id and its fields.
StreamEntry = tuple[bytes, dict[bytes, bytes]]

#: Fields that one step of a scan reads.
SCAN_COUNT = 1_000

#: The latest moment that records can have, in milliseconds.
_LATEST_MS = 2**53


def entry_ms(entry_id: bytes) -> int:
    """Return when an entry of a stream was added, by its id, but no later than records can have.

    Whoever adds an entry may give it any id, and Redis gives later ones an id behind that.
    """
    return min(int(entry_id.partition(b"-")[0]), _LATEST_MS)


def stream_order(stream_id: str) -> tuple[int, int]:
    """Return the sort key of a stream id."""
    milliseconds, _, number = stream_id.partition("-")
    return int(milliseconds), int(number or 0)


class Command(tuple[Argument, ...]):
    """One command of Redis, word by word; its reply is what redis-py makes of it."""

    #: What redis-py is told of how to read the reply.
    options: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands in one round trip, without a transaction; the reply is the list of theirs.

    Unless it `raises`, an error stands in the place of its reply.
    """

    commands: tuple[Command, ...]
    raises: bool = True


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """A call of `lua/NAME.lua`; the reply is a `Reply`."""

    name: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Listen:
    """Wait for entries of streams, each behind an id; the reply is what was `Heard`.

    Not longer than `wait_s`, nor than `LOOK_S`, and not at all for 0.
    """

    streams: Mapping[str, str]
    wait_s: float
    count: int = 500


#: New entries by stream; one without any is left out.
Heard = dict[str, list[StreamEntry]]


class Signal:
    """Wakes those that wait on it (`Until`), threads or tasks."""

    __slots__ = ("__weakref__", "_wakes")

    def __init__(self) -> None:
        self._wakes = set[Callable[[], None]]()

    def notify_all(self) -> None:
        """Have all of them look again."""
        for wake in tuple(self._wakes):
            wake()

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` at each signal during the block."""
        self._wakes.add(wake)
        try:
            yield
        finally:
            self._wakes.discard(wake)


@dataclass(frozen=True, slots=True)
class Until:
    """Wait until `holds` returns True, asked at first and after each signal; the reply is whether.

    Not longer than `timeout_s`, or for ever with None.
    """

    signal: Signal
    holds: Callable[[], bool]
    timeout_s: float | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for so many seconds; no reply."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Aside:
    """Call a function that blocks, aside from an event loop; the reply is what it returns."""

    function: "Callable[[], object]"


@dataclass(frozen=True, slots=True)
class Next:
    """Ask a source for its next value; the reply is that, or None at its end."""

    source: object


@dataclass(frozen=True, slots=True)
class Finish:
    """Close sources that are asked for nothing more, in this order; no reply.

    Who waits for the next value of one is told that there is none. Of one that is no asynchronous
    generator nothing is done.
    """

    sources: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Durable:
    """Wait until the server's disk has what was written; the reply is whether it has.

    See `seqd.ledger.redis.until_durable`.
    """

    keys: Keys
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Start:
    """Run an exchange beside this one; no reply."""

    exchange: "Exchange[None]"
    name: str
    #: True lets the program end before the exchange does.
    is_daemon: bool = False


Request = (
    Command
    | Pipeline
    | ScriptCall
    | Listen
    | Until
    | Pause
    | Aside
    | Durable
    | Next
    | Finish
    | Start
)

A = TypeVar("A")
T = TypeVar("T")
V = TypeVar("V")
W = TypeVar("W")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Give(Generic[V]):
    """Values that a `Reading` gives, in order; no reply. They may be made while they are taken."""

    values: Iterable[V]


Exchange = Generator[Request, object, T]
Reading = Generator[Request | Give[V], object, None]


def command(*words: Argument, **options: object) -> Exchange[object]:
    """Send one command; return its reply, as redis-py reads it with these options."""
    sent = Command(words)
    if options:
        sent.options = options
    return (yield sent)


def pipeline(commands: Iterable[Command], *, raises: bool = True) -> Exchange[list[object]]:
    """Send commands in one round trip, where there are any; return their replies."""
    sent = tuple(commands)
    return cast(list[object], (yield Pipeline(sent, raises))) if sent else []


def permitted(asked: Exchange[T], otherwise: T) -> Exchange[T]:
    """Return what an exchange returns; `otherwise` where the user lacks the right for it."""
    try:
        return (yield from asked)
    except RedisNoPermission:
        return otherwise


def listen(streams: Mapping[str, str], wait_s: float, count: int = 500) -> Exchange[Heard]:
    """Wait for entries of streams; return what was heard."""
    return cast(Heard, (yield Listen(streams, wait_s, count)))


def script(name: str, *arguments: Argument) -> Exchange[Reply]:
    """Call a script; return its reply."""
    return cast(Reply, (yield ScriptCall(name, arguments)))


def server_ms() -> Exchange[int]:
    """Return the time on the server's clock in milliseconds."""
    return ms_of((yield from command("TIME")))


def ms_of(time: object) -> int:
    """Return what TIME has replied, in milliseconds."""
    seconds, micros = cast(tuple[int, int], time)
    return seconds * 1000 + micros // 1000


def hash_fields(key: str, most: float = inf) -> Exchange[tuple[dict[bytes, bytes], bool]]:
    """Return the fields of a hash that may be large, and whether there may be more than `most`."""
    fields: dict[bytes, bytes] = {}
    cursor = 0
    while len(fields) < most:
        reply = yield from command("HSCAN", key, cursor, "COUNT", SCAN_COUNT)
        cursor, part = cast(tuple[int, dict[bytes, bytes]], reply)
        fields |= part
        if cursor == 0:
            return fields, False
    return fields, True


def open_jobs(
    keys: Keys, first: int, most: int, fields: Iterable[str]
) -> Exchange[list[tuple[str, list[bytes | None]]]]:
    """Return open jobs by age, from a place in their order, each with fields of its hash."""
    listed = yield from command("ZRANGE", keys.open_jobs(), first, first + most - 1)
    ids = [job_id.decode(errors="replace") for job_id in cast(list[bytes], listed)]
    rows = yield from pipeline(Command(("HMGET", keys.job(one), *fields)) for one in ids)
    return list(zip(ids, cast(list[list[bytes | None]], rows), strict=True))


class Driver(Protocol):
    """Runs exchanges over a connection that blocks."""

    def run(self, exchange: Exchange[T]) -> T:
        """Return what an exchange returns, and raise what it raises."""

    @property
    def look_s(self) -> float:
        """Seconds after which whoever waits looks at its job: `LOOK_S`, or more where many do."""


class Whole(Protocol):
    """What the parts of a ledger have in common."""

    driver: Driver
    keys: Keys
    settings: "Settings"
    #: The user as which the driver connects.
    redis_user: str


class Part:
    """A part of the ledger."""

    def __init__(self, ledger: Whole) -> None:
        self._ledger = ledger
        self._keys = ledger.keys
        #: What runs its exchanges when they are called.
        self.driver = ledger.driver


S = TypeVar("S", bound=Part)


class exchange(Generic[S, P, T]):  # noqa: N801 - a decorator
    """A method that is an exchange: called, it runs on the part's driver and blocks.

    `part.method.steps(…)` is the exchange itself, to be run by another driver or as a step of
    another exchange.
    """

    def __init__(self, steps: Callable[Concatenate[S, P], Exchange[T]]) -> None:
        self._steps = steps
        self.__doc__ = steps.__doc__

    @overload
    def __get__(self, part: None, owner: type) -> "exchange[S, P, T]": ...

    @overload
    def __get__(self, part: S, owner: type) -> "BoundExchange[S, P, T]": ...

    def __get__(self, part: S | None, owner: type) -> "exchange[S, P, T] | BoundExchange[S, P, T]":
        """Return the method of a part."""
        return self if part is None else BoundExchange(part, self._steps)


class BoundExchange(Generic[S, P, T]):
    """A method of a part of the ledger; see `exchange`."""

    __slots__ = ("_part", "_steps")

    def __init__(self, part: S, steps: Callable[Concatenate[S, P], Exchange[T]]) -> None:
        self._part = part
        self._steps = steps

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it, and return what it returns."""
        return self._part.driver.run(self._steps(self._part, *args, **kwargs))

    def steps(self, *args: P.args, **kwargs: P.kwargs) -> Exchange[T]:
        """Return the exchange, which has sent nothing yet."""
        return self._steps(self._part, *args, **kwargs)


def mapped(reading: Reading[V], change: Callable[[V], W]) -> Reading[W]:
    """Give what `change` makes of each value of a reading."""
    taken = Taken(reading)
    while (values := (yield from taken.take_some())) is not None:
        yield Give(map(change, values))


def flat_mapped(reading: Reading[V], change: Callable[[V], Iterable[W]]) -> Reading[W]:
    """Give all that `change` makes of each value of a reading."""
    taken = Taken(reading)
    while (values := (yield from taken.take_some())) is not None:
        yield Give(chain.from_iterable(map(change, values)))


class Taken(Generic[V]):
    """A reading whose values are taken on the way, by another one or by an iterator."""

    def __init__(self, reading: Reading[V]) -> None:
        self._reading = reading
        self._values: Iterator[V] = iter(())
        #: Ends the reading, of which nothing more is wanted.
        self.close = reading.close

    def take(self) -> Exchange[V | None]:
        """Return the next value; None at the end."""
        while True:
            for value in self._values:
                return value
            values = yield from self.take_some()
            if values is None:
                return None
            self._values = iter(values)

    def take_some(self) -> Exchange[Iterable[V] | None]:
        """Return the next values that are given together; None at the end."""
        try:
            asked = next(self._reading)
            while not isinstance(asked, Give):
                try:
                    reply = yield asked
                except BaseException as error:  # noqa: BLE001 - raised where it was asked
                    asked = self._reading.throw(error)
                else:
                    asked = self._reading.send(reply)
        except StopIteration:
            return None
        return asked.values


def run(generator: Generator[A, object, T], send: Callable[[A], object]) -> T:
    """Return what a generator returns, such as an exchange, that is sent what `send` answers.

    What `send` raises is raised where it was asked.
    """
    try:
        asked = next(generator)
        while True:
            try:
                reply = send(asked)
            except BaseException as error:  # noqa: BLE001 - raised where it was asked
                asked = generator.throw(error)
            else:
                asked = generator.send(reply)
    except StopIteration as end:
        return cast(T, end.value)


async def run_awaiting(
    generator: Generator[A, object, T], send: Callable[[A], Awaitable[object]]
) -> T:
    """Return what a generator returns that is sent what `send` answers when awaited; see `run`."""
    try:
        asked = next(generator)
        while True:
            try:
                reply = await send(asked)
            except BaseException as error:  # noqa: BLE001 - raised where it was asked
                asked = generator.throw(error)
            else:
                asked = generator.send(reply)
    except StopIteration as end:
        return cast(T, end.value)


def heard(request: Listen) -> Exchange[Heard]:
    """Return what is heard in one read."""
    # 0 would block for ever, and longer than the connection waits for an answer none may.
    block_ms = max(1, int(1000 * min(request.wait_s, LOOK_S)))
    block = ("BLOCK", block_ms) if request.wait_s > 0 else ()
    streams = (*request.streams, *request.streams.values())
    reply = yield from command("XREAD", *block, "COUNT", request.count, "STREAMS", *streams)
    found = cast(list[tuple[bytes, list[StreamEntry]]], reply or [])
    return {name.decode(): entries for name, entries in found}

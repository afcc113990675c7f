"""`Transport`: runs exchanges over a connection to Redis that blocks."""

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from math import inf
from threading import Event, Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Self, cast

from redis import Redis

from seqd.errors import REDIS_ERRORS, ClientMisused
from seqd.ledger.exchange import (
    LOOK_S,
    Aside,
    Command,
    Durable,
    Exchange,
    Finish,
    Listen,
    Next,
    Pause,
    Pipeline,
    Reading,
    Request,
    ScriptCall,
    Signal,
    Start,
    T,
    Taken,
    Until,
    V,
    heard,
    run,
)
from seqd.ledger.outage import waiting_unless
from seqd.ledger.redis import outage_of, redis_errors, until_durable
from seqd.ledger.scripts import script_steps

if TYPE_CHECKING:
    from seqd.ledger.redis import AnyRedis


class Stream(Iterator[V]):
    """What a reading gives, one value at a time, in the thread that asks.

    `close` ends it, also for another thread that waits for a value: within the two seconds for
    which a read blocks, or when a server that hangs has had its time to answer.
    """

    def __init__(self, reading: Reading[V], send: Callable[[Request], object]) -> None:
        self._send = send
        self._is_closed = False
        #: What the thread that asks waits on, where that is no reply of the server.
        self._signal: Signal | None = None
        self._values = self._read(Taken(reading))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> V:
        if self._is_closed:
            raise StopIteration
        try:
            return next(self._values)
        except ValueError:
            if self._is_closed:  # by another thread, at this moment
                raise StopIteration from None
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it: there is no other value."""
        self._is_closed = True
        signal = self._signal
        if signal is not None:
            signal.notify_all()
        with suppress(ValueError):  # another thread is in it, and ends it
            self._values.close()

    def _read(self, taken: Taken[V]) -> Generator[V, None, None]:
        try:
            while (values := run(taken.take_some(), self._reply)) is not None:
                yield from values
        except (Exception, GeneratorExit):
            if not self._is_closed:
                raise
        finally:
            taken.close()

    def _reply(self, asked: Request) -> object:
        """Return the reply to a request, which `close` cuts short."""
        if self._is_closed:
            raise GeneratorExit
        if isinstance(asked, Until):
            holds = asked.holds
            asked, self._signal = (
                replace(asked, holds=lambda: self._is_closed or holds()),
                asked.signal,
            )
        try:
            with waiting_unless(lambda: self._is_closed):
                return self._send(asked)
        finally:
            self._signal = None


class Transport:
    """Runs exchanges, each in the thread that asks. Safe to share between threads."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self.prefix = prefix
        #: What runs before each request until it has succeeded; None from then on.
        self.first: Callable[[], Exchange[None]] | None = None
        #: True when nothing is sent any more.
        self.is_closed = False

    def close(self) -> None:
        """Send nothing from here on: who asks, or waits in another thread, gets ClientMisused."""
        self.is_closed = True
        outage_of(self._redis).gives_up = lambda: True

    @property
    def look_s(self) -> float:
        """Seconds after which whoever waits looks at its job."""
        return LOOK_S

    def run(self, exchange: Exchange[T]) -> T:
        """Return what an exchange returns, and raise what it raises.

        Of Redis's errors it raises RedisUnreachable, RedisRefused and RedisFull.
        """
        try:
            return run(exchange, self.send)
        except REDIS_ERRORS as error:
            raise error.with_traceback(None) from None  # its sentence, without ten calls of ours

    def read(self, reading: Reading[V]) -> Stream[V]:
        """Return an iterator over what a reading gives; it raises what the reading does."""
        return Stream(reading, self.send)

    def send(self, request: Request) -> object:
        """Return the reply to one request. Raises ClientMisused after `close`, and during it."""
        if self.is_closed:
            raise _is_closed()
        try:
            if (first := self.first) is not None:
                run(first(), self._reply)
                self.first = None
            return self._reply(request)
        except Exception as error:
            if self.is_closed:  # its connection was closed as it waited, which redis-py stumbles on
                raise _is_closed() from error
            raise

    def _reply(self, request: Request) -> object:
        match request:
            case Until():
                return _wait(request)
            case Next(source):
                return next(cast(Iterator[object], source), None)
            case Start(exchange, name, is_daemon):
                apart = Thread(target=self._run_apart, args=(exchange,), name=name)
                apart.daemon = is_daemon
                apart.start()
            case Finish():
                pass
            case Pause(seconds):
                sleep(seconds)
            case Aside(function):
                return function()
            case _:
                with redis_errors(self._redis):
                    return self._answer(request)
        return None

    def _answer(self, request: Request) -> object:
        """Return what the server answers; raises redis-py's errors."""
        match request:
            case Command():
                return self._redis.execute_command(*request, **request.options)  # type: ignore[no-untyped-call]
            case Pipeline(commands, raises):
                with self._redis.pipeline(transaction=False) as pipe:
                    for one in commands:
                        pipe.execute_command(*one)  # type: ignore[no-untyped-call]
                    return pipe.execute(raise_on_error=raises)
            case _:
                return run(steps_of(request, self._redis, self.prefix), self._answer)

    def _run_apart(self, exchange: Exchange[None]) -> None:
        """Run an exchange in a thread of its own, which ends without an error after `close`."""
        try:
            self.run(exchange)
        except ClientMisused:
            # Nobody waits for it, and its owner has closed the client.
            if not self.is_closed:
                raise


def steps_of(request: Request, redis: "AnyRedis", prefix: str) -> Exchange[object]:
    """Return the commands that make up what else Redis is asked for."""
    match request:
        case ScriptCall(name, arguments):
            return (yield from script_steps(name, prefix, arguments))
        case Listen():
            return (yield from heard(request))
        case Durable(keys, timeout_s):
            return (yield from until_durable(redis, keys, timeout_s))
        case _:
            raise TypeError(f"{request!r} is no request.")


def _wait(asked: Until) -> bool:
    """Return whether what is waited for holds in time."""
    event = Event()
    deadline = inf if asked.timeout_s is None else monotonic() + asked.timeout_s
    with asked.signal.waking(event.set):
        while not asked.holds():
            if not event.wait(None if deadline == inf else deadline - monotonic()):
                return asked.holds()
            event.clear()
    return True


def _is_closed() -> ClientMisused:
    return ClientMisused("This Client is closed. Make another one.")

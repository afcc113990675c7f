"""`Transport`: runs exchanges over a connection to Redis that blocks."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from threading import Condition, Thread
from time import sleep
from typing import Self, cast

from redis import Redis
from redis.client import Pipeline as RedisPipeline

from seqd.errors import REDIS_ERRORS, ClientMisused
from seqd.ledger.exchange import (
    LOOK_S,
    Again,
    Command,
    Durable,
    Exchange,
    Fault,
    Finish,
    Give,
    Heard,
    Listen,
    Next,
    Notify,
    Pause,
    Pipeline,
    Reading,
    Request,
    ScriptCall,
    Signal,
    Start,
    StreamEntry,
    T,
    Until,
    V,
)
from seqd.ledger.outage import Attempts, waiting_unless
from seqd.ledger.redis import outage_of, redis_errors, wait_until_durable
from seqd.ledger.scripts import Scripts

#: Longest blocking read in milliseconds; shorter than the socket timeout of the connection.
BLOCK_MS = 2_000


class ThreadSignal:
    """A signal between threads."""

    def __init__(self) -> None:
        self.condition = Condition()

    def notify_all(self) -> None:
        """Have all threads that wait look again."""
        with self.condition:
            self.condition.notify_all()


class Stream(Iterator[V]):
    """What a reading gives, one value at a time, in the thread that asks.

    `close` ends it, also for another thread that waits for a value: within the two seconds for
    which a read blocks, or when a server that hangs has had its time to answer.
    """

    def __init__(self, reading: Reading[V], send: Callable[[Request], object]) -> None:
        self._is_closed = False
        #: What the thread that asks waits on, where that is no reply of the server.
        self._signal: Signal | None = None
        self._values = self._read(reading, send)

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

    def _read(
        self, reading: Reading[V], send: Callable[[Request], object]
    ) -> Generator[V, None, None]:
        try:
            asked = next(reading)
            while not self._is_closed:
                if isinstance(asked, Give):
                    yield from asked.values
                    asked = reading.send(None)
                    continue
                try:
                    reply = self._reply(asked, send)
                except BaseException as error:  # noqa: BLE001 - raised again, where it was asked
                    if self._is_closed and isinstance(error, Exception):
                        return
                    asked = reading.throw(error)
                else:
                    asked = reading.send(reply)
        except StopIteration:
            return
        finally:
            reading.close()

    def _reply(self, asked: Request, send: Callable[[Request], object]) -> object:
        """Return the reply to a request, which `close` cuts short."""
        if isinstance(asked, Until):
            holds = asked.holds
            asked, self._signal = (
                replace(asked, holds=lambda: self._is_closed or holds()),
                asked.signal,
            )
        try:
            with waiting_unless(lambda: self._is_closed):
                return send(asked)
        finally:
            self._signal = None


class Transport:
    """Runs exchanges, each in the thread that asks. Safe to share between threads."""

    def __init__(self, redis: Redis, scripts: Scripts, notify: Callable[[str], None]) -> None:
        self._redis = redis
        self._scripts = scripts
        self._notify = notify
        #: What runs before the first request; None once it has.
        self.first: Callable[[], Exchange[None]] | None = None
        #: True when nothing is sent any more.
        self.is_closed = False

    def close(self) -> None:
        """Send nothing from here on: who asks, or waits in another thread, gets ClientMisused."""
        self.is_closed = True
        outage_of(self._redis).gives_up = lambda: True

    def signal(self) -> ThreadSignal:
        """Return a new signal between threads."""
        return ThreadSignal()

    @property
    def look_s(self) -> float:
        """Seconds after which whoever waits looks at its job."""
        return LOOK_S

    def attempts(self) -> Attempts:
        """Return the attempts at a step whose reply may say that it was refused just now."""
        return self._scripts.attempts()

    def run(self, exchange: Exchange[T]) -> T:
        """Return what an exchange returns, and raise what it raises.

        Of Redis's errors it raises RedisUnreachable, RedisRefused and RedisFull.
        """
        try:
            asked = next(exchange)
            while True:
                try:
                    reply = self.send(asked)
                except BaseException as error:  # noqa: BLE001 - raised again, where it was asked
                    asked = exchange.throw(error)
                else:
                    asked = exchange.send(reply)
        except StopIteration as end:
            return cast(T, end.value)
        except REDIS_ERRORS as error:
            raise error.with_traceback(None) from None  # its sentence, without ten calls of ours

    def read(self, reading: Reading[V]) -> "Stream[V]":
        """Return an iterator over what a reading gives; it raises what the reading does."""
        return Stream(reading, self.send)

    def send(self, request: Request) -> object:
        """Return the reply to one request. Raises ClientMisused after `close`, and during it."""
        if self.is_closed:
            raise _is_closed()
        try:
            if self.first is not None:
                self._begin(self.first)
            return self._reply(request)
        except Exception as error:
            if self.is_closed:  # its connection was closed as it waited, which redis-py stumbles on
                raise _is_closed() from error
            raise

    def _begin(self, first: Callable[[], Exchange[None]]) -> None:
        self.first = None
        try:
            self.run(first())
        except BaseException:
            self.first = first
            raise

    def _reply(self, request: Request) -> object:
        match request:
            case Command():
                with redis_errors(self._redis):
                    return self._redis.execute_command(*request, **request.options)  # type: ignore[no-untyped-call]
            case ScriptCall(name, arguments):
                return self._scripts.call(name, *arguments)
            case Pipeline(commands, raises):
                with redis_errors(self._redis), self._pipeline(commands) as pipe:
                    return pipe.execute(raise_on_error=raises)
            case Listen():
                return self._listen(request)
            case Notify(route):
                return self._notify(route)
            case Until(signal, holds, timeout_s):
                condition = cast(ThreadSignal, signal).condition
                with condition:
                    return condition.wait_for(holds, timeout_s)
            case Next(source):
                return next(cast(Iterator[object], source), None)
            case Start(exchange, name, is_daemon):
                Thread(
                    target=self._run_apart, args=(exchange,), name=name, daemon=is_daemon
                ).start()
                return None
            case Finish():
                return None
            case Pause(seconds):
                sleep(seconds)
                return None
            case Durable(keys, timeout_s):
                return wait_until_durable(self._redis, keys, timeout_s)
            case Again(attempts, reason):
                return self._scripts.again(attempts, reason)
            case Fault(error):
                with redis_errors(self._redis):
                    raise error

    def _run_apart(self, exchange: Exchange[None]) -> None:
        """Run an exchange in a thread of its own, which ends without an error after `close`."""
        try:
            self.run(exchange)
        except ClientMisused:
            # Nobody waits for it, and its owner has closed the client.
            if not self.is_closed:
                raise

    def _pipeline(self, commands: tuple[Command, ...]) -> RedisPipeline:
        pipe = self._redis.pipeline(transaction=False)
        for one in commands:
            pipe.execute_command(*one)  # type: ignore[no-untyped-call]
        return pipe

    def _listen(self, request: Listen) -> Heard:
        read = read_command(request.streams, request.count, block_ms_of(request.wait_s, BLOCK_MS))
        with redis_errors(self._redis):
            if not request.before:
                reply = self._redis.execute_command(*read)  # type: ignore[no-untyped-call]
                return Heard(entries_of(reply))
            with self._pipeline((*request.before, read)) as pipe:
                *before, reply = pipe.execute()
        return Heard(entries_of(reply), before)


def _is_closed() -> ClientMisused:
    return ClientMisused("This Client is closed. Make another one.")


def block_ms_of(wait_s: float, most_ms: int) -> int | None:
    """Return for how many milliseconds a read blocks; None for one that does not."""
    # 0 would block for ever.
    return None if wait_s <= 0 else max(1, int(min(1000 * wait_s, most_ms)))


def read_command(streams: Mapping[str, str], count: int, block_ms: int | None) -> Command:
    """Return the command that reads streams, each behind an id."""
    block = () if block_ms is None else ("BLOCK", block_ms)
    return Command(("XREAD", *block, "COUNT", count, "STREAMS", *streams, *streams.values()))


def entries_of(reply: object) -> dict[str, list[StreamEntry]]:
    """Return the entries that a read found, by stream."""
    found = cast(list[tuple[bytes, list[StreamEntry]]], reply or [])
    return {name.decode(): entries for name, entries in found}

"""`AsyncTransport`: runs exchanges over connections to Redis of asyncio.

All that waits for entries of streams shares one connection (`Listener`), however many jobs are
waited for. Cancelling a task closes the connection of a command that it has not read the reply of.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Self, cast

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import ResponseError

from seqd.errors import SeqdError
from seqd.ledger.async_redis import wait_until_durable
from seqd.ledger.exchange import (
    Again,
    Argument,
    Command,
    Durable,
    Exchange,
    Fault,
    Give,
    Heard,
    Listen,
    Next,
    Notify,
    Pause,
    Pipeline,
    Reading,
    Reply,
    Request,
    ScriptCall,
    Start,
    T,
    Until,
    V,
)
from seqd.ledger.listener import Listener
from seqd.ledger.outage import Attempts, waiting_at_most
from seqd.ledger.redis import outage_of, redis_errors
from seqd.ledger.scripts import refusal_in, script_error, source_of
from seqd.ledger.wakeup import NOTIFY_TIMEOUT_S, log_lost_wakeup, wakeup_message
from seqd_schemas import Keys

log = logging.getLogger(__name__)


class TaskSignal:
    """A signal between tasks of one event loop."""

    def __init__(self) -> None:
        self._waiters = set[asyncio.Future[None]]()

    def notify_all(self) -> None:
        """Have all tasks that wait look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait_for(self, holds: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until `holds` returns True, at most `timeout_s`; return whether it does."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else loop.time() + timeout_s
        while not holds():
            waiter = loop.create_future()
            self._waiters.add(waiter)
            try:
                async with asyncio.timeout_at(deadline):
                    await waiter
            except TimeoutError:
                return holds()
            finally:
                self._waiters.discard(waiter)
        return True


@dataclass(frozen=True, slots=True)
class RunningTask:
    """An exchange in a task of its own."""

    task: asyncio.Task[None]

    @property
    def is_running(self) -> bool:
        """True until it has ended."""
        return not self.task.done()


class AsyncDriver:
    """What the parts of a ledger have in the place of a driver that blocks."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    def run(self, exchange: Exchange[T]) -> T:
        """Raise RuntimeError: nothing of this ledger may block."""
        raise RuntimeError(f"{exchange} would block; run its `steps` by an AsyncTransport.")

    def attempts(self) -> Attempts:
        """Return the attempts at a step whose reply may say that it was refused just now."""
        return Attempts(outage_of(self._redis), 0)

    def signal(self) -> TaskSignal:
        """Return a new signal between tasks."""
        return TaskSignal()


class AsyncTransport:
    """Runs exchanges, each in the task that asks. For the tasks of one event loop."""

    def __init__(self, redis: "Redis", keys: Keys, prefix: str, wake_key: str) -> None:
        """`wake_key` is a stream of this client's own, by which its listener is woken."""
        self._redis = redis
        self._keys = keys
        self._prefix = prefix
        self._scripts: dict[str, AsyncScript] = {}
        self._listener = Listener(redis, wake_key)
        #: Exchanges that run beside others; one that may be left behind is cancelled at the end.
        self._tasks = set[asyncio.Task[None]]()
        self._daemons = set[asyncio.Task[None]]()

    async def run(self, exchange: Exchange[T]) -> T:
        """Return what an exchange returns, and raise what it raises; see `Transport.run`."""
        try:
            asked = next(exchange)
            while True:
                try:
                    reply = await self.send(asked)
                except BaseException as error:  # noqa: BLE001 - raised again, where it was asked
                    asked = exchange.throw(error)
                else:
                    asked = exchange.send(reply)
        except StopIteration as end:
            return cast(T, end.value)

    def read(self, reading: Reading[V]) -> "AsyncStream[V]":
        """Return an iterator over what a reading gives; it raises what the reading does."""
        return AsyncStream(reading, self)

    async def close(self) -> None:
        """Wait for what runs beside others, and close all connections."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        for task in self._daemons:
            task.cancel()
        await self._listener.close()
        await self._redis.aclose()

    def cancel(self) -> None:
        """Cancel what runs beside others."""
        for task in self._tasks:
            task.cancel()

    async def send(self, request: Request) -> object:
        """Return the reply to one request."""
        match request:
            case Command():
                with redis_errors(self._redis):
                    return await self._redis.execute_command(*request, **request.options)  # type: ignore[no-untyped-call]
            case ScriptCall(name, arguments):
                return await self._call(name, arguments)
            case Pipeline(commands, raises):
                return await self._pipeline(commands, raises=raises)
            case Listen():
                return await self.listen(request)
            case Notify(route):
                await self._notify(route)
                return None
            case Until(signal, holds, timeout_s):
                return await cast(TaskSignal, signal).wait_for(holds, timeout_s)
            case Next(source):
                return await _next_of(source)
            case Start(exchange, name, is_daemon):
                return self._start(exchange, name, is_daemon=is_daemon)
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case Durable(keys, timeout_s):
                return await wait_until_durable(self._redis, keys, timeout_s)
            case Again(attempts, reason):
                wait_s = attempts.wait_s(*refusal_in(reason))
                if wait_s is not None:
                    await asyncio.sleep(wait_s)
                return wait_s is not None
            case Fault(error):
                with redis_errors(self._redis):
                    raise error

    async def listen(self, request: Listen) -> Heard:
        """Wait for entries of streams, with all others that wait for any."""
        before = list[object]()
        if request.before:
            before = await self._pipeline(request.before, raises=True)
        with redis_errors(self._redis):
            return Heard(await self._listener.listen(request), before)

    async def _pipeline(self, commands: tuple[Command, ...], *, raises: bool) -> list[object]:
        with redis_errors(self._redis):
            async with self._redis.pipeline(transaction=False) as pipe:
                for one in commands:
                    pipe.execute_command(*one)
                return cast(list[object], await pipe.execute(raise_on_error=raises))

    async def _call(self, name: str, arguments: tuple[Argument, ...]) -> Reply:
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = self._redis.register_script(source_of(name))
        with redis_errors(self._redis):
            try:
                return cast(Reply, await script(args=[self._prefix, *arguments]))
            except ResponseError as error:
                raise script_error(error, name) from None

    async def _notify(self, route: str) -> None:
        """Wake one worker of a route; see `Wakeup.notify`."""
        try:
            with waiting_at_most(NOTIFY_TIMEOUT_S), redis_errors(self._redis):
                message = wakeup_message(route)
                words = ("LPUSH", self._keys.wakeup(route), message)
                await self._redis.execute_command(*words)  # type: ignore[no-untyped-call]
        except SeqdError as error:
            log_lost_wakeup(route, error)

    def _start(self, exchange: Exchange[None], name: str, *, is_daemon: bool) -> RunningTask:
        task = asyncio.create_task(self.run(exchange), name=name)
        tasks = self._daemons if is_daemon else self._tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return RunningTask(task)


class AsyncStream(AsyncIterator[V]):
    """What a reading gives, one value at a time, in the task that asks.

    `aclose` ends it at once, also for another task that waits for a value.
    """

    def __init__(self, reading: Reading[V], transport: AsyncTransport) -> None:
        self._reading: Reading[V] | None = reading
        self._transport = transport
        self._values: Iterator[V] = iter(())
        self._listening: asyncio.Task[Heard] | None = None
        self._is_begun = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> V:
        while True:
            for value in self._values:
                return value
            if self._reading is None:
                raise StopAsyncIteration
            # So that other tasks have their turn where all that is read is there.
            await asyncio.sleep(0)
            await self._take_more()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End it: there is no other value."""
        reading, self._reading, self._values = self._reading, None, iter(())
        if self._listening is not None:
            self._listening.cancel()
        elif reading is not None:
            reading.close()

    async def _take_more(self) -> None:
        """Read on until there are values, or there is nothing more."""
        reading = self._reading
        assert reading is not None
        try:
            asked = reading.send(None) if self._is_begun else next(reading)
            self._is_begun = True
            while not isinstance(asked, Give):
                try:
                    reply = await self._answer(asked)
                except BaseException as error:  # noqa: BLE001 - raised again, where it was asked
                    asked = reading.throw(error)
                else:
                    asked = reading.send(reply)
        except StopIteration:
            self._reading = None
        except asyncio.CancelledError:
            if self._reading is not None:  # the task, and not `aclose`
                self._reading = None
                raise
        except BaseException:
            self._reading = None
            raise
        else:
            self._values = iter(asked.values)

    async def _answer(self, asked: Request) -> object:
        if not isinstance(asked, Listen):
            return await self._transport.send(asked)
        self._listening = asyncio.ensure_future(self._transport.listen(asked))
        try:
            return await self._listening
        finally:
            if not self._listening.done():
                self._listening.cancel()
            self._listening = None


async def _next_of(source: object) -> object:
    if isinstance(source, AsyncIterator):
        return await anext(source, None)
    return next(cast(Iterator[object], source), None)

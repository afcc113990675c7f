"""`AsyncTransport`: runs exchanges over connections to Redis of asyncio.

All that waits for entries of streams shares one connection (`Listener`), however many jobs are
waited for. Cancelling a task closes the connection of a command that it has not read the reply of.
"""

import asyncio
import logging
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
)
from contextlib import suppress
from random import uniform
from typing import Any, Self, TypeVar, cast
from weakref import WeakSet

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as NoAnswerInTime

from seqd.errors import REDIS_ERRORS, ClientMisused, SeqdError
from seqd.ledger.async_redis import cancel_count, wait_until_durable
from seqd.ledger.exchange import (
    LOOK_S,
    Again,
    Argument,
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
    Reply,
    Request,
    ScriptCall,
    Start,
    T,
    Until,
    V,
)
from seqd.ledger.listener import Listener, ended
from seqd.ledger.outage import Attempts, seconds_left, unbounded_context, waiting_at_most
from seqd.ledger.redis import outage_of, redis_errors
from seqd.ledger.scripts import SCRIPT_LOADS, refusal_in, script_error, source_of
from seqd.ledger.transport import entries_of, read_command
from seqd.ledger.wakeup import NOTIFY_TIMEOUT_S, log_lost_wakeup, wakeup_message
from seqd_schemas import Keys

log = logging.getLogger(__name__)

#: Looks of all that wait at their jobs, together. Each is about two reads.
LOOKS_A_SECOND = 100

#: Seconds that an answer has at least, of whoever wants to wait for less.
SHORTEST_ANSWER_S = 2.0

W = TypeVar("W")


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


class AsyncDriver:
    """What the parts of a ledger have in the place of a driver that blocks."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        #: Tasks that wait for news just now, or for their turn to ask.
        self.waiting = 0

    def run(self, exchange: Exchange[T]) -> T:
        """Raise RuntimeError: nothing of this ledger may block."""
        raise RuntimeError(f"{exchange} would block; run its `steps` by an AsyncTransport.")

    def attempts(self) -> Attempts:
        """Return the attempts at a step whose reply may say that it was refused just now."""
        return Attempts(outage_of(self._redis), 0)

    def signal(self) -> TaskSignal:
        """Return a new signal between tasks."""
        return TaskSignal()

    @property
    def look_s(self) -> float:
        """Seconds after which whoever waits looks at its job: together so often at most."""
        seconds = self.waiting / LOOKS_A_SECOND
        # At random: tasks that began together must not look together for ever.
        return LOOK_S if seconds <= LOOK_S else seconds * uniform(0.75, 1.25)


class AsyncTransport:
    """Runs exchanges, each in the task that asks. For the tasks of one event loop."""

    def __init__(
        self, driver: AsyncDriver, redis: "Redis", keys: Keys, prefix: str, wake_key: str
    ) -> None:
        """`wake_key` is a stream of this client's own, by which its listener is woken."""
        self._driver = driver
        self._redis = redis
        self._keys = keys
        self._prefix = prefix
        self._scripts: dict[str, AsyncScript] = {}
        self._listener = Listener(redis, wake_key)
        #: Exchanges that run beside others; one that may be left behind is cancelled at the end.
        self._tasks = set[asyncio.Task[None]]()
        self._daemons = set[asyncio.Task[None]]()
        #: What several tasks wait for together.
        self._shared = set[asyncio.Task[Any]]()
        self._in_front: dict[tuple[Command, ...], asyncio.Task[list[object]]] = {}
        self._disk = asyncio.Lock()
        self._next_on_disk: asyncio.Task[bool] | None = None
        #: What uploads wait for, by its source.
        self._asked_sources = dict[object, asyncio.Future[object]]()
        self._signals = WeakSet[TaskSignal]()
        #: What runs before the first request; None once it has.
        self.first: Callable[[], Exchange[None]] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self.is_closed = False

    async def run(self, exchange: Exchange[T]) -> T:
        """Return what an exchange returns, and raise what it raises; see `Transport.run`.

        Raises ClientMisused in another process or event loop than before, and after `close`.
        """
        self.check_use()
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
        except REDIS_ERRORS as error:
            raise error.with_traceback(None) from None  # see `Transport.run`

    def read(self, reading: Reading[V]) -> "AsyncStream[V]":
        """Return an iterator over what a reading gives; it raises what the reading does."""
        return AsyncStream(reading, self)

    def check_use(self) -> None:
        """Raise ClientMisused where the client cannot be used."""
        if (pid := os.getpid()) != self._pid:
            raise ClientMisused(
                f"This AsyncClient was made in process {self._pid}, and process {pid} was forked "
                "from that one. Make a client in each process."
            )
        loop = asyncio.get_running_loop()
        if self.is_closed:
            raise _is_closed()
        if self._loop is None:
            self._loop = loop
        if loop is not self._loop:
            raise ClientMisused(
                "This AsyncClient was used in another event loop before. Make one client for each "
                "loop, in a coroutine that runs there."
            )

    async def close(self, *, waits: bool = True) -> None:
        """Wait for what runs beside others, and close all connections.

        Who does not wait, or is cancelled meanwhile, has the uploads that are left fail their jobs.
        """
        try:
            if waits and self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            if self._tasks:
                outage_of(self._redis).gives_up = lambda: True
            await ended(self._tasks)
            self.is_closed = True
            for signal in self._signals:
                signal.notify_all()
            try:
                await ended({*self._daemons, *self._shared})
                await self._listener.close()
            finally:
                await self._redis.aclose()

    async def send(self, request: Request) -> object:
        """Return the reply to one request."""
        if self.is_closed:
            raise _is_closed()
        self._driver.waiting += 1
        try:
            if self.first is not None:
                await self._begin(self.first)
            return await self._reply(request)
        finally:
            self._driver.waiting -= 1

    async def _begin(self, first: Callable[[], Exchange[None]]) -> None:
        self.first = None
        try:
            await self.run(first())
        except BaseException:
            self.first = first
            raise

    async def _reply(self, request: Request) -> object:
        match request:
            case Command():
                with redis_errors(self._redis):
                    return await _in_time(self._redis.execute_command(*request, **request.options))  # type: ignore[no-untyped-call]
            case ScriptCall(name, arguments):
                return await self._call(name, arguments)
            case Pipeline(commands, raises):
                return await self._pipeline(commands, raises=raises)
            case Listen():
                return await self._listen(request)
            case Notify(route):
                await self._notify(route)
                return None
            case Until(signal, holds, timeout_s):
                return await self._until(cast(TaskSignal, signal), holds, timeout_s)
            case Next(source):
                return await self._next_of(source)
            case Finish(sources):
                await self._finish(sources)
                return None
            case Start(exchange, name, is_daemon):
                self._start(exchange, name, is_daemon=is_daemon)
                return None
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case Durable(keys, timeout_s):
                return await self._until_on_disk(keys, timeout_s)
            case Again(attempts, reason):
                wait_s = attempts.wait_s(*refusal_in(reason))
                if wait_s is not None:
                    await asyncio.sleep(wait_s)
                return wait_s is not None
            case Fault(error):
                with redis_errors(self._redis):
                    raise error

    async def _listen(self, request: Listen) -> Heard:
        """Wait for entries of streams, with all others that wait for any."""
        if request.wait_s <= 0 and request.before:
            read = read_command(request.streams, request.count, None)
            *before, reply = await self._pipeline((*request.before, read), raises=True)
            return Heard(entries_of(reply), before)
        before = await self._look_in_front(request.before) if request.before else []
        with redis_errors(self._redis):
            return Heard(await self._listener.listen(request), before)

    async def _look_in_front(self, commands: tuple[Command, ...]) -> list[object]:
        """Return the replies to commands; who asks for the same at the same time shares them."""
        asked = self._in_front.get(commands)
        if asked is None:
            asked = self._share(self._pipeline(commands, raises=True))
            self._in_front[commands] = asked
            asked.add_done_callback(lambda _: self._in_front.pop(commands, None))
        return await self._shared_result(asked)

    async def _until(
        self, signal: TaskSignal, holds: Callable[[], bool], timeout_s: float | None
    ) -> bool:
        self._signals.add(signal)
        return await signal.wait_for(lambda: self.is_closed or holds(), timeout_s)

    async def _pipeline(self, commands: tuple[Command, ...], *, raises: bool) -> list[object]:
        with redis_errors(self._redis):
            async with self._redis.pipeline(transaction=False) as pipe:
                for one in commands:
                    pipe.execute_command(*one)
                return cast(list[object], await _in_time(pipe.execute(raise_on_error=raises)))

    async def _call(self, name: str, arguments: tuple[Argument, ...]) -> Reply:
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = self._redis.register_script(source_of(name))
        with redis_errors(self._redis):
            try:
                return await self._run_script(script, arguments)
            except ResponseError as error:
                raise script_error(error, name) from None

    async def _run_script(self, script: AsyncScript, arguments: tuple[Argument, ...]) -> Reply:
        """Run a script, which the call loads where the server does not have it."""
        for _ in range(SCRIPT_LOADS - 1):
            with suppress(NoScriptError):
                return cast(Reply, await _in_time(script(args=[self._prefix, *arguments])))
        return cast(Reply, await _in_time(script(args=[self._prefix, *arguments])))

    async def _notify(self, route: str) -> None:
        """Wake one worker of a route; see `Wakeup.notify`."""
        words = ("LPUSH", self._keys.wakeup(route), wakeup_message(route))
        try:
            with waiting_at_most(NOTIFY_TIMEOUT_S), redis_errors(self._redis):
                await _in_time(self._redis.execute_command(*words))  # type: ignore[no-untyped-call]
        except SeqdError as error:
            log_lost_wakeup(route, error)
        except Exception:
            # The job is in the ledger: a fault in here must not look like the job's.
            log.exception("could not notify route=%s", route)

    async def _until_on_disk(self, keys: Keys, timeout_s: float) -> bool:
        """Wait for the disk with all that were written before the wait begins: one at a time."""
        if self._next_on_disk is None:
            self._next_on_disk = self._share(self._wait_for_disk(keys, timeout_s))
        return await self._shared_result(self._next_on_disk)

    async def _wait_for_disk(self, keys: Keys, timeout_s: float) -> bool:
        async with self._disk:
            self._next_on_disk = None  # who comes from now on was written later
            return await wait_until_durable(self._redis, keys, timeout_s)

    async def _next_of(self, source: object) -> object:
        if not isinstance(source, AsyncIterator):
            return next(cast(Iterator[object], source), None)
        if asyncio.current_task() not in self._tasks:
            return await anext(source, None)
        asked = asyncio.ensure_future(anext(source, None))
        self._asked_sources[source] = asked
        try:
            return await asked
        except asyncio.CancelledError:
            if asked.cancelled() and not _is_cancelled():
                return None  # by `Finish`: nothing more is wanted
            raise
        finally:
            del self._asked_sources[source]

    async def _finish(self, sources: tuple[object, ...]) -> None:
        for source in sources:
            if (asked := self._asked_sources.get(source)) is not None:
                asked.cancel()  # it ends where it waits, and all that it reads with it
                return
        for source in sources:
            if isinstance(source, AsyncGenerator):
                with suppress(Exception):  # nobody asks it for anything any more
                    await source.aclose()

    def _start(self, exchange: Exchange[None], name: str, *, is_daemon: bool) -> None:
        task = asyncio.create_task(self.run(exchange), name=name, context=unbounded_context())
        tasks = self._daemons if is_daemon else self._tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(_log_error)

    def _share(self, work: Coroutine[object, object, W]) -> "asyncio.Task[W]":
        """Run something for several tasks, which goes on when one of them is cancelled."""
        task = asyncio.create_task(work, context=unbounded_context())
        self._shared.add(task)
        task.add_done_callback(self._shared.discard)
        task.add_done_callback(_retrieve)
        return task

    async def _shared_result(self, task: "asyncio.Task[W]") -> W:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled() and self.is_closed and not _is_cancelled():
                raise _is_closed() from None
            raise


class AsyncStream(AsyncIterator[V]):
    """What a reading gives, one value at a time, in the task that asks.

    `aclose` ends it at once, also for another task that waits for a value.
    """

    def __init__(self, reading: Reading[V], transport: AsyncTransport) -> None:
        self._reading: Reading[V] | None = reading
        self._transport = transport
        self._values: Iterator[V] = iter(())
        #: What the task waits for that asks for values.
        self._asked: asyncio.Future[object] | None = None
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
        if self._asked is not None:
            self._asked.cancel()  # whoever waits for it closes the reading
        elif reading is not None:
            reading.close()

    async def _take_more(self) -> None:
        """Read on until there are values, or there is nothing more."""
        reading = self._reading
        if reading is None:
            return
        if self._asked is not None:
            raise ClientMisused(
                "Another task waits for a value of this iterator. Let one task read it, or give "
                "each an iterator of its own."
            )
        self._transport.check_use()
        cancels = cancel_count()
        try:
            asked = reading.send(None) if self._is_begun else next(reading)
            self._is_begun = True
            while not isinstance(asked, Give):
                if self._reading is None:  # closed by another task as the last reply came
                    reading.close()
                    return
                try:
                    reply = await self._answer(asked)
                except BaseException as error:  # noqa: BLE001 - raised again, where it was asked
                    asked = reading.throw(error)
                else:
                    asked = reading.send(reply)
        except StopIteration:
            self._reading = None
        except asyncio.CancelledError:
            is_by_aclose = self._reading is None and cancel_count() == cancels
            self._reading = None
            if not is_by_aclose:
                raise
        except BaseException:
            self._reading = None
            raise
        else:
            if self._reading is None:  # closed as the reply came
                reading.close()
            else:
                self._values = iter(asked.values)

    async def _answer(self, asked: Request) -> object:
        self._asked = asyncio.ensure_future(self._transport.send(asked))
        try:
            return await self._asked
        finally:
            self._asked = None


async def _in_time(work: Awaitable[W]) -> W:
    """Wait for an answer no longer than a block of `waiting_at_most` allows.

    A server that hangs is not waited for to the end of the socket's time, nor is a connection that
    others use. What is asked gets a moment in any case.
    """
    left_s = seconds_left()
    if left_s is None:
        return await work
    try:
        async with asyncio.timeout(max(left_s, SHORTEST_ANSWER_S)):
            return await work
    except TimeoutError:
        raise NoAnswerInTime("Timeout waiting for an answer") from None


def _is_cancelled() -> bool:
    return cancel_count() > 0


def _is_closed() -> ClientMisused:
    return ClientMisused("This AsyncClient is closed. Make another one.")


def _retrieve(task: "asyncio.Task[Any]") -> None:
    """Take note of a task's error, which those that wait raise, if there are any left."""
    if not task.cancelled():
        task.exception()


def _log_error(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s has ended: %s", task.get_name(), error, exc_info=error)

"""`AsyncTransport`: runs exchanges over connections to Redis of asyncio.

All that waits for entries of streams shares one connection (`Listener`), however many jobs are
waited for. Cancelling a task closes the connection of a command that it has not read the reply of.

Tasks have connections in turn, for redis-py's pool raises where all are in use. Its own that waits,
`BlockingConnectionPool`, does not do: before Python 3.13 a task that is cancelled as it gets its
turn takes the turn with it, and the next one waits in vain. Nothing else is lost: after 192,000
commands of redis-py 8.1 that were cancelled at random moments (asyncio and uvloop, Python 3.11 to
3.13) each pool had all of its connections, and no command had the reply of another.
"""

import asyncio
import logging
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from contextlib import suppress
from random import uniform
from typing import Self, TypeVar, cast
from weakref import WeakSet

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import TimeoutError as NoAnswerInTime

from seqd.errors import REDIS_ERRORS, ClientMisused
from seqd.ledger.async_redis import Listener, ended
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
    Signal,
    Start,
    T,
    Taken,
    Until,
    V,
    run_awaiting,
)
from seqd.ledger.outage import seconds_left, unbounded_context
from seqd.ledger.redis import outage_of, redis_errors
from seqd.ledger.transport import steps_of
from seqd_schemas import Keys

log = logging.getLogger(__name__)

#: Connections of a client at most, one of them for all that waits.
MAX_CONNECTIONS = 8

#: Looks of all that wait at their jobs, together. Each is about two reads.
LOOKS_A_SECOND = 100

#: Seconds that an answer has at least, of whoever wants to wait for less.
SHORTEST_ANSWER_S = 2.0

#: Longest that a client which is closed waits for tasks that were cancelled.
_CANCELLED_S = 10.0

W = TypeVar("W")


class AsyncDriver:
    """What the parts of a ledger have in the place of a driver that blocks."""

    def __init__(self) -> None:
        #: Tasks that wait for news just now, or for their turn to ask.
        self.waiting = 0

    def run(self, exchange: Exchange[T]) -> T:
        """Raise RuntimeError: nothing of this ledger may block."""
        raise RuntimeError(f"{exchange} would block; run its `steps` by an AsyncTransport.")

    @property
    def look_s(self) -> float:
        """Seconds after which whoever waits looks at its job: together so often at most."""
        seconds = self.waiting / LOOKS_A_SECOND
        # At random: tasks that began together must not look together for ever.
        return LOOK_S if seconds <= LOOK_S else seconds * uniform(0.75, 1.25)


class AsyncTransport:
    """Runs exchanges, each in the task that asks. For the tasks of one event loop."""

    def __init__(self, redis: "Redis", keys: Keys, prefix: str, wake_key: str) -> None:
        """`wake_key` is a stream of this client's own, by which its listener is woken."""
        self.driver = AsyncDriver()
        self._redis = redis
        self._outage = outage_of(redis)
        self._keys = keys
        self._prefix = prefix
        self._listener = Listener(self._ask, wake_key)
        #: Turns of tasks to have a connection, first come first served.
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)
        #: Exchanges that run beside others; one that may be left behind is cancelled at the end.
        self._tasks = set[asyncio.Task[None]]()
        self._daemons = set[asyncio.Task[None]]()
        #: Exchanges that tasks wait for just now, by what is set at the end of each.
        self._calls = dict[asyncio.Future[None], "asyncio.Task[object] | None"]()
        self._disk = asyncio.Lock()
        #: Waits for the disk that have begun, which of them ended last, and whether all was there.
        self._begun_waits = self._ended_wait = 0
        self._is_on_disk = False
        #: What uploads wait for, by its source.
        self._asked_sources = dict[object, asyncio.Future[object]]()
        self._signals = WeakSet[Signal]()
        #: What runs before each request until it has succeeded; None from then on.
        self.first: Callable[[], Exchange[None]] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self.is_closed = False

    async def run(self, exchange: Exchange[T]) -> T:
        """Return what an exchange returns, and raise what it raises; see `Transport.run`.

        Raises ClientMisused in another process or event loop than before, and after `close`.
        """
        self.check_use()
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._calls[end] = asyncio.current_task()
        try:
            return await run_awaiting(exchange, self.send)
        except REDIS_ERRORS as error:
            raise error.with_traceback(None) from None  # see `Transport.run`
        finally:
            del self._calls[end]
            end.set_result(None)

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
            self._outage.gives_up = lambda: True
            await ended(self._tasks)
            # Who is cancelled in the middle of a call ends its job by another request.
            calls = [end for end, task in self._calls.items() if task and task.cancelling()]
            if calls:
                await asyncio.wait(calls, timeout=_CANCELLED_S)
            self.is_closed = True
            for signal in self._signals:
                signal.notify_all()
            try:
                await ended(self._daemons)
                await self._listener.close()
            finally:
                await self._redis.aclose()

    async def send(self, request: Request) -> object:
        """Return the reply to one request."""
        if self.is_closed:
            raise _is_closed()
        self.driver.waiting += 1
        try:
            if (first := self.first) is not None:
                await run_awaiting(first(), self._reply)
                self.first = None
            return await self._reply(request)
        finally:
            self.driver.waiting -= 1

    async def _reply(self, request: Request) -> object:
        match request:
            case Until():
                return await self._wait(request)
            case Next(source):
                return await self._next_of(source)
            case Start(exchange, name, is_daemon):
                self._start(exchange, name, self._daemons if is_daemon else self._tasks)
            case Finish(sources):
                await self._finish(sources)
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Aside(function):
                return await asyncio.to_thread(function)
            case Durable():
                return await self._until_on_disk(request)
            case Listen(wait_s=wait_s) if wait_s > 0:
                return await self._listener.listen(request)
            case _:
                return await self._ask(request)
        return None

    async def _ask(self, request: Request) -> object:
        """Return what the server answers."""
        with redis_errors(self._redis):
            return await self._answer(request)

    async def _answer(self, request: Request) -> object:
        """Return what the server answers; raises redis-py's errors."""
        match request:
            case Command():
                ask = self._redis.execute_command
                return await self._in_turn(lambda: ask(*request, **request.options))  # type: ignore[no-untyped-call]
            case Pipeline(commands, raises):
                async with self._redis.pipeline(transaction=False) as pipe:
                    for one in commands:
                        pipe.execute_command(*one)
                    return await self._in_turn(lambda: pipe.execute(raise_on_error=raises))
            case _:
                return await run_awaiting(
                    steps_of(request, self._redis, self._prefix), self._answer
                )

    async def _in_turn(self, ask: Callable[[], Awaitable[W]]) -> W:
        """Ask with a connection, no longer than a block of `waiting_at_most` allows.

        A server that hangs is not waited for to the end of the socket's time, nor is a connection
        that others use. What is asked gets a moment in any case.
        """
        left_s = seconds_left()
        if left_s is None:
            return await self._with_connection(ask)
        try:
            async with asyncio.timeout(max(left_s, SHORTEST_ANSWER_S)):
                return await self._with_connection(ask)
        except TimeoutError:
            raise NoAnswerInTime("Timeout waiting for an answer") from None

    async def _with_connection(self, ask: Callable[[], Awaitable[W]]) -> W:
        came_at = self._outage.clock()
        async with self._turns:
            given_up = self._outage.given_up
            if given_up is not None and given_up.at > came_at:
                raise NoConnection(given_up.reason)  # all that wait hear of it together
            if self.is_closed:
                raise _is_closed()
            try:
                return await ask()
            finally:
                if self.is_closed:  # what broke by closing was asked again, over a new connection
                    await self._redis.aclose()

    async def _until_on_disk(self, request: Durable) -> bool:
        """Wait for the disk with all that were written before the wait begins: one at a time."""
        begun_before = self._begun_waits
        async with self._disk:
            if self._ended_wait <= begun_before:
                self._begun_waits = wait = self._begun_waits + 1
                self._is_on_disk = bool(await self._answer(request))
                self._ended_wait = wait
            return self._is_on_disk

    async def _wait(self, asked: Until) -> bool:
        """Return whether what is waited for holds in time, or the client is closed."""
        self._signals.add(asked.signal)
        event = asyncio.Event()
        with asked.signal.waking(event.set), suppress(TimeoutError):
            async with asyncio.timeout(asked.timeout_s):
                while not (self.is_closed or asked.holds()):
                    await event.wait()
                    event.clear()
        return self.is_closed or asked.holds()

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
            if asked.cancelled() and not _cancel_count():
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

    def _start(self, exchange: Exchange[None], name: str, tasks: "set[asyncio.Task[None]]") -> None:
        task = asyncio.create_task(self.run(exchange), name=name, context=unbounded_context())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(_log_error)


class AsyncStream(AsyncIterator[V]):
    """What a reading gives, one value at a time, in the task that asks.

    `aclose` ends it at once, also for another task that waits for a value.
    """

    def __init__(self, reading: Reading[V], transport: AsyncTransport) -> None:
        self._taken = Taken(reading)
        self._transport = transport
        self._values: Iterator[V] = iter(())
        #: What the task waits for that asks for values.
        self._asked: asyncio.Task[Iterable[V] | None] | None = None
        self._is_over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> V:
        while True:
            for value in self._values:
                return value
            if self._is_over:
                raise StopAsyncIteration
            # So that other tasks have their turn where all that is read is there.
            await asyncio.sleep(0)
            self._values = iter(await self._more())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End it: there is no other value."""
        self._is_over, self._values = True, iter(())
        if self._asked is None:
            self._taken.close()
        else:
            self._asked.cancel()  # whoever waits for it closes the reading

    async def _more(self) -> Iterable[V]:
        """Return what is given next; nothing at the end, and where another task closes it."""
        if self._is_over:
            return ()
        if self._asked is not None:
            raise ClientMisused(
                "Another task waits for a value of this iterator. Let one task read it, or give "
                "each an iterator of its own."
            )
        self._transport.check_use()
        values, cancels = None, _cancel_count()
        self._asked = asyncio.ensure_future(self._transport.run(self._taken.take_some()))
        try:
            values = await self._asked
        except asyncio.CancelledError:
            if not self._is_over or _cancel_count() > cancels:  # not by `aclose`
                raise
        finally:
            self._asked = None
            if values is None or self._is_over:
                self._is_over, values = True, ()
                self._taken.close()
        return values


def _cancel_count() -> int:
    """Return how often the current task was asked to end, and is on its way."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _is_closed() -> ClientMisused:
    return ClientMisused("This AsyncClient is closed. Make another one.")


def _log_error(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s has ended: %s", task.get_name(), error, exc_info=error)

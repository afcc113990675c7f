"""`Listener`: waits for entries of any number of streams over one connection.

One read of Redis (`XREAD BLOCK`) waits for all streams that somebody waits for. Who asks for
another one, or from an earlier place, wakes it by an entry in a stream of this client's own, and
the next read has that stream, too.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any, cast

from redis.exceptions import RedisError

from seqd.errors import SeqdError
from seqd.ledger.exchange import LOOK_S, Command, Heard, Listen, Pipeline, Request
from seqd.ledger.outage import unbounded_context, waiting_at_most

log = logging.getLogger(__name__)

#: Longest read where the listener cannot be woken, since the server is full or takes no writes.
UNWOKEN_READ_S = 0.2

#: Seconds for which the stream is kept by which a listener is woken, and its entries at most.
WAKE_TTL_S = 60
WAKE_ENTRIES = 16

#: Seconds between two reads at least, and for each stream: entries that come close together are
#: read together, and a read of 10,000 streams keeps the server busy for milliseconds.
PAUSE_S = 0.002
PAUSE_OF_STREAM_S = 10e-6

#: Entries of one stream that a read fetches.
READ_ENTRIES = 500

Place = tuple[int, int]


@dataclass(eq=False, slots=True)
class _Wait:
    """Somebody who waits for entries behind a place in each of some streams."""

    places: dict[str, Place]
    found: "asyncio.Future[Heard]"
    timer: asyncio.TimerHandle | None = field(default=None)


class Listener:
    """Waits for all tasks of one event loop."""

    def __init__(self, ask: Callable[[Request], Awaitable[object]], wake_key: str) -> None:
        """`ask` returns what the server answers."""
        self._ask = ask
        self._wake_key = wake_key
        self._woken_at = "0-0"
        self._waits: dict[str, set[_Wait]] = {}
        #: What the read under way waits for: the place in each stream.
        self._reading: dict[str, Place] = {}
        self._is_woken = False
        self._can_wake = True
        self._task: asyncio.Task[None] | None = None
        self._waking: asyncio.Task[None] | None = None

    async def listen(self, request: Listen) -> Heard:
        """Return the entries of streams, each behind its id; none after `wait_s` seconds."""
        loop = asyncio.get_running_loop()
        places = {stream: order_of(after) for stream, after in request.streams.items()}
        wait = _Wait(places, loop.create_future())
        wait.timer = loop.call_later(request.wait_s, _resolve, wait, {})
        for stream in places:
            self._waits.setdefault(stream, set()).add(wait)
        try:
            self._have_read(places)
            return await wait.found
        finally:
            wait.timer.cancel()
            if wait.found.done() and not wait.found.cancelled():
                wait.found.exception()  # it is known, also to a task that was cancelled
            for stream in places:
                self._forget(stream, wait)

    async def close(self) -> None:
        """End the read; whoever waits for it hears of nothing."""
        await ended([task for task in (self._task, self._waking) if task is not None])
        for waits in self._waits.values():
            for wait in waits:
                _resolve(wait, {})

    def _have_read(self, places: dict[str, Place]) -> None:
        """See to it that a read has these places, now or next."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(
                self._run(), name="seqd-listener", context=unbounded_context()
            )
            return
        is_read = all(
            stream in self._reading and self._reading[stream] <= place
            for stream, place in places.items()
        )
        if self._reading and not is_read and not self._is_woken:
            self._is_woken = True
            # In a task of its own: that of whoever waits may be cancelled.
            self._waking = asyncio.create_task(
                self._wake(), name="seqd-listener-wake", context=unbounded_context()
            )

    async def _wake(self) -> None:
        """End the read under way; a server that cannot write ends it a little later by itself."""
        entry = ("MAXLEN", "~", WAKE_ENTRIES, "*", "jobs", "")
        added = Command(("XADD", self._wake_key, *entry))
        try:
            with waiting_at_most(0):
                await self._ask(Pipeline((added, Command(("EXPIRE", self._wake_key, WAKE_TTL_S)))))
        except (SeqdError, RedisError) as error:
            self._can_wake = False
            log.debug("the listener was not woken: %s", error)
        else:
            self._can_wake = True

    async def _run(self) -> None:
        """Read as long as somebody waits."""
        try:
            while self._waits:
                self._is_woken = False
                self._reading = {
                    stream: min(wait.places[stream] for wait in waits)
                    for stream, waits in self._waits.items()
                }
                places = {name: f"{ms}-{number}" for name, (ms, number) in self._reading.items()}
                places[self._wake_key] = self._woken_at
                wait_s = LOOK_S if self._can_wake else UNWOKEN_READ_S
                found = cast(Heard, await self._ask(Listen(places, wait_s, READ_ENTRIES)))
                if woken := found.pop(self._wake_key, None):
                    self._woken_at = woken[-1][0].decode()
                pause_s = PAUSE_S + PAUSE_OF_STREAM_S * len(self._reading)
                self._reading = {}
                self._hand_out(found)
                await asyncio.sleep(pause_s)
        except Exception as error:  # noqa: BLE001 - raised in whoever waits
            for waits in self._waits.values():
                for wait in waits:
                    if not wait.found.done():
                        wait.found.set_exception(error)
        finally:
            self._reading = {}

    def _hand_out(self, found: Heard) -> None:
        ordered = {
            name: [(order_of(one[0].decode()), one) for one in entries]
            for name, entries in found.items()
        }
        for stream in ordered:
            for wait in self._waits.get(stream, ()):
                if wait.found.done():
                    continue
                new = {
                    name: [one for order, one in ordered[name] if order > place]
                    for name, place in wait.places.items()
                    if name in ordered
                }
                if new[stream]:
                    _resolve(wait, {name: some for name, some in new.items() if some})

    def _forget(self, stream: str, wait: _Wait) -> None:
        waits = self._waits.get(stream)
        if waits is not None:
            waits.discard(wait)
            if not waits:
                del self._waits[stream]


async def ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _resolve(wait: _Wait, found: Heard) -> None:
    if not wait.found.done():
        wait.found.set_result(found)


def order_of(stream_id: str) -> Place:
    """Return the sort key of a stream id."""
    milliseconds, _, number = stream_id.partition("-")
    return int(milliseconds), int(number or 0)

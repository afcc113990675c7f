"""Event loops, and clients of both faces, for tests.

LOOPS            the kinds of event loop, as parameters
run              runs a coroutine in a loop of a kind, and holds it to a limit
an_async_client  a client of asyncio of a cluster's ledger
faces            a parameter: the name of a face
face_of          a client of that face, called as one that blocks
both_of          one client of each face
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, Self, TypeVar, cast

import pytest
import uvloop

from seqd.client import AsyncClient, Client
from seqd.ledger.acl import Role
from worker_fixtures import Cluster

#: Longest that anything may take.
LIMIT_S = 120.0

LOOPS = ("asyncio", "uvloop")

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], loop: str = "asyncio", limit_s: float = LIMIT_S) -> T:
    """Return what a coroutine returns; raises TimeoutError where it takes longer than the limit."""

    async def limited() -> T:
        async with asyncio.timeout(limit_s):
            return await work

    if loop == "asyncio":
        return asyncio.run(limited())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(limited())


def an_async_client(cluster: Cluster, **settings: object) -> AsyncClient:
    """Return a client; the block that uses it closes it."""
    return AsyncClient(settings=cluster.settings_of(Role.CLIENT, **settings))


class Face:
    """A client that is called as one that blocks; one of asyncio, in a loop of its own.

    Both have the same methods (`test_client_faces.py`), so its type is that of the one that blocks.
    """

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client = cast(Client, client)
        self._loop = asyncio.new_event_loop() if isinstance(client, AsyncClient) else None
        if self._loop is not None:
            self._thread = Thread(target=self._loop.run_forever)
            self._thread.start()

    def do(self, call: Callable[[], T]) -> T:
        """Return what a call of the client or of its jobs returns."""
        if self._loop is None:
            return call()
        return asyncio.run_coroutine_threadsafe(self._awaited(call), self._loop).result()

    def all_of(self, call: Callable[[], Iterable[T]]) -> list[T]:
        """Return a list of all that a call yields."""
        found = self.do(call)
        return found if isinstance(found, list) else list(found)

    async def _awaited(self, call: Callable[[], T]) -> T:
        found: object = call()
        if inspect.isawaitable(found):
            found = await found
        if hasattr(found, "__aiter__"):
            found = [one async for one in found]
        return cast(T, found)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._loop is None:
            self.client.__exit__(*error)
            return
        try:
            self.do(lambda: cast(AsyncClient, self.client).__aexit__(*error))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


FACES: dict[str, Callable[..., Client | AsyncClient]] = {"blocking": Client, "async": AsyncClient}

faces = pytest.mark.parametrize("face", FACES)


def face_of(cluster: Cluster, face: str, **settings: object) -> Face:
    """Return a client of a face; the block that uses it closes it."""
    return Face(FACES[face](settings=cluster.settings_of(Role.CLIENT, **settings)))


@contextmanager
def both_of(cluster: Cluster, **settings: object) -> Iterator[list[Face]]:
    """Give a client of each face, the one that blocks first."""
    with (
        face_of(cluster, "blocking", **settings) as blocking,
        face_of(cluster, "async", **settings) as asynchronous,
    ):
        yield [blocking, asynchronous]

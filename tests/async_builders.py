"""Event loops and clients of asyncio for tests.

LOOPS            the kinds of event loop, as parameters
run              runs a coroutine in a loop of a kind, and holds it to a limit
an_async_client  a client of a cluster's ledger
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

from seqd.client import AsyncClient
from worker_fixtures import Cluster

#: Longest that anything may take.
LIMIT_S = 30.0

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
    return AsyncClient(settings=cluster.settings.model_copy(update=settings))

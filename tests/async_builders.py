"""Event loops and clients of asyncio for tests.

loops            the kinds of event loop that are installed, as parameters
run              runs a coroutine in a loop of a kind, and holds it to a limit
an_async_client  a client of a cluster's ledger
"""

import asyncio
from collections.abc import Coroutine
from importlib.util import find_spec
from typing import Any, TypeVar

import pytest

from seqd.client import AsyncClient
from worker_fixtures import Cluster

#: Longest that anything may take.
LIMIT_S = 30.0

T = TypeVar("T")


def loops() -> list[object]:
    """Return the kinds of event loop; uvloop is skipped where it is not installed."""
    missing = pytest.mark.skipif(find_spec("uvloop") is None, reason="uvloop is not installed")
    return [pytest.param("asyncio"), pytest.param("uvloop", marks=missing)]


def run(work: Coroutine[Any, Any, T], loop: str = "asyncio", limit_s: float = LIMIT_S) -> T:
    """Return what a coroutine returns; raises TimeoutError where it takes longer than the limit."""

    async def limited() -> T:
        async with asyncio.timeout(limit_s):
            return await work

    if loop == "asyncio":
        return asyncio.run(limited())
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(limited())


def an_async_client(cluster: Cluster, **settings: object) -> AsyncClient:
    """Return a client; the block that uses it closes it."""
    return AsyncClient(settings=cluster.settings.model_copy(update=settings))

"""Scripts of the ledger that a server does not have: the call loads them, also in a failover."""

import asyncio
from collections.abc import Iterator

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from ledger_fixtures import Environment
from seqd.client import AsyncClient, Client

pytestmark = pytest.mark.processes


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The first script of a client is loaded into another server than the one that is to run it."""
    loaded: list[str] = []
    load, load_later = Redis.script_load, AsyncRedis.script_load

    def script_load(self: Redis, script: str) -> object:
        loaded.append(script)
        return "0" * 40 if len(loaded) == 1 else load(self, script)

    async def script_load_later(self: AsyncRedis, script: str) -> object:
        loaded.append(script)
        return "0" * 40 if len(loaded) == 1 else await load_later(self, script)

    monkeypatch.setattr(Redis, "script_load", script_load)
    monkeypatch.setattr(AsyncRedis, "script_load", script_load_later)
    yield loaded


def test_a_script_that_was_loaded_into_the_former_primary_is_loaded_again(
    environment: Environment, elsewhere: list[str]
) -> None:
    job_id = environment.submit_units(1)
    elsewhere.clear()
    environment.redis.script_flush()

    with Client(settings=environment.settings) as client:
        assert client.job(job_id).cancel() == "cancelled"

    assert len(elsewhere) == 2


def test_the_client_of_asyncio_does_the_same(
    environment: Environment, elsewhere: list[str]
) -> None:
    job_id = environment.submit_units(1)
    elsewhere.clear()
    environment.redis.script_flush()

    async def cancel() -> str:
        async with AsyncClient(settings=environment.settings) as client:
            return await client.job(job_id).cancel()

    assert asyncio.run(cancel()) == "cancelled"
    assert len(elsewhere) == 2

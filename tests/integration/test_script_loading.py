"""Scripts of the ledger that a server does not have: the call loads them, also in a failover."""

from collections.abc import Iterator

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from async_builders import FACES, Face, faces
from ledger_fixtures import Environment

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


@faces
def test_a_script_that_was_loaded_into_the_former_primary_is_loaded_again(
    environment: Environment, elsewhere: list[str], face: str
) -> None:
    job_id = environment.submit_units(1)
    elsewhere.clear()
    environment.redis.script_flush()

    with Face(FACES[face](settings=environment.settings)) as client:
        assert client.do(lambda: client.client.job(job_id).cancel()) == "cancelled"

    assert len(elsewhere) == 2

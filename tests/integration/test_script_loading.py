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

    def is_first_load(words: tuple[object, ...]) -> bool:
        if words[:2] == ("SCRIPT", "LOAD"):
            loaded.append(str(words[2]))
        return words[:2] == ("SCRIPT", "LOAD") and len(loaded) == 1

    execute, execute_later = Redis.execute_command, AsyncRedis.execute_command

    def execute_command(self: Redis, *words: object, **options: object) -> object:
        return b"0" * 40 if is_first_load(words) else execute(self, *words, **options)

    async def execute_command_later(self: AsyncRedis, *words: object, **options: object) -> object:
        return b"0" * 40 if is_first_load(words) else await execute_later(self, *words, **options)

    monkeypatch.setattr(Redis, "execute_command", execute_command)
    monkeypatch.setattr(AsyncRedis, "execute_command", execute_command_later)
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

"""The tests' own servers do what other tests build on."""

import pytest
import redis

from redis_fixtures import PrivateServer, Server, forget_keys
from seqd.settings import Settings

pytestmark = pytest.mark.processes


def test_a_tests_keys_go_and_those_of_others_stay(settings: Settings) -> None:
    assert settings.redis_url is not None
    with redis.Redis.from_url(settings.redis_url) as client:
        client.set(f"{settings.prefix}:job", "mine")
        client.set(f"other-{settings.prefix}", "not mine", ex=60)

        forget_keys(settings.redis_url, settings.prefix)

        assert client.get(f"{settings.prefix}:job") is None
        assert client.getdel(f"other-{settings.prefix}") == b"not mine"


def test_any_server_is_a_redis_and_then_a_valkey(
    any_server: Server, request: pytest.FixtureRequest
) -> None:
    with redis.Redis.from_url(any_server.url) as client:
        server = client.info("server")

    kind = "valkey" if "valkey_version" in server else "redis"
    assert f"[{kind}]" in request.node.name


def test_a_private_server_keeps_its_address_and_keys_over_a_crash(
    private_server: PrivateServer,
) -> None:
    url = private_server.url
    with redis.Redis.from_url(url) as client:
        client.set("job", "kept")
        private_server.kill()

        private_server.restart()

        assert private_server.url == url
        assert client.get("job") == b"kept"


def test_a_private_server_that_hangs_can_still_be_stopped(private_server: PrivateServer) -> None:
    private_server.freeze()

    private_server.stop()

    with (
        redis.Redis.from_url(private_server.url, retry=None) as client,
        pytest.raises(redis.ConnectionError),
    ):
        client.ping()

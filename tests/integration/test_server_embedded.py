"""The embedded server: private, durable, alone on its folder, found by others, gone with us."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from held_ports import Holder, hold_port
from redis_fixtures import PrivateServer, binary_of_kind, prefer_server
from seqd.errors import InvalidSettings, PortTaken, RedisUnreachable, SeqdError
from seqd.local.endpoint import ENDPOINT_NAME, answers, is_alive, read_endpoint, redis_url_of
from seqd.local.redis_server import EmbeddedServer, running_server
from seqd.settings import Settings
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

OWNER = """
import sys, time
from pathlib import Path
from seqd.local.redis_server import EmbeddedServer
from seqd.settings import Settings
server = EmbeddedServer(Settings(data_dir=Path(sys.argv[1])))
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""

#: Prints how often a client reads where the server is, after it has connected.
LOOKS = """
import asyncio, sys
from seqd.client import AsyncClient, Client
from seqd.local.endpoint import ENDPOINT_NAME
opened = []
sys.addaudithook(lambda event, given: event == "open" and opened.append(str(given[0])))
def looks():
    return sum(path.endswith(ENDPOINT_NAME) for path in opened)
async def ask():
    async with AsyncClient() as client:
        await client.catalog()
        opened.clear()
        for _ in range(10): await client.catalog()
        return looks()
with Client() as client:
    client.catalog()
    opened.clear()
    for _ in range(10): client.catalog()
    print(looks(), asyncio.run(ask()))
"""


@pytest.fixture
def local(tmp_path: Path) -> Settings:
    """Settings without a Redis, in a folder whose name needs quoting."""
    return Settings(data_dir=tmp_path / 'my "data" \\ folder é')


@contextmanager
def running(settings: Settings) -> Iterator[tuple[EmbeddedServer, redis.Redis]]:
    with EmbeddedServer(settings) as server, redis.Redis.from_url(server.url) as client:
        yield server, client


@contextmanager
def owned(settings: Settings) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Run a server of another process; gives that process and the server's id."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(settings.data_dir)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        try:
            yield owner, int(owner.stdout.readline())
        finally:
            owner.kill()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_it_is_private_durable_and_keeps_what_it_was_told_over_restarts_and_crashes(
    local: Settings, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer_server(kind, tmp_path, monkeypatch)  # type: ignore[arg-type]
    with running(local) as (server, client):
        path = client.connection_pool.connection_kwargs["path"]
        with (
            redis.Redis(unix_socket_path=path, protocol=2, retry=Retry(NoBackoff(), 0)) as stranger,
            pytest.raises(redis.AuthenticationError, match="Authentication required"),
        ):
            stranger.ping()
        found = client.config_get("*")
        assert {name: found[name] for name in ("appendonly", "appendfsync", "bind")} == {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "bind": "127.0.0.1",
        }
        assert found["maxmemory-policy"] == "noeviction"
        assert found["lazyfree-lazy-expire"] == found["lazyfree-lazy-server-del"] == "yes"
        for command in (("DEBUG", "SLEEP", "0"), ("MODULE", "LOAD", "/tmp/x.so")):
            with pytest.raises(redis.ResponseError, match=r"unknown command|not allowed"):
                client.execute_command(*command)
        client.set("job", "kept")
        first = read_endpoint(server.folder / ENDPOINT_NAME)

    with running(local) as (server, client):
        assert client.get("job") == b"kept"
        second = read_endpoint(server.folder / ENDPOINT_NAME)
        # Its password stays with the folder, and its identity does not.
        assert first is not None and second is not None and second.url == first.url
        assert answers(second.url, second.server_id)
        assert not answers(first.url, first.server_id)
        os.kill(server.pid, signal.SIGKILL)

    with running(local) as (_, client):
        assert client.get("job") == b"kept"


def test_glibc_is_told_to_merge_what_it_frees_at_once(
    local: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, program = tmp_path / "seen", tmp_path / "bin" / "redis-server"
    program.parent.mkdir()
    real = binary_of_kind("redis").path
    program.write_text(f'#!/bin/sh\n/usr/bin/env > {seen}\nexec {real} "$@"\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(program.parent))

    with EmbeddedServer(local):
        pass

    assert "GLIBC_TUNABLES=glibc.malloc.mxfast=0" in seen.read_text().splitlines()


def test_its_password_is_for_its_owners_eyes_only(local: Settings) -> None:
    with EmbeddedServer(local) as server:
        password = server.url.split(":")[2].split("@")[0]
        seen_by_all = subprocess.check_output(
            ["ps", "-o", "args=", "-p", str(server.pid)], text=True
        )

        assert len(password) >= 32
        assert mode(server.folder) == 0o700
        for name in ("redis.conf", "endpoint.json", "password"):
            assert mode(server.folder / name) == 0o600
        assert password not in seen_by_all
        assert password not in (server.folder / "redis.log").read_text()


@pytest.mark.parametrize("content", [None, "", "a password of somebody else's\n"])
def test_a_password_that_others_may_know_or_that_is_damaged_is_not_used_again(
    local: Settings, content: str | None
) -> None:
    with EmbeddedServer(local) as server:
        before = server.url
    kept = server.folder / "password"
    kept.chmod(0o644) if content is None else kept.write_text(content)

    with EmbeddedServer(local) as server:
        assert server.url != before
        assert mode(kept) == 0o600


def test_what_a_killed_one_had_not_finished_writing_is_removed(local: Settings) -> None:
    folder = local.data_dir / "redis"
    (folder / "appendonlydir").mkdir(parents=True)
    drafts = [
        folder / "temp-rewriteaof-bg-4711.aof",
        folder / "appendonlydir" / "temp-appendonly.aof.manifest",
        folder / ".endpoint.json.4711",
    ]
    for path in [*drafts, folder / "notes"]:
        path.touch()

    with EmbeddedServer(local):
        assert not any(path.exists() for path in drafts)
        assert (folder / "notes").exists()


def test_a_server_that_takes_any_password_is_not_taken_for_it(
    local: Settings, private_server: PrivateServer
) -> None:
    with EmbeddedServer(local) as server, redis.Redis.from_url(private_server.url) as other:
        other.config_set("requirepass", "")
        endpoint = read_endpoint(server.folder / ENDPOINT_NAME)
        assert endpoint is not None
        url = f"redis://default:wrong@127.0.0.1:{private_server.port}/0"

        assert answers(endpoint.url, endpoint.server_id)
        assert answers(url)
        assert not answers(url, endpoint.server_id)


def test_another_command_finds_it_while_it_runs_and_a_second_one_is_refused(
    local: Settings,
) -> None:
    with EmbeddedServer(local) as server:
        with pytest.raises(InvalidSettings) as refusal:
            EmbeddedServer(local).start()
        assert redis_url_of(local) == server.url

        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(RedisUnreachable) as silent:
            redis_url_of(local, patience_s=0.1)
    with pytest.raises(RedisUnreachable) as gone:
        redis_url_of(local)

    assert str(refusal.value) == (
        f"Process {os.getpid()} runs a Redis server on {server.folder} already, and two "
        "servers would ruin each other's file. Use that one (commands find it by themselves), "
        f"stop it (Ctrl-C where `seqd up` runs, or `kill {os.getpid()}`), or set SEQD_DATA_DIR "
        "to another folder."
    )
    assert str(silent.value) == (
        f"The Redis server of {local.data_dir} does not answer. Process {os.getpid()}, to which it "
        "belongs, is up, and `seqd up` starts its server again by itself. "
        f"{local.data_dir / 'redis' / 'redis.log'} says what is wrong. Try again later."
    )
    assert str(gone.value) == (
        f"No Redis server runs for {local.data_dir}: start one with `seqd up`, or set "
        "SEQD_REDIS_URL, such as redis://127.0.0.1:6379/0."
    )


def test_a_client_looks_for_it_once_a_connection(local: Settings) -> None:
    environment = {**os.environ, "SEQD_DATA_DIR": str(local.data_dir)}
    environment.pop("SEQD_REDIS_URL", None)
    with running(local):
        printed = subprocess.check_output(
            [sys.executable, "-c", LOOKS], env=environment, text=True, timeout=120
        )
    assert printed == "0 0\n"


def test_one_whose_owner_was_killed_is_not_taken_for_a_running_one(local: Settings) -> None:
    with owned(local) as (owner, pid):
        os.kill(pid, signal.SIGKILL)
        owner.kill()
        owner.wait()

        with pytest.raises(RedisUnreachable) as refusal:
            redis_url_of(local)

    assert str(refusal.value) == (
        f"The Redis server of {local.data_dir} (process {pid}) no longer answers, and its "
        "`seqd up` has ended: start one with `seqd up`, or set SEQD_REDIS_URL."
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs PR_SET_PDEATHSIG")
def test_it_ends_when_its_owner_is_killed_and_the_next_one_can_start(local: Settings) -> None:
    with owned(local) as (owner, pid):
        with redis.Redis.from_url(redis_url_of(local)) as client:
            client.set("job", "kept")

        owner.kill()
        owner.wait()
        with running(local) as (_, client):
            assert client.get("job") == b"kept"

        wait_until(lambda: not is_alive(pid), "the owner's server ended")


def test_another_host_on_the_same_folder_is_told_what_to_set(local: Settings) -> None:
    path = local.data_dir / "redis" / ENDPOINT_NAME
    with running_server(local):
        here = read_endpoint(path)
        assert here is not None and here.host == socket.gethostname()
        there = {"host": "gpu-7", "url": f"unix://{path}.sock"}
        path.write_text(here.model_copy(update=there).model_dump_json())

        with pytest.raises(RedisUnreachable) as asked:
            redis_url_of(local, patience_s=0.0)
        with pytest.raises(InvalidSettings) as started, running_server(local):
            pass
        path.write_text(here.model_dump_json())

    assert str(asked.value) == str(started.value)
    assert str(asked.value).startswith(
        f"The Redis server of {local.data_dir} was started on the host gpu-7, and no other host "
        "reaches it: set SEQD_REDIS_URL to a server that all hosts reach, and on each host "
    )


def test_an_endpoint_file_that_is_damaged_is_reported_with_its_path(local: Settings) -> None:
    path = local.data_dir / "redis" / "endpoint.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"url": "redis://')

    with pytest.raises(RedisUnreachable) as refusal:
        redis_url_of(local)

    assert str(refusal.value) == (
        f"{path} cannot be used (1 validation error for Endpoint): stop `seqd up`, remove the "
        "file, and start it again."
    )


def test_a_folder_of_data_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")

    with pytest.raises(RedisUnreachable) as refusal:
        redis_url_of(Settings(data_dir=tmp_path / "data"))

    assert str(refusal.value) == (
        f"No Redis server runs for {tmp_path / 'data'}, which is no folder: set SEQD_DATA_DIR to "
        "one."
    )


def test_a_port_that_is_taken_is_reported_with_the_way_to_use_a_redis_there(
    local: Settings, tmp_path: Path
) -> None:
    holder = Holder()

    def refusal(port: int) -> str:
        with pytest.raises(PortTaken) as taken:
            EmbeddedServer(local.model_copy(update={"redis_port": port})).start()
        return str(taken.value)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        of_another = listener.getsockname()[1]
        said = refusal(of_another)
    of_redis = hold_port(holder)
    with EmbeddedServer(Settings(data_dir=tmp_path / "other", redis_port=of_redis)):
        said_of_redis = refusal(of_redis)

    assert said == (
        f"SEQD_REDIS_PORT is {of_another}, but another program listens on 127.0.0.1:{of_another}. "
        "Choose another port, or unset SEQD_REDIS_PORT: a Unix socket needs none."
    )
    assert said_of_redis == (
        f"SEQD_REDIS_PORT is {of_redis}, but a Redis server listens on 127.0.0.1:{of_redis} "
        f"already. To use that one, set SEQD_REDIS_URL=redis://127.0.0.1:{of_redis}/0; else unset "
        "SEQD_REDIS_PORT: a Unix socket needs none."
    )


def test_a_file_that_it_cannot_load_is_reported_and_the_folder_is_free_again(
    local: Settings,
) -> None:
    folder = local.data_dir / "redis"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof").write_bytes(b"*3\r\n$3\r\nSET\r\nthis is no append-only file\r\n")

    with pytest.raises(RedisUnreachable) as refusal:
        EmbeddedServer(local).start()
    # Valkey moves a file of the old form into `appendonlydir` before it reads it.
    for file in folder.rglob("append*.aof*"):
        file.unlink()

    first, *log = str(refusal.value).splitlines()
    assert first == (
        f"The embedded Redis server ended before it answered. {folder / 'redis.log'} ends with:"
    )
    assert any("Bad file format" in line for line in log)
    with EmbeddedServer(local):
        assert redis_url_of(local)


def test_a_data_folder_may_be_relative_and_one_that_cannot_be_made_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with EmbeddedServer(Settings(data_dir=Path("here"))):
        assert (tmp_path / "here" / "redis" / "endpoint.json").exists()
    (tmp_path / "file").touch()

    with pytest.raises(SeqdError) as refusal:
        EmbeddedServer(Settings(data_dir=tmp_path / "file")).start()

    assert str(refusal.value) == (
        f"SEQD_DATA_DIR is {tmp_path / 'file'}, where {tmp_path / 'file' / 'redis'} cannot be made "
        "(Not a directory): set it to a folder that this user may write."
    )


def test_a_server_runs_for_the_while_only_where_none_is_given(local: Settings) -> None:
    given = local.model_copy(update={"redis_url": "rediss://:secret@host/0"})
    with running_server(given) as server:
        assert (server.url, server.embedded) == ("rediss://:secret@host/0", None)
        assert redis_url_of(given) == server.url
        assert not local.data_dir.exists()

    with running_server(local) as server, redis.Redis.from_url(server.url) as client:
        pid = client.info("server")["process_id"]
        assert is_alive(pid)

    assert not is_alive(pid)

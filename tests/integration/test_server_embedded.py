"""The embedded server: private, durable, alone on its folder, found by others, gone with us."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from held_ports import Holder, hold_port
from redis_fixtures import PrivateServer, binary_of_kind, prefer_server
from seqd.errors import InvalidSettings, PortTaken, RedisUnreachable
from seqd.local.endpoint import (
    ENDPOINT_NAME,
    Endpoint,
    answers,
    is_alive,
    read_endpoint,
    redis_url_of,
)
from seqd.local.redis_binaries import ServerKind
from seqd.local.redis_server import EmbeddedServer, running_server
from seqd.settings import Settings

pytestmark = pytest.mark.processes

#: What ends with its owner ends within milliseconds; a loaded machine may take longer.
DEADLINE_S = 10.0

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


@pytest.fixture
def local(tmp_path: Path) -> Settings:
    """Settings without a Redis, in a folder whose name needs quoting."""
    return Settings(data_dir=tmp_path / 'my "data" \\ folder é')


@pytest.fixture(params=["redis", "valkey"])
def each_kind(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ServerKind:
    """Run the test on Redis and on Valkey, as if only that one were on PATH."""
    kind: ServerKind = request.param
    prefer_server(kind, tmp_path, monkeypatch)
    return kind


def wait_until(claim: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not claim():
        assert time.monotonic() < deadline, f"{what} within {DEADLINE_S} s"
        time.sleep(0.01)


def arguments_of(pid: int) -> str:
    """What every user of the machine can see of a process."""
    return subprocess.check_output(["ps", "-o", "args=", "-p", str(pid)], text=True)


def endpoint_of(server: EmbeddedServer) -> Endpoint:
    endpoint = read_endpoint(server.folder / ENDPOINT_NAME)
    assert endpoint is not None
    return endpoint


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Another program's port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.usefixtures("each_kind")
def test_it_answers_to_its_own_password_only(local: Settings) -> None:
    with EmbeddedServer(local) as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()

        path = client.connection_pool.connection_kwargs["path"]
        with (
            redis.Redis(unix_socket_path=path, protocol=2, retry=Retry(NoBackoff(), 0)) as stranger,
            pytest.raises(redis.AuthenticationError, match="Authentication required"),
        ):
            stranger.ping()


@pytest.mark.usefixtures("each_kind")
def test_it_keeps_an_append_only_file_and_evicts_nothing(local: Settings) -> None:
    with EmbeddedServer(local) as server, redis.Redis.from_url(server.url) as client:
        assert client.config_get("append*")["appendonly"] == "yes"
        assert client.config_get("append*")["appendfsync"] == "everysec"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


@pytest.mark.usefixtures("each_kind")
@pytest.mark.parametrize("command", [("DEBUG", "SLEEP", "0"), ("MODULE", "LOAD", "/tmp/x.so")])
def test_commands_that_run_code_or_crash_it_are_off(
    local: Settings, command: tuple[str, ...]
) -> None:
    with (
        EmbeddedServer(local) as server,
        redis.Redis.from_url(server.url) as client,
        pytest.raises(redis.ResponseError, match=r"unknown command|not allowed"),
    ):
        client.execute_command(*command)


@pytest.mark.usefixtures("each_kind")
def test_it_frees_what_expires_beside_its_work(local: Settings) -> None:
    with EmbeddedServer(local) as server, redis.Redis.from_url(server.url) as client:
        found = client.config_get("lazyfree-lazy-*")

    assert {found["lazyfree-lazy-expire"], found["lazyfree-lazy-server-del"]} == {"yes"}


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

        assert len(password) >= 32
        assert mode(server.folder) == 0o700
        assert mode(server.folder / "redis.conf") == 0o600
        assert mode(server.folder / "endpoint.json") == 0o600
        assert password not in arguments_of(server.pid)
        assert password not in (server.folder / "redis.log").read_text()


@pytest.mark.usefixtures("each_kind")
def test_what_it_was_told_survives_a_restart(local: Settings) -> None:
    with EmbeddedServer(local) as server, redis.Redis.from_url(server.url) as client:
        client.set("job", "kept")

    with EmbeddedServer(local) as server, redis.Redis.from_url(server.url) as client:
        assert client.get("job") == b"kept"


def test_what_it_was_told_survives_its_crash(local: Settings) -> None:
    with EmbeddedServer(local) as server, redis.Redis.from_url(server.url) as client:
        client.set("job", "kept")
        os.kill(server.pid, signal.SIGKILL)

    with EmbeddedServer(local) as server, redis.Redis.from_url(server.url) as client:
        assert client.get("job") == b"kept"


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


@pytest.mark.usefixtures("each_kind")
def test_its_password_stays_with_the_folder_and_its_identity_does_not(local: Settings) -> None:
    with EmbeddedServer(local) as server:
        first = endpoint_of(server)
    with EmbeddedServer(local) as server:
        second = endpoint_of(server)
        assert answers(second.url, second.server_id)
        assert not answers(first.url, first.server_id)

    assert mode(server.folder / "password") == 0o600
    assert second.url == first.url
    assert second.server_id != first.server_id


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


def test_a_server_that_takes_any_password_is_not_taken_for_it(
    local: Settings, private_server: PrivateServer
) -> None:
    with EmbeddedServer(local) as server, redis.Redis.from_url(private_server.url) as other:
        other.config_set("requirepass", "")
        endpoint = endpoint_of(server)
        url = f"redis://default:wrong@127.0.0.1:{private_server.port}/0"

        assert answers(endpoint.url, endpoint.server_id)
        assert answers(url)
        assert not answers(url, endpoint.server_id)


def test_another_command_finds_it_while_it_runs(local: Settings) -> None:
    with EmbeddedServer(local) as server:
        assert redis_url_of(local) == server.url

    with pytest.raises(RedisUnreachable) as refusal:
        redis_url_of(local)
    assert str(refusal.value) == (
        f"No Redis server runs for {local.data_dir}: start one with `seqd up`, or set "
        "SEQD_REDIS_URL, such as redis://127.0.0.1:6379/0."
    )


def test_one_that_does_not_answer_is_waited_for_while_its_owner_is_alive(local: Settings) -> None:
    with EmbeddedServer(local) as server:
        os.kill(server.pid, signal.SIGKILL)

        with pytest.raises(RedisUnreachable) as refusal:
            redis_url_of(local, patience_s=0.1)

    assert str(refusal.value) == (
        f"The Redis server of {local.data_dir} does not answer. Process {os.getpid()}, to which it "
        "belongs, is up, and `seqd up` starts its server again by itself. "
        f"{local.data_dir / 'redis' / 'redis.log'} says what is wrong. Try again later."
    )


def test_one_whose_owner_was_killed_is_not_taken_for_a_running_one(local: Settings) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(local.data_dir)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        os.kill(pid, signal.SIGKILL)
        owner.kill()

    with pytest.raises(RedisUnreachable) as refusal:
        redis_url_of(local)

    assert str(refusal.value) == (
        f"The Redis server of {local.data_dir} (process {pid}) no longer answers, and its "
        "`seqd up` has ended: start one with `seqd up`, or set SEQD_REDIS_URL."
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


def test_a_second_one_on_the_same_folder_is_refused_and_leaves_the_first_alone(
    local: Settings,
) -> None:
    with EmbeddedServer(local) as server:
        with pytest.raises(InvalidSettings) as refusal:
            EmbeddedServer(local).start()

        assert str(refusal.value) == (
            f"Process {os.getpid()} runs a Redis server on {server.folder} already, and two "
            "servers would ruin each other's file. Use that one (commands find it by themselves), "
            f"stop it (Ctrl-C where `seqd up` runs, or `kill {os.getpid()}`), or set SEQD_DATA_DIR "
            "to another folder."
        )
        assert redis_url_of(local) == server.url


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs PR_SET_PDEATHSIG")
def test_it_ends_when_its_owner_is_killed_and_the_next_one_can_start(local: Settings) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(local.data_dir)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        with redis.Redis.from_url(redis_url_of(local)) as client:
            client.set("job", "kept")

        owner.kill()
        owner.wait()
        with EmbeddedServer(local) as server, redis.Redis.from_url(server.url) as client:
            assert client.get("job") == b"kept"

        wait_until(lambda: not is_alive(pid), "the owner's server ended")


def test_a_port_that_another_program_has_is_reported(
    local: Settings, listener: socket.socket
) -> None:
    port = listener.getsockname()[1]

    with pytest.raises(PortTaken) as refusal:
        EmbeddedServer(local.model_copy(update={"redis_port": port})).start()

    assert str(refusal.value) == (
        f"SEQD_REDIS_PORT is {port}, but another program listens on 127.0.0.1:{port}. "
        "Choose another port, or unset SEQD_REDIS_PORT: a Unix socket needs none."
    )


def test_a_port_that_a_redis_has_is_reported_with_the_way_to_use_that(
    local: Settings, tmp_path: Path
) -> None:
    holder = Holder()
    port = hold_port(holder)
    with (
        EmbeddedServer(Settings(data_dir=tmp_path / "other", redis_port=port)),
        pytest.raises(PortTaken) as refusal,
    ):
        EmbeddedServer(local.model_copy(update={"redis_port": port})).start()

    assert str(refusal.value) == (
        f"SEQD_REDIS_PORT is {port}, but a Redis server listens on 127.0.0.1:{port} already. To "
        f"use that one, set SEQD_REDIS_URL=redis://127.0.0.1:{port}/0; else unset "
        "SEQD_REDIS_PORT: a Unix socket needs none."
    )


def test_a_file_that_it_cannot_load_is_reported_with_the_end_of_its_log(local: Settings) -> None:
    folder = local.data_dir / "redis"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof").write_bytes(b"*3\r\n$3\r\nSET\r\nthis is no append-only file\r\n")

    with pytest.raises(RedisUnreachable) as refusal:
        EmbeddedServer(local).start()

    first, *log = str(refusal.value).splitlines()
    assert first == (
        f"The embedded Redis server ended before it answered. {folder / 'redis.log'} ends with:"
    )
    assert any("Bad file format" in line for line in log)


def test_after_a_failed_start_the_folder_is_free_again(local: Settings) -> None:
    damaged = local.data_dir / "redis" / "appendonly.aof"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"no append-only file\r\n")
    with pytest.raises(RedisUnreachable):
        EmbeddedServer(local).start()

    # Valkey moves a file of the old form into `appendonlydir` before it reads it.
    for file in damaged.parent.rglob("append*.aof*"):
        file.unlink()

    with EmbeddedServer(local):
        assert redis_url_of(local)


def test_a_data_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "redis"

    with pytest.raises(InvalidSettings) as refusal:
        EmbeddedServer(Settings(data_dir=folder.parent)).start()

    assert str(refusal.value) == (
        f"SEQD_DATA_DIR is {folder.parent}, where {folder} cannot be made (Not a directory): "
        "set it to a folder that this user may write."
    )


def test_a_data_folder_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with EmbeddedServer(Settings(data_dir=Path("here"))):
        assert (tmp_path / "here" / "redis" / "endpoint.json").exists()


def test_a_server_that_is_given_is_used_and_none_is_started(local: Settings) -> None:
    given = local.model_copy(update={"redis_url": "rediss://:secret@host/0"})

    with running_server(given) as server:
        assert server.url == "rediss://:secret@host/0"
        assert server.embedded is None
        assert redis_url_of(given) == server.url
        assert not local.data_dir.exists()


def test_without_a_given_server_one_runs_for_the_while(local: Settings) -> None:
    with running_server(local) as server, redis.Redis.from_url(server.url) as client:
        pid = client.info("server")["process_id"]
        assert is_alive(pid)

    assert not is_alive(pid)

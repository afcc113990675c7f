"""Embedded Redis: a real Redis or Valkey server of our own, where `SEQD_REDIS_URL` names none.

It listens on a Unix socket that its user alone can reach, and where `SEQD_REDIS_PORT` names a port,
on the loopback address, too. Its password stays with the folder, so that clients outlive a restart.
"""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self

from seqd.errors import PortTaken, RedisUnreachable
from seqd.local.cgroups import memory_bytes
from seqd.local.child import last_lines, make_folder
from seqd.local.endpoint import (
    ENDPOINT_NAME,
    ID_OPTION,
    LOG_NAME,
    Endpoint,
    FolderLock,
    kept_password,
    server_folder,
    write_endpoint,
    write_private,
)
from seqd.local.log_file import log_limits, rotate_if_full
from seqd.local.parent_death import launch_command
from seqd.local.redis_address import check_redis_url
from seqd.local.redis_binaries import ServerBinary, choose_binary
from seqd.local.redis_socket import choose_socket, connect_to, remove_socket, socket_url
from seqd.settings import Settings

LOOPBACK = "127.0.0.1"

#: glibc sets small blocks aside that are freed, and merges all of them in one go later, in the
#: command that comes then: up to 48 ms after the end of a job of 100,000 units, though another
#: thread had freed them. A server with another allocator does not look at this.
_ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.mxfast=0"}


def choose_port(wanted: int) -> int:
    """Return `wanted` when nobody listens there, or any free port when it is 0.

    Raises PortTaken. Another program may still take the port between this call and its use.
    """
    with socket.socket() as probe:
        # As the server itself does: a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted))
        except PermissionError:
            raise PortTaken(
                f"SEQD_REDIS_PORT is {wanted}, which this user may not open: ports below 1024 are "
                "the system's. Take a higher one, or unset it: a Unix socket needs none."
            ) from None
        except OSError:
            raise PortTaken(_taken(wanted)) from None
        port: int = probe.getsockname()[1]
        return port


def _taken(port: int) -> str:
    if _speaks_redis(port):
        return (
            f"SEQD_REDIS_PORT is {port}, but a Redis server listens on {LOOPBACK}:{port} already. "
            f"To use that one, set SEQD_REDIS_URL=redis://{LOOPBACK}:{port}/0; else unset "
            "SEQD_REDIS_PORT: a Unix socket needs none."
        )
    return (
        f"SEQD_REDIS_PORT is {port}, but another program listens on {LOOPBACK}:{port}. "
        "Choose another port, or unset SEQD_REDIS_PORT: a Unix socket needs none."
    )


def _speaks_redis(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=0.3) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith((b"+PONG", b"-NOAUTH", b"-DENIED"))
    except OSError:
        return False


CONFIG_NAME = "redis.conf"


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What differs from one embedded server to the next."""

    folder: Path
    #: 0: it listens on no port.
    port: int
    password: str
    socket: Path | None = None
    server_id: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def url(self) -> str:
        """Its address, password included: the socket's where it has one."""
        if self.socket is not None:
            return socket_url(self.socket, self.password)
        return self._port_url()

    def endpoint(self, pid: int) -> Endpoint:
        """Return what other commands find the server by."""
        has_both = self.socket is not None and self.port != 0
        return Endpoint(
            url=self.url,
            server_id=self.server_id,
            pid=pid,
            port_url=self._port_url() if has_both else None,
            host=socket.gethostname(),
        )

    def lines(self, binary: ServerBinary) -> list[str]:
        """Return the lines of the configuration file."""
        return [
            f"bind {LOOPBACK}",
            f"port {self.port}",
            *([f"unixsocket {_quoted(self.socket)}", "unixsocketperm 700"] if self.socket else []),
            "protected-mode yes",
            f"requirepass {self.password}",
            f"{ID_OPTION} {self.server_id}",
            "daemonize no",
            "supervised no",
            f"dir {_quoted(self.folder)}",
            f"logfile {_quoted(self.folder / LOG_NAME)}",
            # A crash of the machine loses at most a second; the ledger redoes that much.
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            # A job's event stream is set aside as one node, of which most jobs need little: with
            # the default of 4,096 a job of one item takes 8.4 kB of memory, so 5.3 kB (Redis 6.2).
            "stream-node-max-bytes 1024",
            # What a large job has left is freed by another thread when it expires: 100,000 rows of
            # results took 20 to 60 ms of everybody's time.
            "lazyfree-lazy-expire yes",
            "lazyfree-lazy-server-del yes",
            # Jobs must never be evicted; a full server refuses, and the client says so.
            "maxmemory-policy noeviction",
            # The other half is for the models, and for the copy-on-write of an AOF rewrite.
            f"maxmemory {memory_bytes() // 2}",
            *_unsafe_off(binary),
        ]

    def _port_url(self) -> str:
        return f"redis://default:{self.password}@{LOOPBACK}:{self.port}/0"


def write_config(config: ServerConfig, binary: ServerBinary) -> Path:
    """Write the file, readable by its owner alone, and give its path."""
    path = config.folder / CONFIG_NAME
    write_private(path, "\n".join(config.lines(binary)) + "\n")
    return path


def _unsafe_off(binary: ServerBinary) -> list[str]:
    # 7.0 has switches for what can crash the server or run code in it; 6.2 has only names.
    if binary.version >= (7, 0):
        switches = ("enable-protected-configs", "enable-debug-command", "enable-module-command")
        return [f"{switch} no" for switch in switches]
    return ['rename-command DEBUG ""', 'rename-command MODULE ""']


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


#: Loading runs at some 100 MB/s, so this is enough for several GB of jobs.
START_TIMEOUT_S = 60.0

#: A server that does not end on SIGTERM by then is killed; its file is synced each second.
STOP_TIMEOUT_S = 10.0

#: A server whose owner was killed ends by itself, well within this.
LOCK_PATIENCE_S = 5.0

#: Seconds that `answer` waits. A server at work answers within milliseconds, and whoever asks looks
#: after the workers, too.
ANSWER_TIMEOUT_S = 0.3

_POLL_S = 0.01
_LOG_LINES = 8


class Answer(StrEnum):
    """What a server says when it is asked."""

    READY = "ready"
    """It takes commands."""
    BUSY = "busy"
    """It answers something else: it loads its file, say, or runs a script."""
    NONE = "none"
    """It says nothing, or cannot be reached."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server to use, and the process of ours that it is, unless `SEQD_REDIS_URL` names it."""

    url: str
    embedded: "EmbeddedServer | None" = None


@contextmanager
def running_server(settings: Settings) -> Iterator[RunningServer]:
    """Yield the server that is set, or an embedded one that runs for the while."""
    if settings.redis_url is not None:
        yield RunningServer(check_redis_url(settings.redis_url))
        return
    with EmbeddedServer(settings) as server:
        yield RunningServer(server.url, server)


class EmbeddedServer:
    """A server process that belongs to this process.

    Start it from a thread that lives as long as the server should, such as the main one: on
    Linux the kernel ends it with that thread. As a context manager it starts and stops.
    `redis_watchdog` starts it again when it has died.
    """

    def __init__(self, settings: Settings, start_timeout_s: float = START_TIMEOUT_S) -> None:
        self.folder = server_folder(settings)
        self.log = self.folder / LOG_NAME
        self._wanted_port = settings.redis_port
        self._start_timeout_s = start_timeout_s
        self._log_limits = log_limits(settings)
        self._lock = FolderLock(self.folder)
        self._config: ServerConfig | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, password included."""
        return self._running_config().url

    @property
    def port(self) -> int:
        """The port that it listens on; 0 where that is a Unix socket alone."""
        return self._running_config().port

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process().pid

    def start(self) -> None:
        """Start the server and wait until it answers, an earlier run's jobs loaded.

        Raises InvalidSettings (no program, folder in use or not writable), PortTaken, or
        RedisUnreachable with the end of the server's log.
        """
        make_folder(self.folder, 0o700)
        self._lock.take(LOCK_PATIENCE_S)
        try:
            password, socket_path = kept_password(self.folder), choose_socket(self.folder)
            # Where no socket can be made, as on some shared folders, a port has to do.
            on_port = self._wanted_port != 0 or socket_path is None
            port = choose_port(self._wanted_port) if on_port else 0
            self._config = ServerConfig(self.folder, port, password, socket_path)
            self.launch()
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def launch(self) -> None:
        """Start the process, again at the address it had; `answer` says when it is ready.

        What it had written comes back, except for the last second at most where the whole machine
        went down. Raises InvalidSettings (no program) or OSError (a full disk), and leaves no
        process then.
        """
        config = self._running_config()
        _remove_drafts(self.folder)
        binary = choose_binary(self.folder)
        command = [str(binary.path), str(write_config(config, binary))]
        self.rotate_log()
        with self.log.open("ab") as log:
            self._server = subprocess.Popen(  # noqa: S603 (a program that we found, no shell)
                launch_command(command, signal.SIGTERM),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**_ENVIRONMENT, **os.environ},
                pass_fds=(self._lock.descriptor,),
                # Ctrl-C in the terminal must reach the workers first, and the server last.
                start_new_session=True,
            )
        try:
            write_endpoint(self.folder / ENDPOINT_NAME, config.endpoint(self.pid))
        except OSError:
            # No other command could find it, and it could not write its own file either.
            self.kill()
            raise

    def answer(self) -> Answer:
        """Ask the server; takes `ANSWER_TIMEOUT_S` at most for each of two steps."""
        config = self._running_config()
        try:
            with _connect(config) as connection:
                connection.sendall(f"AUTH {config.password}\r\nPING\r\n".encode())
                reply = connection.recv(256)
                if reply == b"+OK\r\n":  # the other line comes in a packet of its own
                    reply += connection.recv(256)
        except OSError:
            return Answer.NONE
        if reply.endswith(b"+PONG\r\n"):
            return Answer.READY
        return Answer.BUSY if reply else Answer.NONE

    def exit_status(self) -> int | None:
        """Return the status of the process, minus its signal's number; None while it runs."""
        return self._process().poll()

    def kill(self) -> None:
        """Kill the process and wait for its end; for one that hangs."""
        self._process().kill()
        self._process().wait()

    def stop(self) -> None:
        """Stop the server, its file synced, and wait for its end. May be called twice."""
        if self._server is not None:
            (self.folder / ENDPOINT_NAME).unlink(missing_ok=True)
            self._server.terminate()
            try:
                self._server.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server = None
        if self._config is not None and self._config.socket is not None:
            remove_socket(self._config.socket, self.folder)
        self._lock.release()

    def rotate_log(self) -> None:
        """Set its log aside when it is full; the server opens the file anew for each line."""
        rotate_if_full(self.log, self._log_limits)

    def log_tail(self, lines: int = _LOG_LINES) -> list[str]:
        """Return the last lines of its log."""
        return last_lines(self.log, lines)

    def _running_config(self) -> ServerConfig:
        if self._config is None:
            raise RuntimeError("the server is not running")
        return self._config

    def _process(self) -> "subprocess.Popen[bytes]":
        if self._server is None:
            raise RuntimeError("the server is not running")
        return self._server

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        while self.answer() is not Answer.READY:
            if self.exit_status() is not None:
                raise RedisUnreachable(self._failure("ended before it answered"))
            if time.monotonic() > deadline:
                raise RedisUnreachable(
                    self._failure(f"did not answer within {self._start_timeout_s:g} s")
                )
            time.sleep(_POLL_S)

    def _failure(self, what: str) -> str:
        tail = "\n".join(self.log_tail())
        return f"The embedded Redis server {what}. {self.log} ends with:\n{tail}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _connect(config: ServerConfig) -> socket.socket:
    if config.socket is not None:
        return connect_to(config.socket, ANSWER_TIMEOUT_S)
    return socket.create_connection((LOOPBACK, config.port), timeout=ANSWER_TIMEOUT_S)


def _remove_drafts(folder: Path) -> None:
    """Remove what a killed server, or `seqd up`, had not finished writing.

    A rewrite of the append-only file may be as large as that, and no server removes another's.
    """
    patterns = ("temp-*", "appendonlydir/temp-*", f".{CONFIG_NAME}.*", f".{ENDPOINT_NAME}.*")
    for path in (path for pattern in patterns for path in folder.glob(pattern)):
        with suppress(OSError):  # the server starts all the same
            path.unlink()

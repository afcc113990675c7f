"""Endpoint of the Redis server of a data folder: its address, its lock, and how others find it."""

import fcntl
import os
import re
import secrets
import socket
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import redis
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.backoff import NoBackoff
from redis.retry import Retry

from seqd.errors import InvalidSettings, RedisUnreachable
from seqd.local.process_states import is_zombie
from seqd.local.redis_address import check_redis_url
from seqd_schemas import from_stored, to_stored

if TYPE_CHECKING:
    from seqd.settings import Settings

LOCK_NAME = "lock"

_RETRY_S = 0.02


class FolderLock:
    """The right to run a server on a folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_NAME
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """The open file, to be inherited by the server."""
        if self._descriptor is None:
            raise RuntimeError("the lock is not held")
        return self._descriptor

    def take(self, patience_s: float) -> None:
        """Take the lock, waiting `patience_s` for the server of a dead holder to end.

        Raises InvalidSettings at once, naming the holder, when that is alive.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + patience_s
        while not _try_lock(descriptor):
            holder = _holder(descriptor)
            if is_alive(holder) or time.monotonic() > deadline:
                os.close(descriptor)
                raise InvalidSettings(self._held_by(holder))
            time.sleep(_RETRY_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go; does nothing when the lock is not held."""
        if self._descriptor is not None:
            # Who reads it next shall not take this process for one that runs a server.
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def _held_by(self, holder: int) -> str:
        folder = self._path.parent
        if host := _other_host(folder):
            return _of_another_host(folder.parent, host)
        if not is_alive(holder):
            return (
                f"A server that outlived its `seqd up` (process {holder}) still uses {folder}. "
                "Its pid is in endpoint.json there: end it, or set SEQD_DATA_DIR to another folder."
            )
        return (
            f"Process {holder} runs a Redis server on {folder} already, and two servers would ruin "
            "each other's file. Use that one (commands find it by themselves), stop it (Ctrl-C "
            f"where `seqd up` runs, or `kill {holder}`), or set SEQD_DATA_DIR to another folder."
        )


def is_alive(pid: int) -> bool:
    """True when a process with this pid runs; it may belong to another user."""
    # Under a container's first process that reaps nobody, the killed keep their pid for ever.
    if pid <= 0 or is_zombie(pid):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0).decode("ascii", errors="replace")
    return int(text) if text.isdigit() else 0


ENDPOINT_NAME = "endpoint.json"
LOG_NAME = "redis.log"

_TIMEOUT_S = 2.0

#: Seconds to wait for a server whose `seqd up` is alive: it may just be starting.
PATIENCE_S = 10.0

_WAIT_S = 0.05

#: The option of a server in which its identity stands: free text that every version answers with.
ID_OPTION = "syslog-ident"

_KEPT_NAME = "password"

#: As `secrets.token_urlsafe(32)` makes them: it stands in addresses and in a file of settings.
_PASSWORD = re.compile(r"[A-Za-z0-9_-]{43}")


class Endpoint(BaseModel):
    """A running embedded server."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    url: str = Field(repr=False, description="Its address, password included.")
    server_id: str | None = Field(
        default=None,
        description="What it answers to ID_OPTION, new at each `seqd up`; None of an older one.",
    )
    pid: int = Field(gt=0, description="Its process.")
    port_url: str | None = Field(
        default=None, description="The same on a port, where it listens on one beside a socket."
    )
    host: str = Field(default="", description="Where it runs; '' of an older one.")


def server_folder(settings: "Settings") -> Path:
    """Folder of the embedded server's files; absolute, since the server runs inside it."""
    return settings.data_dir.absolute() / "redis"


def redis_url_of(settings: "Settings", patience_s: float = PATIENCE_S) -> str:
    """Return the address to use: the one that is set, or that of the running embedded server.

    An embedded server that does not answer is waited for while its `seqd up` is alive, which starts
    it again. Raises InvalidSettings for an address that seqd cannot use, and RedisUnreachable when
    none is set and no embedded server answers.
    """
    if settings.redis_url is not None:
        return check_redis_url(settings.redis_url)
    folder = server_folder(settings)
    deadline = time.monotonic() + patience_s
    while True:
        endpoint = read_endpoint(folder / ENDPOINT_NAME)
        if endpoint is not None and answers(endpoint.url, endpoint.server_id):
            return endpoint.url
        owner = owner_of(folder)
        if owner == 0:
            raise RedisUnreachable(_no_server(settings, endpoint))
        if time.monotonic() >= deadline:
            raise RedisUnreachable(_server_is_away(folder, owner))
        time.sleep(_WAIT_S)


def owner_of(folder: Path) -> int:
    """Return the process that runs a server on a `server_folder`; 0 when there is none."""
    try:
        text = (folder / LOCK_NAME).read_bytes()
    except OSError:
        return 0
    owner = int(text) if text.isdigit() else 0
    return owner if is_alive(owner) else 0


def _other_host(folder: Path) -> str:
    """Return the host that has started the server of a folder; '' for this one, or none."""
    with suppress(RedisUnreachable):
        endpoint = read_endpoint(folder / ENDPOINT_NAME)
        if endpoint is not None and endpoint.host != socket.gethostname():
            return endpoint.host
    return ""


def _of_another_host(data_dir: Path, host: str) -> str:
    return (
        f"The Redis server of {data_dir} was started on the host {host}, and no other host reaches "
        "it: set SEQD_REDIS_URL to a server that all hosts reach, and on each host SEQD_DATA_DIR "
        "to a folder of its own. Where that host is no more, start one here with `seqd up`."
    )


def _no_server(settings: "Settings", endpoint: Endpoint | None) -> str:
    if host := _other_host(server_folder(settings)):
        return _of_another_host(settings.data_dir, host)
    if endpoint is None:
        return (
            f"No Redis server runs for {settings.data_dir}: start one with `seqd up`, or set "
            "SEQD_REDIS_URL, such as redis://127.0.0.1:6379/0."
        )
    return (
        f"The Redis server of {settings.data_dir} (process {endpoint.pid}) no longer answers, and "
        "its `seqd up` has ended: start one with `seqd up`, or set SEQD_REDIS_URL."
    )


def _server_is_away(folder: Path, owner: int) -> str:
    if host := _other_host(folder):  # where the process has the same number
        return _of_another_host(folder.parent, host)
    return (
        f"The Redis server of {folder.parent} does not answer. Process {owner}, to which it "
        f"belongs, is up, and `seqd up` starts its server again by itself. {folder / LOG_NAME} "
        "says what is wrong. Try again later."
    )


def read_endpoint(path: Path) -> Endpoint | None:
    """Read the file; None when there is none.

    Raises RedisUnreachable when it cannot be read or is not what `write_endpoint` wrote.
    """
    try:
        return from_stored(Endpoint, path.read_bytes())
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise RedisUnreachable(
            f"No Redis server runs for {path.parent.parent}, which is no folder: set SEQD_DATA_DIR "
            "to one."
        ) from None
    except PermissionError:
        raise RedisUnreachable(
            f"{path} belongs to another user: run this command as that user, or set SEQD_DATA_DIR "
            "to a folder of your own."
        ) from None
    except (OSError, ValidationError) as error:
        raise RedisUnreachable(
            f"{path} cannot be used ({str(error).splitlines()[0]}): stop `seqd up`, remove the "
            "file, and start it again."
        ) from None


def write_endpoint(path: Path, endpoint: Endpoint) -> None:
    """Publish the server to other commands of the same user."""
    write_private(path, to_stored(endpoint) + "\n")


def answers(url: str, server_id: str | None = None) -> bool:
    """True when a server takes the address's password and answers; False while it loads.

    One that cannot write to its disk answers, also a PING, with that.

    With `server_id` only that very server will do: one that wants no password takes any.
    """
    client = redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    with client:
        try:
            try:
                client.ping()
            except redis.ResponseError as error:
                if "MISCONF" not in str(error):
                    raise
            return server_id is None or client.config_get(ID_OPTION)[ID_OPTION] == server_id
        except redis.RedisError:
            return False


class FoundServer:
    """The embedded server of a folder, whichever runs there when a connection is made."""

    def __init__(self, folder: Path, url: str) -> None:
        """`url` is where it was found."""
        self._path = folder / ENDPOINT_NAME
        self._url = url

    def url(self) -> str:
        """Return its address, password included; between two servers that of the first."""
        with suppress(RedisUnreachable):
            endpoint = read_endpoint(self._path)
            if endpoint is not None:
                self._url = endpoint.url
        return self._url


def kept_password(folder: Path) -> str:
    """Return the password of the folder's server, from one `seqd up` to the next.

    A new one where there is none, or another user may know it.
    """
    path = folder / _KEPT_NAME
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
            found = os.fstat(descriptor)
            is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
            password = file.read(128)
        if is_ours and not found.st_mode & 0o077 and _PASSWORD.fullmatch(password):
            return password
    password = secrets.token_urlsafe(32)
    write_private(path, password)
    return password


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, with mode 0600 from its first byte on."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    aside.replace(path)

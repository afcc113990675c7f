"""Where the embedded Redis listens: a Unix socket in a folder that its user alone may enter.

On a port, a local user could listen in the place of a server that has crashed, and be sent its
password by every client that connects again. In that folder nobody else can.
"""

import hashlib
import os
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

SOCKET_NAME = "redis.sock"

#: Bytes that a socket's path may have, on Linux; macOS takes 103.
MAX_PATH_BYTES = 103


def choose_socket(folder: Path) -> Path | None:
    """Return a path for the socket: in the folder, or else in one of ours for temporary files.

    That is where the folder's path is too long, or its file system holds no sockets. `folder` is
    this user's alone, and no server runs on it. None where neither will do.
    """
    if _can_listen(folder / SOCKET_NAME):
        return folder / SOCKET_NAME
    other = _short_folder(folder)
    if other is None:
        return None
    if _can_listen(other / SOCKET_NAME):
        return other / SOCKET_NAME
    remove_socket(other / SOCKET_NAME, folder)
    return None


def socket_url(path: Path, password: str) -> str:
    """Return the address of a server on a Unix socket."""
    return f"unix://default:{password}@{quote(str(path))}"


def connect_to(path: Path, timeout_s: float | None) -> socket.socket:
    """Return a connection to a Unix socket. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def remove_socket(path: Path, folder: Path) -> None:
    """Remove what `choose_socket` has made, of a server that has ended."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        if path.parent != folder:
            path.parent.rmdir()


def _can_listen(path: Path) -> bool:
    try:
        if len(str(path).encode()) > MAX_PATH_BYTES:
            return False
        path.unlink(missing_ok=True)  # of a server that was killed
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))
        path.unlink()
    except (OSError, UnicodeEncodeError):  # a name that is no UTF-8 cannot stand in an address
        return False
    return True


def _short_folder(folder: Path) -> Path | None:
    """Return a folder for temporary files that is ours alone; the same for the same `folder`."""
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"seqd-{os.getuid()}-{digest}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
            path.chmod(0o700)
            return path
        # Somebody else has taken the name.
        return Path(tempfile.mkdtemp(prefix="seqd-"))
    except OSError:
        return None

"""Picks the port that an embedded server listens on, on the loopback address only."""

import socket

from seqd.errors import PortTaken

LOOPBACK = "127.0.0.1"


def choose_port(wanted: int) -> int:
    """Give `wanted` when nobody listens there, or any free port when it is 0.

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
                "the system's. Take a higher one, or unset it for a free one."
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
            "SEQD_REDIS_PORT for a free port."
        )
    return (
        f"SEQD_REDIS_PORT is {port}, but another program listens on {LOOPBACK}:{port}. "
        "Choose another port, or unset SEQD_REDIS_PORT for a free one."
    )


def _speaks_redis(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=0.3) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith((b"+PONG", b"-NOAUTH", b"-DENIED"))
    except OSError:
        return False

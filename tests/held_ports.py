"""Ports of loopback that tests choose for servers which they start later, or start again."""

import os
import socket
import sys
import weakref

from seqd.local.redis_server import LOOPBACK


class Holder:
    """Holds ports while it is there."""


def hold_port(holder: object, beside: int = 0) -> int:
    """Return a port that nobody else gets while a holder is there, and on which nobody listens.

    A port that is only chosen goes to any process that asks for one before the server is up, or
    while it is down: tests in other processes ask all the time. A socket that is bound and does not
    listen keeps them off; a server that names the port, by SO_REUSEADDR as all do, may listen
    there. So it is on Linux; elsewhere the port is only chosen.

    With `beside` the port so many above it is held, too, as the bus of a Redis Cluster is.
    """
    sockets = _bound_beside(beside) if beside else [_bound(0)]
    port: int = sockets[0].getsockname()[1]
    for one in sockets:
        if sys.platform.startswith("linux"):
            weakref.finalize(holder, os.close, one.detach())
        else:
            one.close()
    return port


def _bound_beside(beside: int) -> list[socket.socket]:
    """Return sockets of two ports that are so far apart; not all ports have one above them."""
    for _ in range(100):
        first = _bound(0)
        try:
            return [first, _bound(first.getsockname()[1] + beside)]
        except (OSError, OverflowError):  # it is taken, or there is no such port
            first.close()
    raise AssertionError(f"no two ports are free that are {beside} apart")


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((LOOPBACK, port))
    except BaseException:
        made.close()
        raise
    return made

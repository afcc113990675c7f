"""Ports of loopback that tests choose for servers which they start later, or start again."""

import os
import socket
import sys
import weakref

from seqd.local.redis_server import LOOPBACK


class Holder:
    """Holds ports while it is there."""


def hold_port(holder: object) -> int:
    """Return a port that nobody else gets while a holder is there, and on which nobody listens.

    A port that is only chosen goes to any process that asks for one before the server is up, or
    while it is down: tests in other processes ask all the time. A socket that is bound and does not
    listen keeps them off; a server that names the port, by SO_REUSEADDR as all do, may listen
    there. So it is on Linux; elsewhere the port is only chosen.
    """
    bound = _bound(0)
    port: int = bound.getsockname()[1]
    if sys.platform.startswith("linux"):
        weakref.finalize(holder, os.close, bound.detach())
    else:
        bound.close()
    return port


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((LOOPBACK, port))
    return made

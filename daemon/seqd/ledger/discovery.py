"""Connections to the embedded server that was found: each goes to where its folder says it is.

So a client outlives its server: the next `seqd up` may listen elsewhere, with another password.
"""

import socket
from pathlib import Path
from typing import Any, TypedDict, cast

from redis.connection import UnixDomainSocketConnection, parse_url

from seqd.local.endpoint import FoundServer
from seqd.local.redis_socket import connect_to


class Place(TypedDict, total=False):
    """Where a server listens, and its login."""

    username: str
    password: str
    path: str
    host: str
    port: int


def place_of(found: FoundServer) -> Place:
    """Return where the server listens now: `path`, or `host` and `port`."""
    place = parse_url(found.url())  # type: ignore[no-untyped-call]
    return cast(Place, place if "path" in place else {"host": "localhost", "port": 6379} | place)


def address_in_words(found: FoundServer) -> str:
    """Return the address for a message, without the password."""
    place = place_of(found)
    return place["path"] if "path" in place else f"{place['host']}:{place['port']}"


class FoundConnection(UnixDomainSocketConnection):
    """A connection that looks for the server each time that it is made."""

    def __init__(self, *, found: FoundServer, **options: Any) -> None:
        self._found = found
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def _connect(self) -> socket.socket:
        place = place_of(self._found)
        self.username, self.password = place.get("username"), place.get("password")
        timeout_s = self.socket_connect_timeout
        if "path" in place:
            made = connect_to(Path(place["path"]), timeout_s)
        else:
            made = socket.create_connection((place["host"], place["port"]), timeout_s)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.settimeout(self.socket_timeout)
        return made

    def _host_error(self) -> str:
        return address_in_words(self._found)

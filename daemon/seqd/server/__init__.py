"""The Redis server behind the daemon: found, started where there is none, and located again.

Not the connection to it, which is `seqd.ledger`'s. Called by the command line.
"""

from typing import TYPE_CHECKING

from seqd.deferred import deferred

if TYPE_CHECKING:
    from seqd.server.binaries import ServerBinary, find_server_binaries
    from seqd.server.embedded import EmbeddedServer, running_server
    from seqd.server.endpoint import Endpoint, redis_url_of
    from seqd.server.urls import check_redis_url, without_password

__all__ = [
    "EmbeddedServer",
    "Endpoint",
    "ServerBinary",
    "check_redis_url",
    "find_server_binaries",
    "redis_url_of",
    "running_server",
    "without_password",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = deferred(
        globals(),
        {
            "EmbeddedServer": "embedded",
            "Endpoint": "endpoint",
            "ServerBinary": "binaries",
            "check_redis_url": "urls",
            "find_server_binaries": "binaries",
            "redis_url_of": "endpoint",
            "running_server": "embedded",
            "without_password": "urls",
        },
    )

"""Serves the application by uvicorn until it is told to end, and ends in order."""

import asyncio
import gc
import os
import socket
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from seqd.errors import PortTaken
from seqd.gateway.connections import BoundedConnection
from seqd.local.certificates import load_certificate
from seqd.settings import Settings

#: Seconds that open requests have to end once the gateway is told to.
DRAIN_S: Final = 30.0

#: Objects after which the garbage collector looks for cycles, such as errors leave: those of some
#: hundred refusals. As many as a command makes by its imports would be 80 MB of them.
_COLLECT_AFTER: Final = 10_000


class GatewayServer(uvicorn.Server):
    """A server that tells its streams at the first SIGTERM: they end, and the rest is finished."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        """Listen on an address already. Raises PortTaken and InvalidSettings."""
        tls = SSLContext(PROTOCOL_TLS_SERVER)
        load_certificate(tls, "SEQD_GATEWAY", settings.gateway_cert_file, settings.gateway_key_file)
        config = uvicorn.Config(
            app,
            http=BoundedConnection,
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,  # the application decides whom to believe
            timeout_graceful_shutdown=int(DRAIN_S),
            limit_concurrency=settings.gateway_max_requests,
            ssl_context_factory=(lambda *_: tls) if settings.gateway_cert_file else None,
        )
        super().__init__(config)
        self._stopped: asyncio.Event = app.state.stopped
        self._socket = _listening(settings.gateway_host, settings.gateway_port)

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self._socket.getsockname()[1])

    def serve_until_told(self) -> None:
        """Serve until SIGTERM or SIGINT; a second SIGINT ends it at once."""
        gc.freeze()  # what was imported stays
        gc.set_threshold(_COLLECT_AFTER)
        self.run(sockets=[self._socket])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no new connection, and have streams end."""
        self._stopped.set()
        super().handle_exit(sig, frame)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise PortTaken(
            f"The gateway cannot listen on {host}, port {port} ({os.strerror(error.errno or 0)}). "
            "Name another one: --port, SEQD_GATEWAY_PORT; 0 takes any that is free."
        ) from None

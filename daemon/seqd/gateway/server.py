"""Serves the application by uvicorn until it is told to end, and ends in order.

The head of a request is bounded in its bytes, and in the time that it takes: uvicorn bounds neither
where it reads HTTP by httptools.
"""

import asyncio
import gc
import os
import re
import socket
from collections.abc import Sequence
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from seqd.errors import PortTaken
from seqd.local.certificates import load_certificate
from seqd.settings import Settings

#: Seconds that open requests have to end once the gateway is told to.
DRAIN_S: Final = 30.0

#: Objects after which the garbage collector looks for cycles, such as errors leave: those of some
#: hundred refusals. As many as a command makes by its imports would be 80 MB of them.
_COLLECT_AFTER: Final = 10_000

#: Bytes of a head, its last block not counted, and seconds from its first byte to its end. A
#: connection that was made and sends nothing has as long.
MAX_HEAD_BYTES: Final = 64 * 1024

HEAD_S: Final = 30.0

_UPGRADE: Final = re.compile(rb"\nupgrade:", re.IGNORECASE)


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


class BoundedConnection(HttpToolsProtocol):
    """A connection that is closed where a head is too long, or takes too long."""

    _head_bytes = 0
    _is_in_head = True
    #: Behind a request, where the head of the next one begins.
    _is_between = False
    _timer: asyncio.TimerHandle | None = None
    #: Requests that are not answered yet: several, where a client waits for no answer.
    _open: Sequence[RequestResponseCycle] = ()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_S, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._stop_timer()
        self._tell_of_the_end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; refuse a head that has become too long, and pass over an offer to upgrade.

        httptools would read no body behind such an offer, which Java's client makes by itself.
        """
        if self._is_in_head or self._is_between:
            head, end, rest = data.partition(b"\r\n\r\n")
            data = _UPGRADE.sub(b"\nx-upgrade:", head) + end + rest
        super().data_received(data)
        if self._is_in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response("The head of the request is too long.")

    def send_400_response(self, msg: str) -> None:
        """Refuse what has come; requests before it get no more."""
        super().send_400_response(msg)
        self._tell_of_the_end()

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._head_bytes, self._is_in_head, self._is_between = 0, True, False
        self._stop_timer()
        self._timer = self.loop.call_later(HEAD_S, self._close)

    def on_headers_complete(self) -> None:
        """Count no more: what follows is a body, or the next request."""
        self._is_in_head = False
        self._stop_timer()
        super().on_headers_complete()
        self._open = [one for one in (*self._open, self.cycle) if not one.response_complete]

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        super().on_message_complete()
        self._is_between = True

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _tell_of_the_end(self) -> None:
        """Let all requests know that nobody reads their answers; uvicorn tells the last alone."""
        for one in self._open:
            one.disconnected = True
            one.message_event.set()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

"""Connections that send the head of a request: bounded in its bytes, and in the time that it takes.

uvicorn bounds neither where it reads HTTP by httptools.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

#: Bytes of a head, its last block not counted, and seconds from its first byte to its end. A
#: connection that was made and sends nothing has as long.
MAX_HEAD_BYTES: Final = 64 * 1024
HEAD_S: Final = 30.0

_UPGRADE: Final = re.compile(rb"\nupgrade:", re.IGNORECASE)


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

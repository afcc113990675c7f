"""A TCP proxy in front of a Redis, which breaks connections as a network does.

`drop_next_replies` and `drop_every` let a request through and end the connection when its answer
comes: the server has done what the client never hears of. `freeze` stops forwarding on the
connections that are open and leaves them open, as after a silent loss of the route. `cut` closes
them, and `refuse` new ones, too, until `accept`. Else new connections always work. After
`slow_down` all arrives later. One thread; it ends with the `with` block.
"""

import selectors
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from threading import RLock, Thread
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

LOOPBACK = "127.0.0.1"
LOOK_S = 0.05
CHUNK_BYTES = 1 << 16

#: What a connection begins with; if this were dropped too, a new one would never come about.
HANDSHAKE = (b"AUTH", b"HELLO", b"CLIENT", b"SELECT")


@dataclass(eq=False, slots=True)
class _Link:
    """One client's connection, and ours to the server."""

    client: socket.socket
    server: socket.socket
    #: The command whose answer is due.
    command: bytes = b""


class TcpProxy:
    """Forwards to the server of a Redis URL. `url` is that URL with the proxy's own port."""

    def __init__(self, url: str, address: str = LOOPBACK) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None and parts.port is not None, "a server on TCP is due"
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server((address, 0))
        self.port = int(self._listener.getsockname()[1])
        login = parts.netloc.rpartition("@")[0]
        place = f"{address}:{self.port}"
        self.url = urlunsplit(parts._replace(netloc=f"{login}@{place}" if login else place))
        #: Answers that were thrown away.
        self.dropped = 0
        self._lock = RLock()
        self._links: set[_Link] = set()
        self._frozen: set[_Link] = set()
        self._drop_next, self._drop_command = 0, b""
        self._drop_every, self._answers = 0, 0
        self._refuses = False
        self._delay_s = 0.0
        #: What is to arrive later: when, on which link, where, and what; nothing ends the link.
        self._late: deque[tuple[float, _Link, socket.socket, bytes]] = deque()
        self._ended = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = Thread(target=self._run, name="tcp-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = True
        self._thread.join()
        self.cut()
        self._listener.close()
        self._selector.close()

    def drop_next_replies(self, count: int, to: bytes = b"") -> None:
        """Throw the next `count` answers away, of the command `to` alone where it is given.

        An answer that is an error is let through: that request changed nothing.
        """
        with self._lock:
            self._drop_next, self._drop_command = count, to

    @property
    def is_done(self) -> bool:
        """True when all of `drop_next_replies` have been thrown away."""
        with self._lock:
            return self._drop_next == 0

    def drop_every(self, count: int) -> None:
        """Throw each `count`-th answer away; 0 ends it."""
        with self._lock:
            self._drop_every = count

    def freeze(self) -> int:
        """Forward nothing on the connections that are open; returns their number."""
        with self._lock:
            frozen = len(self._links)
            for link in self._links:
                self._forget(link)
            self._frozen |= self._links
            self._links.clear()
            return frozen

    def slow_down(self, delay_s: float) -> None:
        """Have what is sent from now on arrive so much later, on both ways."""
        with self._lock:
            self._delay_s = delay_s

    def refuse(self) -> None:
        """Close all connections, and new ones as soon as they are made."""
        with self._lock:
            self._refuses = True
        self.cut()

    def accept(self) -> None:
        """Forward new connections again."""
        with self._lock:
            self._refuses = False

    def point_to(self, host: str, port: int) -> None:
        """Close all connections, and forward new ones to another server, as a failover does."""
        with self._lock:
            self._target = (host, port)
        self.cut()

    def cut(self) -> int:
        """Close all connections, also frozen ones; returns their number."""
        with self._lock:
            links = self._links | self._frozen
            for link in links:
                self._close(link)
            return len(links)

    def _run(self) -> None:
        while not self._ended:
            due_s = self._late[0][0] - time.monotonic() if self._late else LOOK_S
            ready = self._selector.select(min(LOOK_S, max(0.0, due_s)))
            with self._lock:
                while self._late and self._late[0][0] <= time.monotonic():
                    self._arrive(*self._late.popleft()[1:])
                for key, _ in ready:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.data in self._links:  # else closed a moment ago
                        self._forward(key.data, from_client=key.fileobj is key.data.client)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._refuses:
            client.close()
            return
        try:
            server = socket.create_connection(self._target, timeout=5)
        except OSError:
            client.close()  # The server is away, and so is the proxy.
            return
        client.settimeout(5)
        link = _Link(client, server)
        self._links.add(link)
        for end in (client, server):
            self._selector.register(end, selectors.EVENT_READ, link)

    def _forward(self, link: _Link, *, from_client: bool) -> None:
        source, sink = (link.client, link.server) if from_client else (link.server, link.client)
        try:
            data = source.recv(CHUNK_BYTES)
            if from_client:
                link.command = link.command or _command(data)
            elif link.command and self._is_to_be_dropped(link, data):
                data = b""
            else:
                link.command = b""
        except OSError:
            data = b""  # One end has gone; the other one goes too.
        if not self._delay_s:
            self._arrive(link, sink, data)
            return
        self._late.append((time.monotonic() + self._delay_s, link, sink, data))
        if not data:
            self._forget(link)

    def _arrive(self, link: _Link, sink: socket.socket, data: bytes) -> None:
        with suppress(OSError):
            if data:
                sink.sendall(data)
                return
        self._close(link)

    def _is_to_be_dropped(self, link: _Link, answer: bytes) -> bool:
        if link.command in HANDSHAKE or answer.startswith(b"-"):
            return False
        if self._drop_next and self._drop_command in (b"", link.command):
            self._drop_next -= 1
        elif self._drop_every:
            self._answers += 1
            if self._answers % self._drop_every:
                return False
        else:
            return False
        self.dropped += 1
        return True

    def _forget(self, link: _Link) -> None:
        for end in (link.client, link.server):
            with suppress(KeyError, ValueError):
                self._selector.unregister(end)

    def _close(self, link: _Link) -> None:
        self._forget(link)
        link.client.close()
        link.server.close()
        self._links.discard(link)
        self._frozen.discard(link)


def _command(request: bytes) -> bytes:
    """Read the name of the first command: `*2\\r\\n$7\\r\\nEVALSHA...`."""
    lines = request.split(b"\r\n", 3)
    return lines[2].upper() if len(lines) > 3 else b"?"

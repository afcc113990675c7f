"""The HTTP server of the exporter: `/metrics` for Prometheus, `/healthz` for a probe."""

from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6
from typing import ClassVar

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from seqd.errors import InvalidSettings
from seqd.exporter.metrics import metrics_of
from seqd.exporter.reading import FleetReader

#: Seconds for which a client may take its time to ask.
REQUEST_S = 10.0


class ExporterServer(ThreadingHTTPServer):
    """Answers scrapes until `shutdown`."""

    daemon_threads = True
    #: Else a restart finds the port taken for a minute.
    allow_reuse_address = True

    def __init__(self, host: str, port: int, reader: FleetReader) -> None:
        """Listen. Raises InvalidSettings where that is not possible."""
        self.reader = reader
        if ":" in host:
            self.address_family = AF_INET6
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(_FleetCollector(reader))
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise InvalidSettings(
                f"The exporter cannot listen on {host}:{port} (SEQD_EXPORTER_HOST, "
                f"SEQD_EXPORTER_PORT): {error}. Name an address of this machine and a free port"
            ) from error

    @property
    def address(self) -> str:
        """Host and port on which it listens."""
        host, port = self.server_address[:2]
        name = host if isinstance(host, str) else host.decode()
        return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


class _FleetCollector(Collector):
    def __init__(self, reader: FleetReader) -> None:
        self._reader = reader

    def collect(self) -> Iterable[Metric]:
        """Read the fleet, and return its metrics."""
        return metrics_of(self._reader.reading())

    def describe(self) -> Iterator[Metric]:
        """Say nothing beforehand, which would read Redis."""
        return iter(())


class _Handler(BaseHTTPRequestHandler):
    server: ExporterServer
    server_version = "seqd-exporter"
    sys_version = ""
    timeout = REQUEST_S
    protocol_version = "HTTP/1.1"
    _TEXT: ClassVar[str] = "text/plain; charset=utf-8"

    def do_GET(self) -> None:
        """Answer `/metrics` and `/healthz`."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, CONTENT_TYPE_LATEST, generate_latest(self.server.registry))
        elif path == "/healthz":
            # Of the exporter alone: a restart of it mends no Redis. `seqd_up` says how that is.
            self._answer(200, self._TEXT, b"ok\n")
        else:
            self._answer(404, self._TEXT, b"/metrics and /healthz are what there is\n")

    def do_HEAD(self) -> None:
        """Answer as to GET, without the body."""
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name it has there
        """Say nothing of each scrape."""

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

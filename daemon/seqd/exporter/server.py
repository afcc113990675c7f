"""The HTTP server of the exporter."""

from seqd.exporter.metrics import metrics_of
from seqd.exporter.reading import FleetReader
from seqd.local.metrics_server import MetricsServer


class ExporterServer(MetricsServer):
    """Answers scrapes with what a reader has, until `shutdown`."""

    def __init__(self, host: str, port: int, reader: FleetReader) -> None:
        """Listen. Raises InvalidSettings where that is not possible."""
        self.reader = reader
        super().__init__(
            host, port, lambda: metrics_of(reader.reading()), "The exporter", "SEQD_EXPORTER"
        )

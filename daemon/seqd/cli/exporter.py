"""`seqd exporter`: serve the work that is left and the fleet's state to Prometheus."""

import logging
import signal
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import options
from seqd.errors import InvalidSettings

if TYPE_CHECKING:
    from seqd.exporter.reading import ExporterServer
    from seqd.settings import Settings

#: Seconds without an answer from Redis, after which a connection is closed.
_REDIS_TIMEOUT_S = 2.0


def exporter(
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on; 0.0.0.0 for all.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on.")] = None,
) -> None:
    """Serve /metrics to Prometheus, and /healthz, until SIGTERM or Ctrl-C.

    Needs the extra `exporter` of seqd, and no plugin. While Redis is away it still answers:
    `seqd_up 0`, and nothing about the fleet.
    """
    options.tell_unknown_variables()
    given = {"exporter_host": host, "exporter_port": port}
    settings = options.read_settings(**{k: v for k, v in given.items() if v is not None})
    server = _open(settings)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    def end(number: int, frame: FrameType | None) -> None:
        # `shutdown` waits for the loop in which this thread is.
        Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    typer.echo(f"http://{server.address}/metrics")
    try:
        server.serve_forever(poll_interval=0.1)
    finally:
        server.server_close()
        server.reader.close()


def _open(settings: "Settings") -> "ExporterServer":
    try:
        from seqd.exporter.reading import ExporterServer
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "prometheus_client":
            raise
        raise InvalidSettings(
            "seqd exporter needs prometheus-client, which is not installed: pip install "
            "'seqd[exporter]'"
        ) from error
    from seqd.exporter.reading import FleetReader, RightsWatch
    from seqd.ledger import Ledger, connect
    from seqd.ledger.acl import Role
    from seqd.ledger.figures import FleetFigures, fleet_figures
    from seqd.local.endpoint import redis_url_of
    from seqd.local.redis_access import RedisAccess

    redis = connect(
        redis_url_of(settings),
        access=RedisAccess.of(settings),
        retries=1,
        timeout_s=_REDIS_TIMEOUT_S,
        role=Role.EXPORTER,
    )
    ledger = Ledger(redis, settings)

    def read() -> FleetFigures:
        return ledger.transport.run(fleet_figures(ledger))

    reader = FleetReader(read, RightsWatch.of(redis, settings.keys))
    return ExporterServer(settings.exporter_host, settings.exporter_port, reader)

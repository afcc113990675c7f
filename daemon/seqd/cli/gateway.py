"""`seqd gateway`: serve the daemon over HTTP."""

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import options
from seqd.errors import InvalidSettings, LibraryMissing

if TYPE_CHECKING:
    from seqd.gateway.server import GatewayServer
    from seqd.settings import Settings


def gateway(
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on; 0.0.0.0 for all.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on.")] = None,
    proxies: Annotated[
        str | None,
        typer.Option(
            "--proxy-headers",
            metavar="ADDRESS,…",
            help="Proxies whose X-Forwarded-For is believed: addresses and networks, by commas.",
        ),
    ] = None,
) -> None:
    """Serve the daemon over HTTP, by OpenAI's routes and its own, until SIGTERM or Ctrl-C.

    Needs the extra `gateway` of seqd, and no plugin. Open requests are finished at the end, for 30
    seconds at most.
    """
    from seqd.log_lines import request_log

    options.tell_unknown_variables()
    settings = options.read_settings(gateway_host=host, gateway_port=port, gateway_proxies=proxies)
    logging.basicConfig(level=logging.INFO, handlers=[request_log()])
    server = _server_of(settings)
    listening = settings.model_copy(update={"gateway_port": server.port})
    typer.echo(f"{listening.gateway_url}/v1")
    typer.echo(f"console {listening.gateway_url}/")
    server.serve_until_told()


def _server_of(settings: "Settings") -> "GatewayServer":
    try:
        from seqd.gateway.app import gateway_app
        from seqd.gateway.server import GatewayServer
    except ModuleNotFoundError as error:
        if (error.name or "seqd").partition(".")[0] == "seqd":
            raise
        raise LibraryMissing(
            f"seqd gateway needs {error.name}, which is not installed: pip install 'seqd[gateway]'"
        ) from error
    _check_keys(settings)
    return GatewayServer(gateway_app(settings), settings)


def _check_keys(settings: "Settings") -> None:
    """Say who is served without any key. Raises InvalidSettings where others are to be."""
    from seqd.gateway.callers import is_loopback

    with options.open_ledger() as ledger:
        if ledger.api_keys.version() is not None:
            return
    alone = "There is no key, and without one the gateway serves programs of its own machine alone"
    if settings.gateway_proxies or not is_loopback(settings.gateway_host):
        raise InvalidSettings(
            f"{alone}: not through {settings.gateway_host}, nor for a proxy. Make a key first: "
            "seqd keys new --tenant NAME --role submit"
        )
    typer.echo(f"{alone}. `seqd keys new` makes one for others.", err=True)

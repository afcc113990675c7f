"""Serves the application by uvicorn until it is told to end, and ends in order."""

import asyncio
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

#: Seconds that open requests have to end once the gateway is told to.
DRAIN_S: Final = 30.0


class GatewayServer(uvicorn.Server):
    """A server that tells its streams at the first SIGTERM: they end, and the rest is finished."""

    def __init__(self, config: uvicorn.Config, stopped: asyncio.Event) -> None:
        super().__init__(config)
        self._stopped = stopped

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no new connection, and have streams end."""
        self._stopped.set()
        super().handle_exit(sig, frame)


def server_of(app: FastAPI, host: str, port: int) -> GatewayServer:
    """Return the server of an application on an address."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=int(DRAIN_S),
    )
    return GatewayServer(config, app.state.stopped)

"""Runs gateways for the daemon of a test: as processes of their own, or in that of the test."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import httpx
from fastapi import FastAPI

from checkout import python_path
from cli_builders import clean_environment
from held_ports import Holder, hold_port
from seqd.gateway.server import GatewayServer
from seqd.ledger import Ledger, connect
from seqd.settings import Settings
from seqd.testing import RunningServices
from seqd_schemas import KeyRole
from worker_fixtures import wait_until


@dataclass
class Gateway:
    """A gateway as a process of its own."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def is_up(self) -> bool:
        """Return whether it answers, be it that it wants a key."""
        try:
            return httpx.get(f"{self.address}/v1/models").status_code in (200, 401)
        except httpx.TransportError:
            return False


def new_key(services: RunningServices, tenant: str, role: KeyRole) -> str:
    """Return the secret of a new key."""
    keys = Ledger(connect(services.redis_url), services.settings).api_keys
    return keys.new(tenant, role).secret


@contextmanager
def running_gateway(
    services: RunningServices, log: Path | None = None, **variables: str
) -> Iterator[Gateway]:
    """Run a gateway until the block ends; `log` gets what it says."""
    holder = Holder()
    port = hold_port(holder)
    settings = services.settings
    whole = {
        "SEQD_REDIS_URL": services.redis_url,
        "SEQD_PREFIX": settings.prefix,
        "SEQD_DATA_DIR": str(settings.data_dir),
        "PYTHONPATH": python_path(),
        **variables,
    }
    with Path("/dev/null" if log is None else log).open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "seqd", "gateway", "--port", str(port)],
            env=clean_environment(**whole),
            stdout=output,
            stderr=output,
        )
    gateway = Gateway(process, port)
    try:
        wait_until(gateway.is_up, "the gateway answers")
        yield gateway
    finally:
        gateway.kill()


@contextmanager
def served(app: FastAPI, settings: Settings) -> Iterator[int]:
    """Serve an application from a thread of this process, as `seqd gateway` does; gives its port.

    At any port that is free, whatever the settings say.
    """
    server = GatewayServer(app, settings.model_copy(update={"gateway_port": 0}))
    thread = Thread(target=server.serve_until_told, name="gateway", daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), "it starts")
        yield server.port
    finally:
        server.should_exit = True
        thread.join()

"""Runs gateways as processes of their own, for the daemon of a test."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext

import httpx

from checkout import python_path
from cli_builders import clean_environment
from held_ports import Holder, hold_port
from seqd.ledger import Ledger, connect
from seqd.testing import RunningServices
from seqd_schemas import KeyRole
from worker_fixtures import wait_until


@dataclass
class Gateway:
    """A gateway as a process of its own."""

    process: "subprocess.Popen[bytes]"
    port: int
    #: Of one that has a certificate: what trusts it.
    trusting: SSLContext | None = None

    @property
    def address(self) -> str:
        return f"{'http' if self.trusting is None else 'https'}://127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def is_up(self) -> bool:
        """Return whether it answers, be it that it wants a key."""
        try:
            reply = httpx.get(f"{self.address}/v1/models", verify=self.trusting or True)
            return reply.status_code in (200, 401)
        except httpx.TransportError:
            return False


def new_key(services: RunningServices, tenant: str, role: KeyRole) -> str:
    """Return the secret of a new key."""
    keys = Ledger(connect(services.redis_url), services.settings).api_keys
    return keys.new(tenant, role).secret


@contextmanager
def running_gateway(
    services: RunningServices,
    log: Path | None = None,
    trusting: SSLContext | None = None,
    **variables: str,
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
    gateway = Gateway(process, port, trusting)
    try:
        wait_until(gateway.is_up, "the gateway answers")
        yield gateway
    finally:
        gateway.kill()

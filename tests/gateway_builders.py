"""Runs gateways as processes of their own, for the daemon of a test."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import sin
from pathlib import Path
from ssl import SSLContext

import httpx

from builders import a_catalog_entry, a_worker_status
from checkout import python_path
from cli_builders import clean_environment
from held_ports import Holder, hold_port
from ledger_fixtures import note_minute, publish_entries
from seqd.ledger import Ledger, connect
from seqd.settings import Settings
from seqd.testing import RunningServices
from seqd_schemas import KeyRole
from worker_fixtures import wait_until


@dataclass
class Gateway:
    """A gateway as a process of its own."""

    port: int
    variables: dict[str, str]
    log: Path
    #: Of one that has a certificate: what trusts it.
    trusting: SSLContext | None = None
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def address(self) -> str:
        return f"{'http' if self.trusting is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "it has not started"
        return self._process

    def start(self) -> None:
        """Start it, also again on its port, and wait until it answers."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "seqd", "gateway", "--port", str(self.port)],
                env=clean_environment(PYTHONPATH=python_path(), **self.variables),
                stdout=output,
                stderr=output,
            )
        wait_until(self.is_up, "the gateway answers")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def is_up(self) -> bool:
        """Return whether it answers, be it that it wants a key."""
        try:
            reply = httpx.get(f"{self.address}/v1/models", verify=self.trusting or True)
            return reply.status_code in (200, 401)
        except httpx.TransportError:
            return False


def variables_of(settings: Settings) -> dict[str, str]:
    """Return what names a daemon to a gateway."""
    assert settings.redis_url is not None
    return {
        "SEQD_REDIS_URL": settings.redis_url,
        "SEQD_PREFIX": settings.prefix,
        "SEQD_DATA_DIR": str(settings.data_dir),
    }


def new_key(services: RunningServices, tenant: str, role: KeyRole) -> str:
    """Return the secret of a new key."""
    with connect(services.redis_url) as redis:
        return Ledger(redis, services.settings).api_keys.new(tenant, role).secret


def publish_owned(services: RunningServices, *tenants: str) -> None:
    """Publish a model of each tenant, with its name, and a worker that has none of them."""
    with connect(services.redis_url) as redis:
        fleet = Ledger(redis, services.settings).fleet
        publish_entries(fleet, [a_catalog_entry(model=name, owner=name) for name in tenants])
        fleet.publish_worker(a_worker_status(), ttl_s=600.0)


def note_hour(services: RunningServices, minutes: int) -> None:
    """Note figures of the last minutes in front of this one, as a gateway would have."""
    with connect(services.redis_url) as redis:
        ledger = Ledger(redis, services.settings)
        now_ms = ledger.fleet.now_ms()
        redis.delete(services.settings.keys.minutes())
        for minute in range(minutes, 0, -1):
            at_ms, rate = now_ms - minute * 60_000, 2000.0 + 400 * sin(minute / 5)
            note_minute(ledger, at_ms, waiting_items=minute * 1000, busy_workers=4, rate=rate)


@contextmanager
def running_gateway(
    services: RunningServices,
    log: Path | None = None,
    trusting: SSLContext | None = None,
    **variables: str,
) -> Iterator[Gateway]:
    """Run a gateway until the block ends; `log` gets what it says."""
    holder = Holder()
    whole = {**variables_of(services.settings), "SEQD_REDIS_URL": services.redis_url, **variables}
    gateway = Gateway(hold_port(holder), whole, log or Path("/dev/null"), trusting)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.kill()

"""Takes walks on a server: the same ones each time, or new ones by a seed."""

from collections.abc import Iterator
from contextlib import contextmanager

import hypothesis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from clock_fixtures import ClockServer
from model.adapter import Adapter
from model.ledger import MIN_KEPT_MS, STREAM_BYTES
from model.machine import BACKOFF_S, LEASE_S
from model.walks import Walk
from seqd.settings import Settings
from tcp_proxy import TcpProxy


@contextmanager
def open_adapter(server: ClockServer) -> Iterator[Adapter]:
    """Connect to a server, which is for walks alone."""
    chosen = Settings(
        redis_url=server.url,
        lease_s=LEASE_S,
        backoff_s=BACKOFF_S,
        max_stream_bytes=STREAM_BYTES,
        min_kept_s=MIN_KEPT_MS // 1_000,
    )
    with TcpProxy(server.url) as proxy:
        adapter = Adapter(server, proxy, chosen)
        try:
            yield adapter
        finally:
            adapter.close()


def take_walks(adapter: Adapter, *, walks: int, steps: int, seed: int | None = None) -> None:
    """Take some walks of so many steps at most: always the same ones, unless there is a seed.

    Raises AssertionError at the first that ends elsewhere than the model, shortened.
    """

    class OnThisServer(Walk):
        pass

    OnThisServer.adapter = adapter
    machine = OnThisServer if seed is None else hypothesis.seed(seed)(OnThisServer)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=walks,
            stateful_step_count=steps,
            derandomize=seed is None,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

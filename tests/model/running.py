"""Takes walks on a server, the same ones for each seed, whatever else the process has loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import hypothesis
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture.providers import HypothesisProvider
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


def walk_on(adapter: Adapter) -> type[Walk]:
    """Return the walks on one server."""
    return type("Walk", (Walk,), {"adapter": adapter})


def take_walks(adapter: Adapter, *, walks: int, steps: int, seed: int = 0) -> None:
    """Take some walks of so many steps at most, the same ones for each seed.

    Raises AssertionError at the first that ends elsewhere than the model, shortened.
    """
    # Else hypothesis also draws constants of what modules are loaded, other ones with other tests.
    with patch.object(HypothesisProvider, "_maybe_draw_constant", return_value=None):
        run_state_machine_as_test(
            hypothesis.seed(seed)(walk_on(adapter)),
            settings=settings(
                max_examples=walks,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )

"""What every test gets: an environment without anybody's settings, and the Redis fixtures."""

import os
import signal
from collections.abc import Iterator

import pytest

# A shell starts what runs in its background with SIGINT ignored, and so would every process that
# a test starts be, which then could not be ended as a person ends it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["redis_fixtures", "ledger_fixtures", "worker_fixtures"]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the `SEQD_` variables of whoever runs the tests; `redis_server` has read its own."""
    for name in [name for name in os.environ if name.startswith("SEQD_")]:
        monkeypatch.delenv(name)
    yield

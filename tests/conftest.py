"""What every test gets: an environment without anybody's settings, and the Redis fixtures."""

import os
import signal
from collections.abc import Iterator

import pytest

# A shell starts what runs in its background with SIGINT ignored, and nohup with SIGHUP; so would
# every process that a test starts be, which then could not be ended as a person ends it. A handler
# of ours keeps this process safe as before, and is not handed on.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)

pytest_plugins = ["redis_fixtures", "ledger_fixtures", "worker_fixtures"]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the `SEQD_` variables of whoever runs the tests; `redis_server` has read its own."""
    for name in [name for name in os.environ if name.startswith("SEQD_")]:
        monkeypatch.delenv(name)
    yield

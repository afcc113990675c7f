"""What every test gets: an environment without anybody's settings, and the Redis fixtures."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# In importlib mode pytest puts no test folder on the path; tests share modules of this one.
sys.path.insert(0, str(Path(__file__).parent))

pytest_plugins = ["redis_fixtures"]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the `SEQD_` variables of whoever runs the tests; `redis_server` has read its own."""
    for name in [name for name in os.environ if name.startswith("SEQD_")]:
        monkeypatch.delenv(name)
    yield

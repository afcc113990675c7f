"""A Redis server whose clock a test may step; a plugin that `conftest` loads.

    clock_server     one for this test alone, by Debian's libfaketime; skips where that is missing

Only `TIME` and what hangs on it are stepped: the server's own waits go by the monotonic clock.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from redis_fixtures import PrivateServer
from seqd.local.redis_binaries import ServerBinary, find_server_binaries

#: Where Debian, and a build from source, put the library.
FOLDERS = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/local/lib/faketime")


def find_library() -> Path | None:
    """Return the path of libfaketime; None where it is not installed."""
    found = (
        path for folder in FOLDERS for path in Path("/").glob(f"{folder[1:]}/libfaketime.so.1")
    )
    return next(found, None)


class ClockServer(PrivateServer):
    """A private server with a clock of its own."""

    def __init__(self, binary: ServerBinary, folder: Path, library: Path) -> None:
        super().__init__(binary, folder)
        self._library = library
        self._offset = folder / "clock-offset"
        self._ahead_s = 0.0
        self.step(0)

    def command(self) -> list[str]:
        variables = {
            "LD_PRELOAD": self._library,
            "FAKETIME_TIMESTAMP_FILE": self._offset,
            "FAKETIME_NO_CACHE": 1,
            "FAKETIME_DONT_FAKE_MONOTONIC": 1,
        }
        settings = [f"{name}={value}" for name, value in variables.items()]
        return ["/usr/bin/env", *settings, *super().command()]

    def step(self, seconds: float) -> None:
        """Step its clock forward, or back; holds from the next command on, and over restarts."""
        self._ahead_s += seconds
        # Replaced in one go: the server reads it whenever it asks for the time.
        new = self._offset.with_suffix(".new")
        new.write_text(f"{self._ahead_s:+.3f}\n")
        new.replace(self._offset)


@pytest.fixture
def clock_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClockServer]:
    library = find_library()
    if library is None:
        pytest.skip("libfaketime is not installed here: apt-get install faketime")
    server = ClockServer(find_server_binaries()[0], tmp_path_factory.mktemp("clock"), library)
    try:
        server.start()
        yield server
    finally:
        server.stop()

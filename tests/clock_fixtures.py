"""Clocks that a test holds and steps: a Redis server's, and one of a process; loaded by `conftest`.

    clock_server     one for this test alone, by Debian's libfaketime; skips where that is missing
    each_clock_server   one for the tests of a file, of each kind and version that is installed
    HeldClock        what is passed in as the `clock` of whatever decides by time in a process

Only `TIME` and what hangs on it are stepped: the server's own waits go by the monotonic clock.
"""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from redis_fixtures import PrivateServer, installed_servers, servers
from seqd.local.redis_binaries import ServerBinary


@dataclass
class HeldClock:
    """A clock that stands still until it is stepped: `clock.now_s += 5`."""

    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


#: Where Debian, and a build from source, put the library.
FOLDERS = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/local/lib/faketime")

SOURCE = Path(__file__).with_name("clock_without_processor.c")


def find_library() -> Path | None:
    """Return the path of libfaketime; None where it is not installed."""
    found = (
        path for folder in FOLDERS for path in Path("/").glob(f"{folder[1:]}/libfaketime.so.1")
    )
    return next(found, None)


class NoCompiler(Exception):
    """There is no C compiler here."""


def compile_library(folder: Path) -> Path:
    """Compile what keeps a Valkey from counting time by itself. Raises NoCompiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NoCompiler("cc is not installed here: apt-get install gcc libc6-dev")
    library = folder / "clock_without_processor.so"
    command = [compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return library


class ClockServer(PrivateServer):
    """A private server with a clock of its own. A Valkey needs a C compiler."""

    def __init__(self, binary: ServerBinary, folder: Path, library: Path) -> None:
        super().__init__(binary, folder)
        self._libraries = [library]
        if binary.kind == "valkey":
            self._libraries.append(compile_library(folder))
        self._offset = folder / "clock-offset"
        self._ahead_s = 0.0
        self.step(0)

    def command(self) -> list[str]:
        variables = {
            "LD_PRELOAD": ":".join(map(str, self._libraries)),
            "FAKETIME_TIMESTAMP_FILE": self._offset,
            "FAKETIME_NO_CACHE": 1,
            "FAKETIME_DONT_FAKE_MONOTONIC": 1,
            # Its segments of shared memory stay behind.
            "FAKETIME_DISABLE_SHM": 1,
        }
        settings = [f"{name}={value}" for name, value in variables.items()]
        return ["/usr/bin/env", *settings, *super().command()]

    def step(self, seconds: float) -> None:
        """Step its clock forward, or back; holds from the next command on, and over restarts."""
        self._ahead_s += seconds
        self._write(f"{self._ahead_s:+.3f}")

    def hold(self, at_ms: int) -> None:
        """Have its clock stand still at a time, until it is stepped or held at another one."""
        at = datetime.fromtimestamp(at_ms // 1_000)  # the library reads local time
        # And half a millisecond, or the library's arithmetic would show the one before.
        self._write(f"{at:%Y-%m-%d %H:%M:%S}.{at_ms % 1_000:03d}5")

    def _write(self, time: str) -> None:
        # Replaced in one go: the server reads it whenever it asks for the time.
        new = self._offset.with_suffix(".new")
        new.write_text(f"{time}\n")
        new.replace(self._offset)


@pytest.fixture
def clock_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClockServer]:
    yield from _running(installed_servers()[0], tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module", params=servers(pytest.mark.slow))
def each_clock_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClockServer]:
    yield from _running(request.param, tmp_path_factory.mktemp("clock"))


def _running(binary: ServerBinary, folder: Path) -> Iterator[ClockServer]:
    library = find_library()
    if library is None:
        pytest.skip("libfaketime is not installed here: apt-get install faketime")
    try:
        server = ClockServer(binary, folder, library)
    except NoCompiler as error:
        pytest.skip(str(error))
    try:
        server.start()
        yield server
    finally:
        server.stop()

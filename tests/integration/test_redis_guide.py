"""The operators' guide on Redis: a server that is set so is one that a worker has no word about."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from readme_blocks import OPERATORS_GUIDE, ROOT, blocks_of
from redis_fixtures import PrivateServer, server_binaries
from seqd.errors import InvalidSettings
from seqd.ledger import connect
from seqd.ledger.server_check import check_server
from seqd.local.redis_address import check_redis_url

GUIDE = ROOT / "docker"

#: What a server has that nobody has set.
DEFAULTS = (
    "appendonly no",
    'save ""',
    "maxmemory 0",
    "maxmemory-policy allkeys-lru",
    "lazyfree-lazy-expire no",
    "lazyfree-lazy-server-del no",
)


def lines_with(word: str) -> list[str]:
    """Return the lines of the page's one block that has the word."""
    (block,) = [block for block in blocks_of(GUIDE / "redis.md", "text") if word in block.text]
    return block.text.splitlines()


@pytest.fixture(params=server_binaries())
def started(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[Sequence[str]], Redis]]:
    """Return what starts a server with lines of configuration, and connects to it."""
    with ExitStack() as stack:

        def start(lines: Sequence[str]) -> Redis:
            server = PrivateServer(request.param, tmp_path, (*DEFAULTS, *lines))
            stack.callback(server.stop)
            server.start()
            return stack.enter_context(connect(server.url))

        yield start


@pytest.mark.processes
def test_a_server_with_the_lines_of_the_guide_is_taken_without_a_warning(
    started: Callable[[Sequence[str]], Redis], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    lines = lines_with("appendonly yes")

    redis = started(lines)
    check_server(redis, allow_eviction=False, allow_volatile=False)

    told = dict(line.split() for line in lines)
    assert caplog.messages == []
    assert {name: redis.config_get(name)[name] for name in told} == (
        told | {"maxmemory": str(6 * 2**30)}
    )


@pytest.mark.processes
def test_a_server_without_them_is_not(started: Callable[[Sequence[str]], Redis]) -> None:
    redis = started(())

    with pytest.raises(InvalidSettings, match="SEQD_ALLOW_VOLATILE"):
        check_server(redis, allow_eviction=False, allow_volatile=False)


def test_each_address_of_redis_in_the_guide_is_one() -> None:
    addresses = [
        address
        for page in OPERATORS_GUIDE
        for address in re.findall(r"^(?:export )?SEQD_REDIS_URL=(\w\S+)$", page.read_text(), re.M)
    ]

    assert {address.partition(":")[0] for address in addresses} == {
        "redis",
        "unix",
        "rediss",
        "redis+sentinel",
    }
    for address in addresses:
        check_redis_url(address)

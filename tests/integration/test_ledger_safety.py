"""A worker refuses a server that would throw parts of jobs away, and warns of one that forgets."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from redis_fixtures import PrivateServer
from seqd.errors import InvalidSettings
from seqd.ledger import connect
from seqd.ledger.safety import check_server
from seqd.server.binaries import find_server_binaries

pytestmark = pytest.mark.processes


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[PrivateServer]:
    """A server that evicts, and keeps no append-only file."""
    extra = ("maxmemory 50mb", "maxmemory-policy allkeys-lru", "appendonly no")
    server = PrivateServer(find_server_binaries()[0], tmp_path, extra)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_a_server_that_evicts_is_refused(forgetful: PrivateServer) -> None:
    with connect(forgetful.url) as redis, pytest.raises(InvalidSettings) as refusal:
        check_server(redis, allow_eviction=False)

    assert str(refusal.value) == (
        f"Redis at 127.0.0.1:{forgetful.port} has maxmemory-policy allkeys-lru and maxmemory "
        "52428800: when its memory is used up it throws away parts of jobs without a word. Set "
        "maxmemory-policy to noeviction there, or SEQD_ALLOW_EVICTION=true here to run all the "
        "same."
    )


def test_an_operator_may_run_on_it_all_the_same_and_is_warned(
    forgetful: PrivateServer, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(forgetful.url) as redis, caplog.at_level(logging.WARNING):
        check_server(redis, allow_eviction=True)

    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "throws away parts of jobs" in caplog.messages[0]
    assert "a restart of the server loses every job" in caplog.messages[1]


def test_the_embedded_servers_configuration_is_fit(
    private_server: PrivateServer, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(private_server.url) as redis, caplog.at_level(logging.WARNING):
        check_server(redis, allow_eviction=False)

    assert caplog.messages == []

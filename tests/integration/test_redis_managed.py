"""Servers that lack commands for administration, as managed ones do: work goes on without them."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from redis_fixtures import PrivateServer, servers
from seqd_schemas import JobState
from worker_fixtures import Cluster, live_settings

pytestmark = pytest.mark.processes

#: What hosts of servers rename, or take away.
TAKEN_AWAY = ("CONFIG", "INFO", "CLIENT", "ACL", "MONITOR", "KEYS", "FLUSHALL", "FLUSHDB")


@pytest.fixture(params=servers(pytest.mark.slow))
def managed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PrivateServer]:
    folder = tmp_path / "redis"
    folder.mkdir()
    knows_waitaof = request.param.kind == "valkey" or request.param.version >= (7, 2)
    commands = (*TAKEN_AWAY, "WAITAOF") if knows_waitaof else TAKEN_AWAY
    lines = tuple(f'rename-command {name} ""' for name in commands)
    server = PrivateServer(request.param, folder, lines)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.mark.slow
def test_work_is_done_on_a_server_without_commands_for_administration(
    managed: PrivateServer, tmp_path: Path
) -> None:
    with closing(Cluster(live_settings(managed, tmp_path), tmp_path)) as cluster:
        worker = cluster.start_ready()
        client = cluster.client()

        job = client.classify((f"t{n}" for n in range(40)), model="echo", durable=True)
        assert job.wait(timeout_s=120).counts.succeeded == 40
        trained = client.train([{"text": "a", "label": "b"}] * 4, model="echo")
        assert trained.wait(timeout_s=120).state is JobState.COMPLETED

        assert not job.durable  # nobody can tell
        assert worker.warnings() == []

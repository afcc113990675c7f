"""Servers that lack commands for administration, as managed ones do: work goes on without them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from redis_fixtures import PrivateServer, _server_kinds, binary_of_kind
from seqd_schemas import JobState
from worker_fixtures import Cluster, live_settings

pytestmark = pytest.mark.processes

#: What hosts of servers rename, or take away.
TAKEN_AWAY = ("CONFIG", "INFO", "CLIENT", "DEBUG", "ACL", "MONITOR", "KEYS", "FLUSHALL", "FLUSHDB")


@pytest.fixture(params=_server_kinds())
def managed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PrivateServer]:
    binary = binary_of_kind(request.param)
    commands = (*TAKEN_AWAY, "WAITAOF") if request.param == "valkey" else TAKEN_AWAY
    folder = tmp_path / "redis"
    folder.mkdir()
    # DEBUG is taken away by the configuration that all servers of ours have, on Redis.
    renamed = [name for name in commands if name != "DEBUG" or request.param == "valkey"]
    server = PrivateServer(binary, folder, tuple(f'rename-command {name} ""' for name in renamed))
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_work_is_done_on_a_server_without_commands_for_administration(
    managed: PrivateServer, tmp_path: Path
) -> None:
    cluster = Cluster(live_settings(managed, tmp_path), tmp_path)
    try:
        worker = cluster.start_ready()
        client = cluster.client()

        job = client.classify((f"t{n}" for n in range(40)), model="echo", durable=True)
        assert job.wait(timeout_s=30).counts.succeeded == 40
        trained = client.train([{"text": "a", "label": "b"}] * 4, model="echo")
        assert trained.wait(timeout_s=30).state is JobState.COMPLETED

        assert not job.durable or managed.binary.kind == "redis"
        warnings = [line for line in worker.whole_log().splitlines() if " WARNING " in line]
        assert [line for line in warnings if "server_check" not in line] == []
        assert "SEQD_MAX_MEMORY_SHARE has no effect" in warnings[0]
        assert "does not tell maxmemory-policy, maxmemory and appendonly (" in warnings[1]
        assert len(warnings) == 2
    finally:
        cluster.close()

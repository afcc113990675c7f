"""The previous release beside this one: a job under load changes hands, and changes them back.

A worker of the previous release has the job alone. One of this release joins it, and the former
ends, as in an upgrade; then another one of the previous release joins, and that of this release
ends, as in the way back. The previous release is built from its commit.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drills.load import LEASE_S, loaded
from drills.result import DrillResult
from previous_release import build_previous_release
from redis_fixtures import PrivateServer
from seqd.local.redis_binaries import find_server_binaries
from seqd_schemas import WorkerStatus
from worker_fixtures import Cluster, live_settings, wait_until

NAME = "other-release"

#: What a worker of this release may take to finish what it has in hand; 0.2.0 knows no such time.
DRAIN_S = 1.0


def run() -> DrillResult:
    """Hand a job under load from release to release, and back; return what came out."""
    with tempfile.TemporaryDirectory(prefix="seqd-drill-") as name:
        folder = Path(name)
        release = build_previous_release(folder / "release").folder
        with _fleet(folder) as cluster:
            settings = cluster.settings
            old = cluster.start_ready("old", release, lease_s=LEASE_S)
            with loaded(settings, folder) as load:
                new = cluster.start_ready("new", lease_s=LEASE_S, drain_s=DRAIN_S)
                wait_until(lambda: _has_worked(cluster, "new"), "the new one does some of it")
                assert old.stop() == 0, old.log()
                load.wait_for_more(200)
                again = cluster.start_ready("old-again", release, lease_s=LEASE_S)
                wait_until(lambda: _has_worked(cluster, "old-again"), "the old one, too")
                assert new.stop() == 0, new.log()
                load.wait_for_more(200)
                # 0.2.0 releases what it has in hand when it ends; that is computed again.
                result = load.finish(NAME, is_breakdown=True)
            assert again.is_up(), again.log()
            return result


def _has_worked(cluster: Cluster, name: str) -> bool:
    status: WorkerStatus | None = next(one for one in cluster.workers if one.name == name).status()
    return status is not None and status.work.items > 0


@contextmanager
def _fleet(folder: Path) -> Iterator[Cluster]:
    server_folder = folder / "redis"
    server_folder.mkdir()
    server = PrivateServer(find_server_binaries()[0], server_folder)
    server.start()
    try:
        cluster = Cluster(live_settings(server, folder), folder)
        try:
            yield cluster
        finally:
            cluster.close()
    finally:
        server.stop()

"""In the shell of a team that runs Celery, a worker and a client of seqd do as anywhere else."""

import os
from pathlib import Path

import pytest
import redis

from redis_fixtures import PrivateServer
from seqd.worker.celery_environment import _OTHERS
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes

#: Variables of Celery and kombu by prefix, beside those in `_OTHERS`.
PREFIXED = (
    *("CELERY_BENCH", "CELERY_BENCH_EVERY", "CELERY_CUSTOM_WORKER_POOL", "CELERY_LOG_FILE"),
    *("CELERY_LOG_LEVEL", "CELERY_LOG_REDIRECT", "CELERY_LOG_REDIRECT_LEVEL", "CELERY_RDBSIG"),
    *("CELERY_RESULT_BACKEND", "CELERY_SKIP_CHECKS", "CELERY_TRACE_APP", "KOMBU_DEBUG_POOL"),
    *("CELERY_WORKER_REVOKES_MAX", "CELERY_WORKER_REVOKE_EXPIRES", "CELERY_DB_REUSE_MAX"),
    *("KOMBU_DISABLE_LIMIT_PROTECTION", "KOMBU_LOG_CHANNEL", "KOMBU_LOG_CONNECTION"),
    *("_MP_FORK_LOGFILE_", "_MP_FORK_LOGFORMAT_", "_MP_FORK_LOGLEVEL_", "KOMBU_LOG_DEBUG"),
)

CONFIG = """
from pathlib import Path
Path(__file__).with_name("was_read").touch()
broker_url = {url!r}
task_always_eager = True
"""


@pytest.mark.slow
def test_none_of_celerys_variables_and_no_celeryconfig_changes_a_worker_or_a_client(
    empty_cluster: Cluster,
    private_server: PrivateServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "celeryconfig.py").write_text(CONFIG.format(url=private_server.url))
    monkeypatch.chdir(folder)
    for name in (*_OTHERS, *PREFIXED):
        monkeypatch.setenv(name, "hostile")
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"):
        monkeypatch.setenv(name, private_server.url)
    monkeypatch.setenv("CELERY_CONFIG_MODULE", "celeryconfig")
    monkeypatch.setenv("CELERY_LOADER", "default")
    # So that a wakeup alone brings it its work in time.
    worker = empty_cluster.start_ready(reconcile_s=60.0)
    client = empty_cluster.client()
    client.classify(["first"], model="echo").wait(timeout_s=120)

    record = client.classify(["a", "b"], model="echo").wait(timeout_s=120)

    assert record.counts.succeeded == 2
    with redis.Redis.from_url(private_server.url) as other:
        assert other.dbsize() == 0
        assert other.info("clients")["connected_clients"] == 1
    assert not (folder / "was_read").exists()
    assert worker.stop() == os.EX_OK

"""Workers with the plugin of `task_plugin/`, whose models have tasks of the plugin's own.

task_cluster        a ledger, a store and one worker for the whole run; leave its worker alone
own_task_cluster    a ledger and a store of the test's own; start and kill workers at will
"""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from redis_fixtures import Server
from worker_fixtures import Cluster, cluster_on, publish_file

PLUGIN = Path(__file__).parent / "task_plugin"


def _import_plugin() -> None:
    """Let tests import the plugin, by which they compute what is due.

    Its folder is not on `sys.path`: the plugin would count as installed in each test.
    """
    spec = spec_from_file_location("seqd_tasks", PLUGIN / "seqd_tasks.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules["seqd_tasks"] = module_from_spec(spec)
    spec.loader.exec_module(module)


if "seqd_tasks" not in sys.modules:
    _import_plugin()

#: Models of the plugin, each with its task.
TASKS = {
    "vectors": "embed",
    "stars": "score",
    "topics": "tag",
    "places": "find",
    "mirror": "mirror",
    "pairs": "compare",
}


class TaskCluster(Cluster):
    """A cluster whose workers have the plugin `tasks` alone; version 1 of each of its models."""

    plugins = PLUGIN

    def publish_models(self, store_dir: Path) -> None:
        """Publish a version of each model."""
        for model in TASKS:
            publish_file(store_dir, model, "tasks.json", "{}")


def _cluster(server: Server, folder: Path) -> AbstractContextManager[TaskCluster]:
    return cluster_on(
        server, folder, TaskCluster, enabled_plugins=("tasks",), input_roots=(folder,)
    )


@pytest.fixture(scope="session")
def _shared_task_cluster(
    users_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TaskCluster]:
    with _cluster(users_server, tmp_path_factory.mktemp("tasks")) as shared:
        shared.start_ready("shared")
        yield shared


@pytest.fixture
def task_cluster(_shared_task_cluster: TaskCluster) -> TaskCluster:
    (worker,) = _shared_task_cluster.workers
    worker.wait_until_ready()
    return _shared_task_cluster


@pytest.fixture
def own_task_cluster(users_server: Server, tmp_path: Path) -> Iterator[TaskCluster]:
    with _cluster(users_server, tmp_path) as own:
        yield own

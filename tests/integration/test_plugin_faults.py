"""plugins/faults.md: what is said of each fault of a plugin, and where, by a real worker."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults_page import assert_said, rows_below
from misbehaving_plugin import install_misbehaving
from redis_fixtures import Server
from seqd.errors import JobFailed
from seqd.kinds import TRAIN
from seqd.local.endpoint import is_alive
from seqd_schemas import ItemFailure, ItemSuccess
from worker_fixtures import Cluster, cluster_on, wait_until

pytestmark = pytest.mark.processes

#: Longer than a sound process has to wait for a processor on a busy machine.
MAX_SILENT_S = 2.0

#: Faults that end the process of a worker, several times: a start takes seconds on a busy machine.
ENDING = {"exits_at_run", "never_returns", "hangs_in_c"}

CALLED = rows_below("When a model is loaded, called or trained")
UNSEEN = rows_below("What no worker can see")


class Misbehaving(Cluster):
    """A cluster whose worker has the plugins that misbehave."""

    def publish_models(self, store_dir: Path) -> None:
        """Publish nothing: version 0 of each model is the plugin's code."""


@pytest.fixture(scope="module")
def faulty(users_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Misbehaving]:
    folder = tmp_path_factory.mktemp("misbehaving")
    plugins = install_misbehaving(folder / "plugins")
    update = {"enabled_plugins": plugins, "max_silent_s": MAX_SILENT_S}
    with cluster_on(users_server, folder, Misbehaving, **update) as own:
        own.plugins = folder / "plugins"
        own.start_ready()
        yield own


def told_of(cluster: Cluster, model: str, where: str) -> tuple[str, str]:
    """Have a model do its fault; return the code and the message of the item, or of the job."""
    client = cluster.client()
    if TRAIN in client.catalog()[model].tasks:
        job = client.train([{"text": "a"}], model=model)
    else:
        job = client.classify(["a"], model=model)
    if where == "item":
        (result,) = job.results()
        assert isinstance(result, ItemFailure)
        return str(result.error.code), result.error.message
    with pytest.raises(JobFailed) as failed:
        job.wait(timeout_s=120)
    return failed.value.failure.code, failed.value.failure.message


@pytest.mark.parametrize(
    "model",
    [pytest.param(model, marks=pytest.mark.slow if model in ENDING else ()) for model in CALLED],
)
def test_a_fault_of_a_model_is_told_where_and_as_the_page_says(
    faulty: Misbehaving, model: str
) -> None:
    where, words, _ = CALLED[model]
    worker = faulty.workers[0].wait_until_ready()
    child = worker.child_pid()

    code, said = told_of(faulty, model, where.partition(",")[0])

    assert f"`{code}`" in where
    assert_said(said, words)
    assert model in ENDING or worker.child_pid() == child
    assert str(Path(__file__).parent) not in said


@pytest.mark.parametrize("model", UNSEEN)
def test_what_no_worker_can_see_gives_results(faulty: Misbehaving, model: str) -> None:
    results = list(faulty.client().classify(["a", "b"], model=model).results())

    assert all(isinstance(one, ItemSuccess) for one in results)


def copies_of(child: int) -> list[int]:
    """Return the processes that a worker's child has, without those that have ended."""
    lists = (tasks.read_text() for tasks in Path(f"/proc/{child}/task").glob("*/children"))
    return [pid for pids in lists for pid in map(int, pids.split()) if is_alive(pid)]


def test_a_copy_of_a_worker_that_a_plugin_has_forked_ends_with_the_call_and_is_named(
    faulty: Misbehaving,
) -> None:
    worker = faulty.workers[0].wait_until_ready()
    stayed = {*copies_of(worker.child_pid())}  # of a test before, in their calls

    results = list(faulty.client().classify(["a", "b"], model="forks_and_returns").results())

    assert all(isinstance(one, ItemSuccess) for one in results)
    wait_until(lambda: {*copies_of(worker.child_pid())} <= stayed, "the copy is gone")
    named = "plugin_forked: A plugin forked its process in a call, and came back in the copy too"
    wait_until(lambda: named in worker.whole_log(), "it is named")


@pytest.mark.slow
def test_a_copy_that_stays_in_its_call_ends_with_the_worker_that_it_is_one_of(
    faulty: Misbehaving,
) -> None:
    worker = faulty.workers[0].wait_until_ready()
    child = worker.child_pid()
    faulty.client().classify(["a"], model="forks").wait(timeout_s=120)
    copies = copies_of(child)

    os.kill(child, signal.SIGKILL)

    assert copies  # each sleeps for ten minutes
    wait_until(lambda: not any(map(is_alive, copies)), "the copies are gone")
    worker.wait_until_ready(other_than_pid=child)


def test_what_a_plugin_prints_is_a_line_of_the_log(faulty: Misbehaving) -> None:
    faulty.client().classify(["this text"], model="prints").wait(timeout_s=120)

    log = faulty.workers[0].whole_log
    wait_until(lambda: "seqd.printed classifying 1 texts job=" in log(), "the line is there")

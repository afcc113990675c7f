"""Plugins that raise what is no exception, such as `sys.exit()`: an error like any other."""

import pytest

from plugin_builders import place
from seqd.errors import JobFailed
from seqd_schemas import DeathCause, ItemFailure, ItemSuccess, UnfitCode
from worker_fixtures import PLUGIN, Cluster, wait_until

pytestmark = pytest.mark.processes

#: What a text has the plugin raise, and what is said of it.
RAISED = {
    "quit": "SystemExit: 3",
    "interrupt": "KeyboardInterrupt",
    "generator": "GeneratorExit",
    "base": "BaseException: not even an Exception",
    "unreadable": "Unreadable: its text cannot be read",
}


def test_whatever_a_plugin_raises_for_an_item_or_a_training_is_an_error_and_costs_no_process(
    cluster: Cluster,
):
    worker, client = cluster.workers[0], cluster.client()
    child = worker.child_pid()

    first, *results = client.classify(["a", *RAISED], model="echo").results()
    job = client.train([{"text": "a", "label": "b"}], model="echo", parameters={"trick": "quit"})
    with pytest.raises(JobFailed) as raised:
        job.wait(timeout_s=120)

    assert isinstance(first, ItemSuccess)
    for result, said in zip(results, RAISED.values(), strict=True):
        assert isinstance(result, ItemFailure)
        assert result.error.code == "plugin_error"
        assert result.error.message.startswith(f"The model plugin raised {said} (seqd_light.py, ")
    where = place(PLUGIN / "seqd_light.py", "sys.exit(3)  # of a training", "_step")
    assert raised.value.failure.message == (
        f"Training echo failed: SystemExit: 3 {where}. The traceback is in the worker's output."
    )
    assert worker.child_pid() == child


@pytest.mark.slow  # a worker of its own
def test_a_version_that_exits_when_it_is_warmed_up_is_unfit(empty_cluster: Cluster):
    worker = empty_cluster.start_apart("w1", "warm_up quit").wait_until_ready()
    where = place(PLUGIN / "seqd_light.py", "raise SICKNESSES[what]()", "_be_sick")

    def says_so() -> bool:
        status = worker.status()
        return status is not None and [
            (one.code, one.message) for one in status.unfit if one.version is not None
        ] == [(UnfitCode.LOAD_FAILED, f"SystemExit: 3 {where}")]

    wait_until(says_so, "it is unfit")
    assert "child died" not in worker.whole_log()


@pytest.mark.slow  # a worker of its own
def test_a_version_that_hangs_when_it_is_warmed_up_ends_its_process_which_says_so(
    empty_cluster: Cluster,
) -> None:
    worker = empty_cluster.start_apart("w1", "warm_up hang", max_silent_s=1.0)

    def says_so() -> bool:
        status = worker.status()
        return status is not None and any(
            death.cause is DeathCause.HANG and "it stood in seqd_light.py" in death.message
            for death in status.deaths
        )

    wait_until(says_so, "its death is told")
    (empty_cluster.folder_of("w1") / "sick").write_text("")
    worker.wait_until_ready()

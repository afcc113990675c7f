"""Who waits for a job that no worker can run is told why, and may give up after a time."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from seqd.client import Client, Job, NoWorker
from seqd.errors import InvalidRequest
from seqd.local.slots import parse_slot
from seqd_schemas import JobState, Waiting, WaitingCode, WorkerState
from worker_fixtures import PLUGIN, Cluster, wait_for_reason, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

LIMIT_S = 120.0


NO_WORKER = "No worker is up: `seqd up` starts them, in some seconds."


@pytest.fixture
def client(empty_cluster: Cluster) -> Client:
    """A client of a fleet that has nobody left."""
    empty_cluster.publish_catalog()
    return empty_cluster.client()


def a_job(client: Client) -> Job:
    return client.generate(["a"], model="echo", stream=True)


READERS: dict[str, Callable[[Job, float], object]] = {
    "wait": lambda job, limit_s: job.wait(no_worker_timeout_s=limit_s),
    "results": lambda job, limit_s: list(job.results(no_worker_timeout_s=limit_s)),
    "events": lambda job, limit_s: list(job.events(no_worker_timeout_s=limit_s)),
    "result": lambda job, limit_s: job.result("row-1", no_worker_timeout_s=limit_s),
    "errors": lambda job, limit_s: list(job.errors(no_worker_timeout_s=limit_s)),
    "stream": lambda job, limit_s: list(job.stream(no_worker_timeout_s=limit_s)),  # type: ignore[attr-defined]
}


def test_a_wait_ends_with_the_reason_when_no_worker_came_in_time(client: Client) -> None:
    job = a_job(client)

    for name, reader in READERS.items():
        with pytest.raises(NoWorker) as raised:
            reader(job, 0.4)

        assert (raised.value.code, raised.value.job_id) == ("no_worker", job.job_id)
        assert raised.value.waiting == Waiting(code=WaitingCode.NO_WORKER, message=NO_WORKER)
        assert str(raised.value) == (
            f"No worker could run job {job.job_id} for 0.4 s. {NO_WORKER} It stays, and goes on "
            f"when one can: seqd jobs watch {job.job_id}. To cancel it: seqd jobs cancel "
            f"{job.job_id}"
        ), name
    assert job.record().state is JobState.QUEUED


def test_the_reason_is_told_once_in_the_log_and_to_the_caller(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    job, told = a_job(client), list[Waiting]()

    with caplog.at_level(logging.WARNING, "seqd.client.waiting"), pytest.raises(NoWorker):
        job.wait(on_waiting=told.append, no_worker_timeout_s=0.5)

    assert [waiting.message for waiting in told] == [NO_WORKER]
    assert caplog.messages == [f"job={job.job_id} waits: {NO_WORKER}"]


def test_what_the_callback_raises_the_wait_raises(client: Client) -> None:
    def call(waiting: Waiting) -> None:
        raise LookupError(waiting.code)

    with pytest.raises(LookupError, match=r"^no_worker$"):
        a_job(client).wait(on_waiting=call, no_worker_timeout_s=20)


@pytest.mark.parametrize("limit_s", [-1, float("nan"), "5", True])
def test_a_time_that_is_none_is_refused(cluster: Cluster, limit_s: float) -> None:
    with pytest.raises(InvalidRequest, match=r"^no_worker_timeout_s is .*; allowed: 0 or more sec"):
        cluster.client().job("none").results(no_worker_timeout_s=limit_s)


def test_a_wait_goes_on_while_a_worker_can_run_the_job(cluster: Cluster) -> None:
    job = cluster.client().classify(["a"] * 8, model="echo", parameters={"delay_ms": 100})

    assert job.wait(no_worker_timeout_s=0.1).state is JobState.COMPLETED


def test_a_job_is_told_that_a_worker_starts_and_what_it_loads_however_long_that_takes(
    empty_cluster: Cluster, tmp_path: Path
) -> None:
    plugin, may_load = shutil.copytree(PLUGIN, tmp_path / "plugin"), tmp_path / "may-load"
    source = (plugin / "seqd_light.py").read_text()
    waits = f"        while not Path({str(may_load)!r}).exists():\n            time.sleep(0.05)\n"
    begins = "    def load(self, artifact: Artifact, device: Device) -> LoadedModel:\n"
    assert begins in source
    (plugin / "seqd_light.py").write_text(source.replace(begins, f"{begins}{waits}"))
    empty_cluster.plugins = plugin
    empty_cluster.start("trains", parse_slot("train@cpu")).wait_until_ready()
    loads = empty_cluster.start("loads")
    first_ms = loads.known_status().seen_at_ms

    wait_until(
        lambda: loads.known_status().seen_at_ms > first_ms + 2_000,
        "its first record, which stays for 1.5 s, was not its last",
    )
    status = loads.known_status()
    job = empty_cluster.client().classify(["a"], model="echo")
    waiting = wait_for_reason(job)
    may_load.touch()
    record = job.wait(no_worker_timeout_s=0)

    assert (status.state, status.loading) == (WorkerState.STARTING, ("echo@1",))
    assert waiting == Waiting(
        code=WaitingCode.STARTING,
        message="A worker is still starting (loads). Before jobs are taken, plugins are imported "
        "and models loaded: echo@1.",
    )
    assert record.state is JobState.COMPLETED
    assert loads.known_status().loading == ()

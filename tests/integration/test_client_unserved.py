"""Who waits for a job that no worker can run is told so, however the workers went."""

import logging
from collections.abc import Callable

import pytest

from seqd.client import Client, JobHandle
from seqd_schemas import JobState
from worker_fixtures import Cluster, LiveWorker, wait_until

pytestmark = pytest.mark.processes

NO_WORKER = "waits: No worker is up: `seqd up` starts them."
NOT_SERVED = "waits: No worker that is up has a plugin with the model echo."

#: Ways to wait for a job, each for longer than it takes to see that nobody is up.
WAYS: dict[str, Callable[[Client, JobHandle], object]] = {
    "wait": lambda client, job: job.wait(timeout_s=4.5),
    "results": lambda client, job: list(job.results()),
    "events": lambda client, job: list(job.events()),
    "as_completed": lambda client, job: list(client.as_completed([job], timeout_s=4.5)),
}


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if " waits: " in message]


@pytest.mark.parametrize("way", WAYS)
def test_whoever_waits_for_a_job_with_no_worker_up_is_told_once(
    empty_cluster: Cluster, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    empty_cluster.publish_catalog()
    client = empty_cluster.client()
    job = client.classify(["a"], model="echo", expires_in_s=5)

    with caplog.at_level(logging.WARNING):
        try:
            WAYS[way](client, job)
        except TimeoutError as error:
            if way == "wait":
                assert str(error).endswith(" It waits: No worker is up: `seqd up` starts them.")
        finally:
            assert told(caplog) == [f"job={job.job_id} {NO_WORKER}"]
            job.cancel()


def kill(worker: LiveWorker) -> None:
    worker.kill()


def drain(worker: LiveWorker) -> None:
    assert worker.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "is_sent_first", "others"),
    [
        (kill, True, ()),
        (kill, False, ("markov",)),
        (drain, True, ("markov",)),
        (drain, False, ()),
    ],
)
def test_a_job_whose_last_worker_is_gone_says_so(
    empty_cluster: Cluster,
    end: Callable[[LiveWorker], None],
    is_sent_first: bool,
    others: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    last = empty_cluster.start_ready(unfit_grace_s=60.0)
    if others:
        empty_cluster.start_ready(enabled_plugins=others, unfit_grace_s=60.0)
    client = empty_cluster.client()
    jobs = [client.classify(["a"], model="echo", parameters={"delay_ms": 60_000})]
    wait_until(lambda: jobs[0].record().state is JobState.RUNNING, "it runs")
    if not is_sent_first:
        jobs[0].cancel()
    end(last)
    if not is_sent_first:
        jobs = [client.classify(["a"], model="echo")]

    with caplog.at_level(logging.WARNING), pytest.raises(TimeoutError):
        jobs[0].wait(timeout_s=8)

    (line,) = told(caplog)
    assert line.startswith(f"job={jobs[0].job_id} {NOT_SERVED if others else NO_WORKER}")

"""Workers that are asked to end, and jobs that are cancelled: nothing lost, nothing left."""

import pytest

from seqd_schemas import ItemFailure, ItemSuccess, JobState
from worker_fixtures import Cluster, processes_of_group, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: 25 units of 8 items; a unit takes 0.16 s.
TEXTS = [f"text {number}" for number in range(200)]
SLOWLY = {"delay_ms": 20.0}


def test_a_worker_that_is_stopped_while_it_starts_ends_quietly(empty_cluster: Cluster):
    worker = empty_cluster.start()
    wait_until(lambda: len(processes_of_group(worker.pid)) > 1, "its child starts")

    worker.ask_to_end()
    worker.wait_for_end()

    wait_until(lambda: not processes_of_group(worker.pid), "no process is left")
    assert "Traceback" not in worker.whole_log()


def test_a_running_job_ends_soon_after_its_cancel_and_keeps_what_it_has(cluster: Cluster):
    client = cluster.client()
    job = client.classify(TEXTS, model="echo", parameters=SLOWLY)
    results = iter(job.results())
    for _ in range(8):
        next(results)

    job.cancel()
    client.classify(["a"], model="echo").wait(timeout_s=120)
    kept = list(client.job(job.job_id).results())

    ids = [result.custom_id for result in kept]
    assert ids == [f"row-{n}" for n in range(1, len(ids) + 1)]
    done = [result for result in kept if isinstance(result, ItemSuccess)]
    undone = [result for result in kept if isinstance(result, ItemFailure)]
    assert kept == [*done, *undone]
    assert 8 <= len(done) < len(kept)
    assert {result.error.code for result in undone} == {"cancelled"}
    record = job.record()
    assert record.counts.succeeded == len(done)
    assert record.counts.cancelled == len(undone)
    assert client.job(job.job_id).cancel() is JobState.CANCELLED

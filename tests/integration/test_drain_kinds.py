"""SIGTERM and a drain, for every kind of job: another worker goes on at once, and nothing is lost.

Leases and the reconciler's looks are so long that only what the ending worker itself releases, and
notifies of, can explain that somebody goes on.
"""

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqd.client import JobHandle
from seqd.ledger import Ledger, connect
from seqd_schemas import CordonAction, CordonRule, Epoch, FileSource, JobState, WorkerState
from worker_fixtures import Cluster, LiveWorker, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: Far more than it takes on a busy machine, and far less than a lease or a look.
AT_ONCE_S = 20.0
WAITS: dict[str, Any] = {"lease_s": 120.0, "heartbeat_s": 20.0, "reconcile_s": 60.0}

LINES = 4_000

End = Callable[[Cluster, LiveWorker], None]


def by_signal(cluster: Cluster, worker: LiveWorker) -> None:
    worker.ask_to_end()


def by_rule(cluster: Cluster, worker: LiveWorker) -> None:
    assert cluster.settings.redis_url is not None
    with connect(cluster.settings.redis_url) as redis:
        ledger = Ledger(redis, cluster.settings, lambda route: None)
        rule = CordonRule(
            target=f"worker:{worker.name}",
            action=CordonAction.DRAIN,
            at_ms=ledger.fleet.now_ms(),
        )
        ledger.cordons.change(add=[rule])


HOWS = pytest.mark.parametrize(
    "end",
    [
        pytest.param(by_signal, id="SIGTERM"),
        pytest.param(by_rule, id="drain"),
    ],
)


def two_workers(cluster: Cluster, **settings: object) -> list[LiveWorker]:
    workers = [cluster.start(name, **WAITS | settings) for name in ("w1", "w2")]
    return [worker.wait_until_ready() for worker in workers]


def ended(cluster: Cluster, worker: LiveWorker, end: End) -> float:
    """End a worker, and check how it ended; returns when it was asked to."""
    began = time.monotonic()
    end(cluster, worker)
    assert worker.wait_for_end() == 0
    assert "Traceback" not in worker.whole_log()
    return began


@HOWS
def test_a_training_writes_a_checkpoint_and_goes_on_elsewhere_at_once(
    empty_cluster: Cluster, tmp_path: Path, end: End
) -> None:
    workers = two_workers(empty_cluster)
    diary = tmp_path / "diary"
    parameters = {"epochs": 40, "step_ms": 100.0, "diary": str(diary)}
    job = empty_cluster.client().train(
        [{"text": "a", "label": "pos"}], model="echo", parameters=parameters
    )
    ending = empty_cluster.wait_for_holder(job.job_id, workers)
    (other,) = (worker for worker in workers if worker is not ending)
    wait_until(lambda: diary.exists() and "step 5" in diary.read_text(), "it has learnt something")

    began = ended(empty_cluster, ending, end)
    assert empty_cluster.wait_for_holder(job.job_id, [other]) is other
    went_on_s = time.monotonic() - began

    assert went_on_s < AT_ONCE_S
    assert job.wait(timeout_s=40).state is JobState.COMPLETED
    steps = [line for line in diary.read_text().splitlines() if line.startswith("step")]
    assert steps == [f"step {number}" for number in range(1, 41)], "a step was done twice"
    assert empty_cluster.starts_of_units(job.job_id) == [2]
    assert empty_cluster.crashes(job.job_id) == 0
    epochs = [event.epoch for event in job.events() if isinstance(event, Epoch)]
    assert epochs == list(range(1, 41))


@HOWS
def test_a_text_goes_on_where_it_was_on_another_worker(empty_cluster: Cluster, end: End) -> None:
    workers = two_workers(empty_cluster)
    slow = {"length": 3_000, "step_chars": 50, "delay_ms": 100, "seed": 3}
    client = empty_cluster.client()
    undisturbed = client.generate(["a"], model="echo", parameters=slow | {"delay_ms": 0})
    (whole,) = (result.output.samples[0].text for result in undisturbed.results())
    job = client.generate(["a"], model="echo", stream=True, parameters=slow)
    deltas = job.stream()
    before = list(itertools.islice(deltas, 5))
    ending = empty_cluster.wait_for_holder(job.job_id, workers)

    began = ended(empty_cluster, ending, end)
    after = [next(deltas)]
    went_on_s = time.monotonic() - began
    after += list(deltas)

    assert went_on_s < AT_ONCE_S
    assert "".join(delta.text for delta in before + after) == whole
    assert sum(delta.finished is None for delta in after) > 2, "it was not live any more"
    assert empty_cluster.starts_of_units(job.job_id) == [2]
    assert empty_cluster.crashes(job.job_id) == 0


@HOWS
def test_a_file_is_read_on_by_another_worker_and_each_line_comes_once(
    empty_cluster: Cluster, tmp_path: Path, end: End
) -> None:
    workers = two_workers(empty_cluster, input_roots=(tmp_path,))
    path = tmp_path / "many.jsonl"
    with path.open("w") as file:
        for number in range(LINES):
            file.write(json.dumps({"custom_id": f"c{number}", "text": f"text {number}"}) + "\n")
    job = empty_cluster.client().classify(
        FileSource(path=str(path)), model="echo", parameters={"delay_ms": 0.5}
    )
    wait_until(lambda: job.record().counts.done >= 80, "some of it is read and computed")
    assert not job.record().sealed, "the file was read to its end already"
    ending = who_reads(empty_cluster, workers, job)

    began = ended(empty_cluster, ending, end)
    done = job.record().counts.done
    wait_until(lambda: job.record().counts.done > done + 80, "the other goes on", AT_ONCE_S)
    assert time.monotonic() - began < AT_ONCE_S
    assert job.wait(timeout_s=60).state is JobState.COMPLETED

    results = list(job.results())
    assert [result.custom_id for result in results] == [f"c{n}" for n in range(LINES)]
    assert [result.output.label for result in results] == [f"text {n}" for n in range(LINES)]
    assert empty_cluster.crashes(job.job_id) == 0


def who_reads(cluster: Cluster, workers: list[LiveWorker], job: JobHandle) -> LiveWorker:
    """Return the worker that has the file open: it holds the ingest, or it is kept for it."""
    assert cluster.settings.redis_url is not None
    keys, found = cluster.settings.keys, list[str]()
    with connect(cluster.settings.redis_url) as redis:

        def is_known() -> bool:
            lease = redis.hget(keys.leases(job.job_id), "ingest")
            kept = redis.hget(keys.job(job.job_id), "ingest_for")
            found[:] = [(lease or kept or b" ").decode().partition(" ")[2]]
            return bool(found[0])

        wait_until(is_known, "somebody reads")
    return next(worker for worker in workers if worker.name == found[0])


@HOWS
def test_a_classification_is_committed_or_released_within_its_unit(
    empty_cluster: Cluster, end: End
) -> None:
    workers = two_workers(empty_cluster)
    texts = [f"text {number}" for number in range(400)]
    job = empty_cluster.client().classify(texts, model="echo", parameters={"delay_ms": 10.0})
    results = job.results()
    next(results)
    ending = empty_cluster.wait_for_holder(job.job_id, workers)

    began = ended(empty_cluster, ending, end)
    list(results)

    assert time.monotonic() - began < AT_ONCE_S
    assert [result.output.label for result in job.results()] == texts
    assert empty_cluster.crashes(job.job_id) == 0
    (other,) = (worker for worker in workers if worker is not ending)
    status = other.status()
    assert status is not None and status.state in (WorkerState.READY, WorkerState.BUSY)


@HOWS
def test_items_in_hand_are_finished_and_not_computed_twice(
    empty_cluster: Cluster, end: End
) -> None:
    workers = two_workers(empty_cluster, drain_s=10.0)
    job = empty_cluster.client().classify(
        [f"text {number}" for number in range(8)], model="echo", parameters={"delay_ms": 300.0}
    )
    ending = empty_cluster.wait_for_holder(job.job_id, workers)

    ended(empty_cluster, ending, end)

    assert job.record().state is JobState.COMPLETED
    assert empty_cluster.starts_of_units(job.job_id) == [1]

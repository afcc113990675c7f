"""A worker that is to end, by every signal or by a drain: another goes on at once with what it had.

The leases and the looks of these workers are so long that only what the ending worker itself
releases, and notifies of, can explain that somebody goes on. The workers are those of the file:
each test starts one in the place of the one that the test before has ended.
"""

import itertools
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from redis_fixtures import Server
from seqd.client import JobHandle
from seqd.ledger import Ledger, connect
from seqd_schemas import CordonAction, CordonRule, Epoch, FileSource, ItemSuccess, JobState
from worker_fixtures import Cluster, LiveWorker, cluster_on, processes_of_group, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: One unit, which the last text holds until the worker is cured of it.
TEXTS = [*(f"text {number}" for number in range(7)), "held"]

#: The next look of a reconciler and the end of a lease come after all that a test waits for: only
#: the ending worker can have given its unit back and woken the other one.
WAITS = {"lease_s": 1_200.0, "heartbeat_s": 20.0, "reconcile_s": 600.0}

LINES = 4_000

#: What `REMAP_SIGTERM` says, a signal, whether the whole group gets it, and how often.
#: `make test-all` has the first two.
HOWS = [
    ("", signal.SIGTERM, False, 1),
    ("", signal.SIGINT, True, 2),
    pytest.param("", signal.SIGQUIT, False, 1, marks=pytest.mark.long),
    pytest.param("", signal.SIGHUP, True, 1, marks=pytest.mark.long),
    pytest.param("SIGQUIT", signal.SIGTERM, False, 1, marks=pytest.mark.long),
]


@pytest.fixture(scope="module")
def fleet(users_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("fleet")
    with cluster_on(users_server, folder, **WAITS, input_roots=(folder,)) as cluster:
        yield cluster


@pytest.fixture
def cure(fleet: Cluster) -> Iterator[Path]:
    """The file that lets the workers of this fleet go on."""
    file = fleet.settings.data_dir / "cured"
    yield file
    file.unlink(missing_ok=True)


def two_workers(cluster: Cluster) -> list[LiveWorker]:
    """Start workers in the place of those that have ended."""
    while sum(worker.is_up() for worker in cluster.workers) < 2:
        cluster.start()
    return [worker.wait_until_ready() for worker in cluster.workers if worker.is_up()]


def drain(cluster: Cluster, worker: LiveWorker) -> None:
    assert cluster.settings.redis_url is not None
    with connect(cluster.settings.redis_url) as redis:
        ledger = Ledger(redis, cluster.settings)
        target, at_ms = f"worker:{worker.name}", ledger.fleet.now_ms()
        rule = CordonRule(target=target, action=CordonAction.DRAIN, at_ms=at_ms)
        ledger.cordons.change(add=[rule])


def ends_in_order(worker: LiveWorker) -> bool:
    return worker.wait_for_end() == 0 and "Traceback" not in worker.whole_log()


@pytest.mark.parametrize(("remap", "number", "to_group", "times"), HOWS)
def test_a_busy_worker_ends_in_order_and_the_other_goes_on(
    fleet: Cluster,
    cure: Path,
    monkeypatch: pytest.MonkeyPatch,
    remap: str,
    number: signal.Signals,
    to_group: bool,
    times: int,
) -> None:
    if remap:
        monkeypatch.setenv("REMAP_SIGTERM", remap)
        for worker in fleet.workers:
            worker.stop()
    workers = two_workers(fleet)
    job = fleet.client().classify(TEXTS, model="echo")
    ending = fleet.wait_for_holder(job.job_id, workers)
    (other,) = (worker for worker in workers if worker is not ending)

    for said in ("asked to end by", "ending already")[:times]:
        if to_group:
            ending.ask_group_to_end(number)
        else:
            ending.ask_to_end(number)
        wait_until(lambda said=said: said in ending.whole_log(), said)
    assert fleet.wait_for_holder(job.job_id, [other]) is other
    cure.touch()

    assert ends_in_order(ending)
    results = [item.output.label for item in job.results() if isinstance(item, ItemSuccess)]
    assert results == TEXTS
    wait_until(lambda: not processes_of_group(ending.pid), "no process is left")
    assert fleet.starts_of_units(job.job_id) == [2]
    assert fleet.crashes(job.job_id) == 0


def test_a_training_writes_a_checkpoint_and_goes_on_elsewhere_at_once(
    fleet: Cluster, tmp_path: Path
) -> None:
    workers = two_workers(fleet)
    diary = tmp_path / "diary"
    parameters = {"epochs": 40, "step_ms": 100.0, "diary": str(diary)}
    job = fleet.client().train([{"text": "a", "label": "pos"}], model="echo", parameters=parameters)
    ending = fleet.wait_for_holder(job.job_id, workers)
    (other,) = (worker for worker in workers if worker is not ending)
    wait_until(lambda: diary.exists() and "step 5" in diary.read_text(), "it has learnt something")

    ending.ask_to_end()
    assert ends_in_order(ending)
    assert fleet.wait_for_holder(job.job_id, [other]) is other

    assert job.wait(timeout_s=120).state is JobState.COMPLETED
    steps = [line for line in diary.read_text().splitlines() if line.startswith("step")]
    assert steps == [f"step {number}" for number in range(1, 41)], "a step was done twice"
    assert fleet.starts_of_units(job.job_id) == [2]
    assert fleet.crashes(job.job_id) == 0
    epochs = [event.epoch for event in job.events() if isinstance(event, Epoch)]
    assert epochs == list(range(1, 41))


def test_a_text_goes_on_where_it_was_on_another_worker(fleet: Cluster) -> None:
    workers, client = two_workers(fleet), fleet.client()
    slow = {"length": 3_000, "step_chars": 50, "delay_ms": 100, "seed": 3}
    undisturbed = client.generate(["a"], model="echo", parameters=slow | {"delay_ms": 0})
    (whole,) = (result.output.samples[0].text for result in undisturbed.results())
    job = client.generate(["a"], model="echo", stream=True, parameters=slow)
    deltas = job.stream()
    before = list(itertools.islice(deltas, 5))
    ending = fleet.wait_for_holder(job.job_id, workers)

    drain(fleet, ending)
    assert ends_in_order(ending)
    after = [next(deltas)]
    after += list(deltas)

    assert "".join(delta.text for delta in before + after) == whole
    assert sum(delta.finished is None for delta in after) > 2, "it was not live any more"
    assert fleet.starts_of_units(job.job_id) == [2]
    assert fleet.crashes(job.job_id) == 0


def test_a_file_is_read_on_by_another_worker_and_each_line_comes_once(fleet: Cluster) -> None:
    workers = two_workers(fleet)
    path = fleet.settings.input_roots[0] / "many.jsonl"
    with path.open("w") as file:
        for number in range(LINES):
            file.write(json.dumps({"custom_id": f"c{number}", "text": f"text {number}"}) + "\n")
    job = fleet.client().classify(
        FileSource(path=str(path)), model="echo", parameters={"delay_ms": 2.5}
    )
    wait_until(lambda: job.record().counts.done >= 80, "some of it is read and computed")
    assert not job.record().sealed, "the file was read to its end already"
    ending = who_reads(fleet, workers, job)

    ending.ask_to_end()
    assert ends_in_order(ending)
    done = job.record().counts.done
    wait_until(lambda: job.record().counts.done > done + 80, "the other goes on")
    assert job.wait(timeout_s=120).state is JobState.COMPLETED

    results = list(job.results())
    assert [result.custom_id for result in results] == [f"c{n}" for n in range(LINES)]
    assert [result.output.label for result in results] == [f"text {n}" for n in range(LINES)]
    assert fleet.crashes(job.job_id) == 0


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

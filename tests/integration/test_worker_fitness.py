"""A worker that cannot run something leaves it to others; no item and no job pays for it."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from plugin_builders import place
from seqd.client import Client, JobHandle
from seqd.errors import JobFailed
from seqd.models.store import ModelStore
from seqd.worker.fitness import Fitness
from seqd_schemas import FileSource, ItemFailure, JobState, UnfitCode, WorkerState
from worker_fixtures import PLUGIN, Cluster, LiveWorker, wait_until

pytestmark = pytest.mark.processes

ALWAYS_CUDA = "classify cuda\nwarm_up cuda\n"
RECORDS = [{"text": "fine", "label": "pos"}]


def unfit_of(worker: LiveWorker) -> list[tuple[str, int | None, UnfitCode]]:
    return [(one.model, one.version, one.code) for one in worker.known_status().unfit]


def wait_until_unfit(worker: LiveWorker, *codes: UnfitCode) -> None:
    """Wait until it says that it is unfit with these codes; without one, that it can run all."""
    wait_until(lambda: {code for _, _, code in unfit_of(worker)} == set(codes), f"it says {codes}")


def make_sick(cluster: Cluster, worker: LiveWorker, sick: str) -> None:
    (cluster.folder_of(worker.name) / "sick").write_text(sick)


def two_workers(cluster: Cluster) -> list[LiveWorker]:
    workers = [cluster.start_apart("w1"), cluster.start_apart("w2")]
    return [worker.wait_until_ready() for worker in workers]


def small_jobs(client: Client, count: int) -> list[JobHandle]:
    return [
        client.classify([f"text {number}"], model="echo@1", parameters={"note": str(number)})
        for number in range(count)
    ]


def states_of(jobs: list[JobHandle]) -> Counter[str]:
    return Counter(job.wait(timeout_s=120).state for job in jobs)


def items_of(worker: LiveWorker) -> int:
    """Return how many items a worker has computed, by its last heartbeat."""
    status = worker.status()
    return 0 if status is None else status.work.items


def versions_in_catalog(client: Client) -> list[int]:
    return [one.version for one in client.catalog()["echo"].versions]


@pytest.mark.slow
def test_workers_that_cannot_run_a_version_cost_no_job_beside_a_healthy_one_and_say_why(
    empty_cluster: Cluster, tmp_path: Path
):
    cluster = empty_cluster
    for name in ("missing", "damaged"):
        cluster.publish_echo(cluster.folder_of(name) / "models")
    shutil.rmtree(cluster.folder_of("missing") / "models" / "echo")
    file = cluster.folder_of("damaged") / "models" / "echo" / "1" / "echo.json"
    file.chmod(0o644)
    file.write_text('{"records": 9}')
    missing, damaged = cluster.start_apart("missing"), cluster.start_apart("damaged")
    lacking = cluster.start_apart("lacking", "load library")
    foreign = cluster.start("foreign", enabled_plugins=("markov",))
    healthy = cluster.start_apart("healthy")
    cluster.plugins = shutil.copytree(PLUGIN, tmp_path / "broken")
    (cluster.plugins / "seqd_light.py").write_text("import a_library_nobody_has\n")
    cluster.start("broken", enabled_plugins=("light", "markov"))
    for worker in cluster.workers:
        worker.wait_until_ready()
    client = cluster.client()

    jobs = small_jobs(client, 30)

    assert states_of(jobs) == {"completed": 30}
    wait_until(lambda: items_of(healthy) == 30, "all items are the healthy one's")
    assert {one for job in jobs for one in cluster.starts_of_units(job.job_id)} == {1}
    assert [one.known_status().versions["echo"] for one in (missing, damaged)] == [(), ()]
    assert unfit_of(lacking) == [("echo", 1, UnfitCode.NO_LIBRARY)]
    assert foreign.known_status().unfit == ()

    # With nobody left who can run it, a job fails with the reason of each.
    healthy.stop()
    with pytest.raises(JobFailed) as raised:
        client.classify(["a"], model="echo@1").wait(timeout_s=120)

    failure = raised.value.failure
    assert (failure.code, failure.retryable) == ("no_fit_worker", True)
    assert failure.message.startswith("No worker that is up can run classify of echo@1. ")
    for reason in ("damaged: damaged: ", "lacking: no_library: ", "missing: missing: "):
        assert reason in failure.message
    assert "is not the file that was stored" in failure.message
    assert "No module named 'heavy'" in failure.message


@pytest.mark.slow
def test_a_sick_device_costs_no_item_beside_a_healthy_one_and_ends_its_worker_with_a_status(
    empty_cluster: Cluster,
):
    cluster = empty_cluster
    sick, _ = two_workers(cluster)
    make_sick(cluster, sick, ALWAYS_CUDA)
    client, texts = cluster.client(), [f"text {number}" for number in range(4_000)]

    job = client.classify(texts, model="echo@1")

    assert job.wait(timeout_s=120).counts.succeeded == 4_000
    assert [result.output.label for result in job.results()] == texts
    assert cluster.crashes(job.job_id) == 0

    jobs: list[JobHandle] = []

    def has_ended() -> bool:
        jobs.extend(small_jobs(client, 4))
        return not sick.is_up()

    wait_until(has_ended, "the sick worker has ended")

    assert sick.wait_for_end() == os.EX_UNAVAILABLE
    assert set(states_of(jobs)) == {"completed"}


@pytest.mark.slow
def test_what_raises_on_one_worker_is_done_by_the_other_and_what_raises_on_all_is_an_error(
    empty_cluster: Cluster,
):
    cluster = empty_cluster
    sick, healthy = two_workers(cluster)
    client = cluster.client()

    # A device gives numbers that are none.
    make_sick(cluster, sick, "classify nan")

    job = client.classify([f"text {number}" for number in range(400)], model="echo@1")
    assert job.wait(timeout_s=120).counts.succeeded == 400
    make_sick(cluster, sick, "")
    wait_until_unfit(sick)

    # Items that raise on every worker get their error, and cost no other.
    bad = client.classify(["raise"] * 8 + ["fine"] * 24, model="echo@1")

    record = bad.wait(timeout_s=120)
    assert (record.counts.errored, record.counts.succeeded) == (8, 24)
    assert cluster.crashes(bad.job_id) == 0
    failure = next(bad.results())
    assert isinstance(failure, ItemFailure)
    assert failure.error.message == (
        "The model plugin raised ValueError: this text was made to break the plugin "
        + place(PLUGIN / "seqd_light.py", 'raise ValueError("this text was', "_raises")
    )

    for worker in (sick, healthy):
        wait_until_unfit(worker)

    # The plugin raises for everything on one worker, until that is well again.
    make_sick(cluster, sick, "classify bug\nwarm_up bug")
    jobs = list[JobHandle]()

    def has_given_up() -> bool:
        jobs.extend(small_jobs(client, 4))
        return {code for _, _, code in unfit_of(sick)} == {UnfitCode.BREAKER_OPEN}

    wait_until(has_given_up, "the sick worker leaves them to the other")
    assert set(states_of(jobs)) == {"completed"}
    make_sick(cluster, sick, "")
    wait_until_unfit(sick)
    assert healthy.stop() == 0

    assert client.classify(["a"], model="echo@1").wait(timeout_s=120).counts.succeeded == 1

    # On a lone worker everything gets its error, without a wait.
    make_sick(cluster, sick, "classify bug")

    jobs = [client.classify(["a"] * 40, model="echo@1"), *small_jobs(client, 10)]
    assert [job.wait(timeout_s=120).counts.errored for job in jobs] == [40] + [1] * 10


def test_a_batch_that_needs_too_much_memory_is_halved(cluster: Cluster):
    job = cluster.client().classify(["large"] * 8, model="echo@1")

    assert job.wait(timeout_s=120).counts.succeeded == 8


@pytest.mark.slow
def test_jobs_and_trainings_wait_for_a_lone_worker_whose_disk_is_away_for_a_moment(
    empty_cluster: Cluster, tmp_path: Path
):
    cluster, share = empty_cluster, tmp_path / "share"
    share.mkdir()
    (share / "in.txt").write_text("a text\nanother\n")
    (share / "train.jsonl").write_text(json.dumps(RECORDS[0]))
    worker = cluster.start_apart("w1", unfit_grace_s=30.0, input_roots=(share,)).wait_until_ready()
    store, client = cluster.folder_of("w1") / "models", cluster.client()
    version = cluster.publish_echo(store)
    wait_until(lambda: versions_in_catalog(client) == [1, version], "the version is published")

    # Its store.
    store.rename(store.with_name("away"))
    wait_until_unfit(worker, UnfitCode.UNREADABLE)
    job = client.classify(["a"], model=f"echo@{version}")
    store.with_name("away").rename(store)

    assert job.wait(timeout_s=120).counts.succeeded == 1
    wait_until_unfit(worker)

    # The share with the input: an empty folder is what is seen of one that is not mounted.
    share.rename(tmp_path / "unmounted")
    share.mkdir()
    job = client.classify(FileSource(path=str(share / "in.txt")), model="echo@1")
    training = client.train(FileSource(path=str(share / "train.jsonl")), model="echo")
    wait_until(lambda: "a folder open to jobs is away" in worker.log(), "it was looked for")
    wait_until(lambda: worker.known_status().unfit != (), "it says that the share is away")
    share.rmdir()
    (tmp_path / "unmounted").rename(share)

    assert job.wait(timeout_s=120).counts.succeeded == 2
    assert training.wait(timeout_s=120).state is JobState.COMPLETED
    assert cluster.crashes(job.job_id) == 0
    wait_until_unfit(worker)


@pytest.mark.slow
def test_a_version_that_one_of_two_workers_lacks_stays_and_its_wakeups_reach_the_other(
    empty_cluster: Cluster,
):
    cluster = empty_cluster
    # So that nobody else wakes the worker that has the version.
    rarely = {"reconcile_s": 60.0}
    first = cluster.start_apart("w1", **rarely).wait_until_ready()
    version = cluster.publish_echo(cluster.folder_of("w1") / "models")
    wait_until(lambda: first.known_status().versions["echo"] == (1, version), "it is noticed")
    cluster.start_apart("w2", **rarely).wait_until_ready()
    client = cluster.client()

    for _ in range(12):
        job = client.classify(["a"], model=f"echo@{version}")
        assert job.wait(timeout_s=120).counts.succeeded == 1

    assert version in versions_in_catalog(client)
    assert first.known_status().state in (WorkerState.READY, WorkerState.BUSY)


def test_versions_stay_in_the_catalog_when_their_folder_goes_away_while_it_is_published(
    empty_cluster: Cluster,
):
    cluster = empty_cluster
    folder = cluster.settings.store_dir
    version = cluster.publish_echo(folder)
    cluster.publish_catalog()
    fitness = Fitness(["classify.echo"], ModelStore(folder, {}))
    folder.rename(folder.with_name("away"))

    cluster.publish_catalog(fitness.is_away_now)

    assert version in versions_in_catalog(cluster.client())

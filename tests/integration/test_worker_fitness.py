"""A worker that cannot run something leaves it to others; no item and no job pays for it."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
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


def unfit_of(worker: LiveWorker) -> list[tuple[str, int | None, UnfitCode]]:
    return [(one.model, one.version, one.code) for one in worker.known_status().unfit]


def codes_of(worker: LiveWorker) -> set[UnfitCode]:
    return {code for _, _, code in unfit_of(worker)}


def make_sick(cluster: Cluster, worker: LiveWorker, sick: str) -> None:
    (cluster.folder_of(worker.name) / "sick").write_text(sick)


def two_workers(cluster: Cluster, sick: str = "", **settings: object) -> list[LiveWorker]:
    """Start a worker that may be sick, and a healthy one."""
    workers = [
        cluster.start_apart("w1", sick, **settings),
        cluster.start_apart("w2", **settings),
    ]
    return [worker.wait_until_ready() for worker in workers]


def small_jobs(client: Client, count: int) -> list[JobHandle]:
    return [
        client.classify([f"text {number}"], model="echo@1", parameters={"note": str(number)})
        for number in range(count)
    ]


def states_of(jobs: list[JobHandle]) -> Counter[str]:
    def state_of(job: JobHandle) -> str:
        try:
            return job.wait(timeout_s=30).state
        except JobFailed as error:
            return error.failure.code

    return Counter(state_of(job) for job in jobs)


def lose_the_version(folder: Path) -> None:
    shutil.rmtree(folder / "models" / "echo")


def damage_a_file(folder: Path) -> None:
    file = folder / "models" / "echo" / "1" / "echo.json"
    file.chmod(0o644)
    file.write_text('{"records": 9}')


def items_of(worker: LiveWorker) -> int:
    """Return how many items a worker has computed, by its last heartbeat."""
    status = worker.status()
    return 0 if status is None else status.work.items


@pytest.mark.slow
@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lose_the_version, id="missing"),
        pytest.param(damage_a_file, id="damaged"),
    ],
)
def test_a_worker_whose_store_is_harmed_costs_no_job_beside_a_healthy_one(
    empty_cluster: Cluster, harm: Callable[[Path], None]
):
    cluster = empty_cluster
    cluster.publish_echo(cluster.folder_of("w1") / "models")
    harm(cluster.folder_of("w1"))
    harmed, healthy = two_workers(cluster)

    states = states_of(small_jobs(cluster.client(), 30))

    assert states == {"completed": 30}
    wait_until(lambda: items_of(healthy) == 30, "all items are the healthy one's")
    assert harmed.known_status().versions["echo"] == ()


@pytest.mark.slow
def test_a_worker_without_a_library_says_so_and_costs_no_job_beside_a_healthy_one(
    empty_cluster: Cluster,
):
    cluster = empty_cluster
    lacking, _ = two_workers(cluster, "load library")

    states = states_of(small_jobs(cluster.client(), 20))

    assert states == {"completed": 20}
    assert unfit_of(lacking) == [("echo", 1, UnfitCode.NO_LIBRARY)]
    assert "No module named 'heavy'" in lacking.known_status().unfit[0].message


@pytest.mark.slow
def test_a_worker_with_a_sick_device_costs_no_item_of_a_job_beside_a_healthy_one(
    empty_cluster: Cluster,
):
    cluster = empty_cluster
    sick, _ = two_workers(cluster)
    make_sick(cluster, sick, ALWAYS_CUDA)

    job = cluster.client().classify([f"text {n}" for n in range(4_000)], model="echo@1")
    record = job.wait(timeout_s=60)

    assert (record.state, record.counts.succeeded) == (JobState.COMPLETED, 4_000)
    assert [result.output.label for result in job.results()] == [f"text {n}" for n in range(4_000)]
    assert cluster.crashes(job.job_id) == 0


@pytest.mark.slow
def test_a_device_that_gives_numbers_that_are_none_costs_no_item_beside_a_healthy_one(
    empty_cluster: Cluster,
):
    cluster = empty_cluster
    sick, _ = two_workers(cluster)
    make_sick(cluster, sick, "classify nan")

    job = cluster.client().classify([f"text {n}" for n in range(400)], model="echo@1")

    assert job.wait(timeout_s=30).counts.succeeded == 400


@pytest.mark.slow
def test_a_sick_device_ends_its_worker_with_a_status_of_its_own(empty_cluster: Cluster):
    cluster = empty_cluster
    sick, _ = two_workers(cluster)
    make_sick(cluster, sick, ALWAYS_CUDA)
    client = cluster.client()

    jobs: list[JobHandle] = []

    def has_ended() -> bool:
        jobs.extend(small_jobs(client, 4))
        return not sick.is_up()

    wait_until(has_ended, "the sick worker has ended")

    assert sick.wait_for_end() == os.EX_UNAVAILABLE
    assert set(states_of(jobs)) == {"completed"}


@pytest.mark.slow
def test_a_worker_whose_plugin_raises_for_everything_costs_nothing_and_comes_back_when_it_is_well(
    empty_cluster: Cluster,
):
    cluster = empty_cluster
    sick, healthy = two_workers(cluster)
    make_sick(cluster, sick, "classify bug\nwarm_up bug")
    client = cluster.client()
    jobs = small_jobs(client, 20)
    wait_until(lambda: codes_of(sick) == {UnfitCode.BREAKER_OPEN}, "the breaker is open")
    assert states_of(jobs) == {"completed": 20}

    make_sick(cluster, sick, "")
    wait_until(lambda: unfit_of(sick) == [], "it is fit again")
    healthy.freeze()

    assert client.classify(["a"], model="echo@1").wait(timeout_s=30).counts.succeeded == 1


@pytest.mark.slow
def test_a_plugin_that_raises_for_everything_ends_the_jobs_of_a_lone_worker(
    empty_cluster: Cluster,
):
    cluster = empty_cluster
    cluster.start_apart("w1", "classify bug").wait_until_ready()
    client = cluster.client()

    jobs = [client.classify(["a"] * 40, model="echo@1"), *small_jobs(client, 10)]
    records = [job.wait(timeout_s=20) for job in jobs]

    assert [record.counts.errored for record in records] == [40] + [1] * 10


@pytest.mark.slow
def test_items_that_raise_on_every_worker_are_tried_elsewhere_and_then_get_their_error(
    empty_cluster: Cluster,
):
    cluster = empty_cluster
    two_workers(cluster)
    client = cluster.client()

    bad = client.classify(["raise"] * 8 + ["fine"] * 24, model="echo@1")
    record = bad.wait(timeout_s=30)

    assert (record.counts.errored, record.counts.succeeded) == (8, 24)
    assert cluster.crashes(bad.job_id) == 0
    failure = next(bad.results())
    assert isinstance(failure, ItemFailure)
    assert failure.error.message == (
        "The model plugin raised ValueError: this text was made to break the plugin "
        + place(PLUGIN / "seqd_light.py", 'raise ValueError("this text was', "_raises")
    )


def test_a_batch_that_needs_too_much_memory_is_halved(cluster: Cluster):
    job = cluster.client().classify(["large"] * 8, model="echo@1")

    assert job.wait(timeout_s=30).counts.succeeded == 8


@pytest.mark.slow
def test_a_job_fails_with_the_reason_of_each_worker_when_none_can_run_it(empty_cluster: Cluster):
    cluster = empty_cluster
    for name in ("w1", "w2"):
        cluster.publish_echo(cluster.folder_of(name) / "models")
        damage_a_file(cluster.folder_of(name))
    two_workers(cluster)

    with pytest.raises(JobFailed) as raised:
        cluster.client().classify(["a"], model="echo@1").wait(timeout_s=30)

    failure = raised.value.failure
    assert (failure.code, failure.retryable) == ("no_fit_worker", True)
    assert failure.message.startswith(
        "No worker that is up can run classify of echo@1. w1: damaged"
    )
    assert "; w2: damaged: " in failure.message
    assert "is not the file that was stored" in failure.message


@pytest.mark.slow
def test_a_job_waits_for_a_lone_worker_whose_store_is_away_for_a_moment(empty_cluster: Cluster):
    cluster = empty_cluster
    worker = cluster.start_apart("w1", unfit_grace_s=30.0).wait_until_ready()
    store = cluster.folder_of("w1") / "models"
    version = cluster.publish_echo(store)
    published = partial(versions_in_catalog, cluster.client())
    wait_until(lambda: published() == [1, version], "the new version is published")
    store.rename(store.with_name("away"))
    wait_until(lambda: codes_of(worker) == {UnfitCode.UNREADABLE}, "it says that it is away")
    job = cluster.client().classify(["a"], model=f"echo@{version}")

    store.with_name("away").rename(store)

    assert job.wait(timeout_s=30).counts.succeeded == 1
    wait_until(lambda: unfit_of(worker) == [], "it says that it can run all")


@pytest.mark.slow
def test_a_wakeup_that_reaches_a_worker_without_the_version_is_passed_on(empty_cluster: Cluster):
    cluster = empty_cluster
    # So that nobody else wakes the worker that has the version.
    rarely: dict[str, object] = {"reconcile_s": 60.0}
    cluster.publish_echo(cluster.folder_of("w2") / "models")
    cluster.publish_echo(cluster.folder_of("w2") / "models")
    two_workers(cluster, **rarely)
    client = cluster.client()
    # Of two that publish at once one may not know what the other has: its heartbeat mends that.
    wait_until(
        lambda: 2 in [one.version for one in client.catalog()["echo"].versions],
        "the catalog has version 2",
    )

    for _ in range(12):
        job = client.classify(["a"], model="echo@2")
        assert job.wait(timeout_s=10).counts.succeeded == 1


@pytest.mark.slow
def test_a_worker_on_which_a_share_is_not_mounted_fails_no_job_on_a_file_of_it(
    empty_cluster: Cluster, tmp_path: Path
):
    cluster = empty_cluster
    share = tmp_path / "share"
    share.mkdir()
    (share / "in.txt").write_text("a text\nanother\n")
    worker = cluster.start_ready(input_roots=(share,), unfit_grace_s=30.0)
    share.rename(tmp_path / "unmounted")
    share.mkdir()
    job = cluster.client().classify(FileSource(path=str(share / "in.txt")), model="echo@1")
    wait_until(lambda: "a folder open to jobs is away" in worker.log(), "it was looked for")

    share.rmdir()
    (tmp_path / "unmounted").rename(share)

    assert job.wait(timeout_s=30).counts.succeeded == 2
    assert cluster.crashes(job.job_id) == 0


def list_versions(worker: LiveWorker) -> list[int]:
    return list(worker.known_status().versions["echo"])


def versions_in_catalog(client: Client) -> list[int]:
    return [one.version for one in client.catalog()["echo"].versions]


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


@pytest.mark.slow
def test_a_version_that_one_of_two_workers_lacks_stays_in_the_catalog(empty_cluster: Cluster):
    cluster = empty_cluster
    first = cluster.start_apart("w1").wait_until_ready()
    version = cluster.publish_echo(cluster.folder_of("w1") / "models")
    wait_until(lambda: list_versions(first) == [1, version], "the new version is noticed")
    cluster.start_apart("w2").wait_until_ready()

    states = Counter(
        cluster.client().classify(["a"], model=f"echo@{version}").wait(timeout_s=30).state
        for _ in range(5)
    )

    assert states == {JobState.COMPLETED: 5}
    assert first.known_status().state in (WorkerState.READY, WorkerState.BUSY)

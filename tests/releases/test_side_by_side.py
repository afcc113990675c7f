"""The previous release and this one on one Redis and one store, as during a rolling upgrade.

Clients and workers of both, in both directions: an upgrade, and the way back. Formats alone are
held by `test_formats.py`; here both programs run.
"""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

import seqd
from cli_builders import clean_environment
from previous_release import Release
from seqd.client import FileSource, JobHandle
from seqd.settings import Settings
from seqd_schemas import ItemSuccess, JobState
from worker_fixtures import Cluster, wait_until

# The first one waits for the previous release to be built.
pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]


TEXTS = [f"text {number}" for number in range(600)]


def written(folder: Path) -> Path:
    file = folder / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return file


def labels_of(results: Path) -> list[str]:
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    return [row["output"]["label"] for row in rows]


def classify_by_command(release: Release, settings: Settings, folder: Path) -> list[str]:
    """Run the release's `seqd classify` on a file; returns the labels in its results file."""
    out = folder / f"results-{release.version}.jsonl"
    release.command(
        settings, "classify", str(written(folder)), "--model", "echo", "--out", str(out)
    )
    return labels_of(out)


def workers_of(cluster: Cluster) -> set[str]:
    """Return the workers that have computed some item."""
    with cluster.client() as client:
        return {worker.worker for worker in client.workers() if worker.work.items > 0}


def submit_slow(cluster: Cluster, delay_ms: float = 10.0) -> JobHandle:
    """Hand in 6 s of work for one worker, in which others come and go; or more."""
    return cluster.client().classify(TEXTS, model="echo", parameters={"delay_ms": delay_ms})


def assert_whole(job: JobHandle) -> None:
    """Each item once, in order, with its own label; no unit failed."""
    record = job.wait(timeout_s=120)
    results = list(job.results())
    assert record.state is JobState.COMPLETED
    assert (record.counts.succeeded, record.counts.errored) == (len(TEXTS), 0)
    assert [r.output.label for r in results if isinstance(r, ItemSuccess)] == TEXTS


def test_both_releases_share_a_job_are_told_by_status_and_serve_each_others_clients_and_versions(
    empty_cluster: Cluster, previous: Release, tmp_path: Path
) -> None:
    old = empty_cluster.start_ready("old", release=previous.folder)
    job = empty_cluster.client().train([{"text": "a", "label": "b"}] * 10, model="echo")
    training = job.wait(timeout_s=180).training
    assert training is not None
    assert_whole(empty_cluster.client().classify(TEXTS, model="echo"))
    new = empty_cluster.start_ready("new")
    environment = clean_environment(
        SEQD_REDIS_URL=str(empty_cluster.settings.redis_url),
        SEQD_PREFIX=empty_cluster.settings.prefix,
        SEQD_DATA_DIR=str(tmp_path),
    )

    assert_whole(submit_slow(empty_cluster))
    told = subprocess.run(
        [sys.executable, "-P", "-m", "seqd", "status", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    of_the_other = json.loads(previous.command(empty_cluster.settings, "status", "--json"))

    wait_until(lambda: workers_of(empty_cluster) == {old.name, new.name}, "both did some of it")
    releases = {old.name: previous.version, new.name: seqd.__version__}
    assert {one["worker"]: one["seqd_version"] for one in json.loads(told)["workers"]} == releases
    assert {worker["worker"] for worker in of_the_other["workers"]} == {"old", "new"}

    # This release alone serves a client of the other, and what that has trained.
    old.stop()
    assert classify_by_command(previous, empty_cluster.settings, tmp_path) == TEXTS
    assert_whole(empty_cluster.client().classify(TEXTS, model=f"echo@{training.version}"))


def test_a_job_by_reference_is_left_to_workers_of_this_release(
    empty_cluster: Cluster, previous: Release, tmp_path: Path
) -> None:
    old = empty_cluster.start_ready("old", release=previous.folder)
    source, folder = FileSource(path=str(written(tmp_path))), tmp_path / "results"
    job = empty_cluster.client().classify(source, model="echo", output_folder=str(folder))
    wait_until(lambda: "from a later version" in old.log(), "the old worker has seen it")

    new = empty_cluster.start_ready("new", input_roots=(tmp_path,), output_roots=(tmp_path,))
    old.stop()  # while it is up, each unit that it claims waits for half a minute

    assert_whole(job)
    assert workers_of(empty_cluster) == {new.name}
    assert (folder / "manifest.json").exists()


def test_a_worker_is_stopped_or_killed_in_mid_job_and_one_of_the_other_release_goes_on(
    empty_cluster: Cluster, previous: Release
) -> None:
    releases = itertools.cycle([None, previous.folder])
    current = empty_cluster.start_ready("w0", release=previous.folder)

    for number, way in enumerate(["stop", "kill"], 1):
        if way == "stop":
            other = empty_cluster.start_ready(f"w{number}", release=next(releases))
        job = submit_slow(empty_cluster, delay_ms=30.0 if way == "stop" else 10.0)
        assert empty_cluster.wait_for_holder(job.job_id, [current]) is current
        wait_until(lambda job=job: job.record().counts.done > 0, "the job has begun")
        if way == "stop":
            assert current.stop() == 0
            assert job.record().state is JobState.RUNNING, "the job lasts longer than the change"
        else:
            current.kill()
            other = empty_cluster.start_ready(f"w{number}", release=next(releases))

        assert_whole(job)
        current = other


@pytest.mark.parametrize(
    "upgrades",
    [
        pytest.param(True, id="upgrade"),
        pytest.param(False, id="downgrade", marks=pytest.mark.long),
    ],
)
def test_a_training_goes_on_from_the_checkpoint_of_the_other_release(
    empty_cluster: Cluster, previous: Release, tmp_path: Path, upgrades: bool
) -> None:
    first, second = (previous.folder, None) if upgrades else (None, previous.folder)
    diary = tmp_path / "diary"
    before = empty_cluster.start_ready("before", release=first)
    job = empty_cluster.client().train(
        [{"text": "a", "label": "b"}] * 10,
        model="echo",
        parameters={"epochs": 40, "step_ms": 20, "diary": str(diary)},
    )
    wait_until(lambda: diary.exists() and len(diary.read_text().splitlines()) > 20, "it trains")

    before.kill()
    empty_cluster.start("after", release=second)
    record = job.wait(timeout_s=240)

    assert record.state is JobState.COMPLETED
    assert record.training is not None
    steps = diary.read_text().splitlines()
    assert len(steps) < 2 * len(set(steps)), "it did not begin anew"

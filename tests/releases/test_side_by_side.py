"""The previous release and this one on one Redis and one store, as during a rolling upgrade.

Clients and workers of both, in both directions: an upgrade, and the way back. Formats alone are
held by `contract/test_release_records.py`; here both programs run.
"""

import json
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from checkout import ROOT, release_python_path
from seqd.client import JobHandle
from seqd.settings import Settings
from seqd_schemas import ItemSuccess, JobState
from worker_fixtures import Cluster, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: Which release it is.
NAMED = Path(__file__).with_name("previous.toml")

#: Seconds for `git archive` and `pip`, and for a command of a release.
_BUILD_S, _COMMAND_S = 120.0, 60.0


@dataclass(frozen=True)
class Release:
    """A release of seqd without its dependencies, which are those of the environment."""

    version: str
    folder: Path

    def command(self, settings: Settings, *arguments: str) -> str:
        """Run `seqd …` of this release as a service would, and return what it prints."""
        assert settings.redis_url is not None
        own = {
            "SEQD_REDIS_URL": settings.redis_url,
            "SEQD_PREFIX": settings.prefix,
            "SEQD_DATA_DIR": str(settings.data_dir),
            "PYTHONPATH": release_python_path(self.folder),
        }
        others = {name: value for name, value in os.environ.items() if "SEQD_" not in name}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "seqd", *arguments],
            env={**others, **own},
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Build the previous release's wheel from its commit, and install it."""
    named = tomllib.loads(NAMED.read_text())
    folder = tmp_path_factory.mktemp("previous")
    source, wheels, installed = (folder / name for name in ("source", "wheels", "installed"))
    source.mkdir()
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", named["commit"]],
        capture_output=True,
        timeout=_BUILD_S,
        check=False,
    )
    if archive.returncode != 0:
        pytest.skip(f"the history has no commit {named['commit']}: {archive.stderr.decode()}")
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive.stdout, check=True)
    pip = [sys.executable, "-P", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    building = ["wheel", *offline, "--no-build-isolation", "--wheel-dir", str(wheels), str(source)]
    subprocess.run([*pip, *building], check=True, timeout=_BUILD_S)
    (wheel,) = wheels.glob("*.whl")
    installing = ["install", *offline, "--target", str(installed), str(wheel)]
    subprocess.run([*pip, *installing], check=True, timeout=_BUILD_S)
    return Release(named["version"], installed)


TEXTS = [f"text {number}" for number in range(600)]
#: 600 texts at 10 ms each: 6 s of work for one worker, in which others come and go.
SLOW = {"delay_ms": 10.0}


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


def submit_slow(cluster: Cluster) -> JobHandle:
    return cluster.client().classify(TEXTS, model="echo", parameters=SLOW)


def assert_whole(job: JobHandle) -> None:
    """Each item once, in order, with its own label; no unit failed."""
    record = job.wait(timeout_s=60)
    results = list(job.results())
    assert record.state is JobState.COMPLETED
    assert (record.counts.succeeded, record.counts.errored) == (len(TEXTS), 0)
    assert [r.output.label for r in results if isinstance(r, ItemSuccess)] == TEXTS


def test_the_wheel_that_was_built_is_that_release(
    previous: Release, empty_cluster: Cluster
) -> None:
    told = previous.command(empty_cluster.settings, "--version")

    assert previous.version in told
    assert (previous.folder / "seqd" / "ledger" / "lua" / "claim.lua").exists()


def test_a_client_of_the_previous_release_is_served_by_a_worker_of_this_one(
    empty_cluster: Cluster, previous: Release, tmp_path: Path
) -> None:
    empty_cluster.start_ready()

    labels = classify_by_command(previous, empty_cluster.settings, tmp_path)

    assert labels == TEXTS


def test_a_client_of_this_release_is_served_by_a_worker_of_the_previous_one(
    empty_cluster: Cluster, previous: Release
) -> None:
    empty_cluster.start_ready(release=previous.folder)

    assert_whole(empty_cluster.client().classify(TEXTS, model="echo"))


def test_workers_of_both_releases_share_a_job(empty_cluster: Cluster, previous: Release) -> None:
    old = empty_cluster.start_ready("old", release=previous.folder)
    new = empty_cluster.start_ready("new")

    job = submit_slow(empty_cluster)

    assert_whole(job)
    wait_until(lambda: workers_of(empty_cluster) == {old.name, new.name}, "both did some of it")


@pytest.mark.parametrize("upgrades", [True, False], ids=["upgrade", "downgrade"])
def test_a_worker_is_replaced_by_one_of_the_other_release_in_mid_job_and_nothing_fails(
    empty_cluster: Cluster, previous: Release, upgrades: bool
) -> None:
    first, second = (previous.folder, None) if upgrades else (None, previous.folder)
    before = empty_cluster.start_ready("before", release=first)
    empty_cluster.start_ready("after", release=second)
    job = submit_slow(empty_cluster)
    wait_until(lambda: "before" in workers_of(empty_cluster), "it has begun")

    status = before.stop()

    assert status == 0
    assert job.record().state is JobState.RUNNING, "the job lasts longer than the change"
    assert_whole(job)


@pytest.mark.parametrize("upgrades", [True, False], ids=["upgrade", "downgrade"])
def test_what_a_killed_worker_of_one_release_held_goes_to_the_other(
    empty_cluster: Cluster, previous: Release, upgrades: bool
) -> None:
    first, second = (previous.folder, None) if upgrades else (None, previous.folder)
    killed = empty_cluster.start_ready("killed", release=first)
    job = submit_slow(empty_cluster)
    wait_until(lambda: job.record().counts.done > 0, "the job has begun")

    killed.kill()
    empty_cluster.start("other", release=second)

    assert_whole(job)


@pytest.mark.parametrize("upgrades", [True, False], ids=["upgrade", "downgrade"])
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
    record = job.wait(timeout_s=90)

    assert record.state is JobState.COMPLETED
    assert record.training is not None
    steps = diary.read_text().splitlines()
    assert len(steps) < 2 * len(set(steps)), "it did not begin anew"


def test_a_version_that_one_release_trained_is_served_by_the_other(
    empty_cluster: Cluster, previous: Release
) -> None:
    old = empty_cluster.start_ready("old", release=previous.folder)
    job = empty_cluster.client().train([{"text": "a", "label": "b"}] * 10, model="echo")
    training = job.wait(timeout_s=60).training
    assert training is not None
    old.stop()

    empty_cluster.start_ready("new")

    with empty_cluster.client() as client:
        assert_whole(client.classify(TEXTS, model=f"echo@{training.version}"))


def test_status_of_the_previous_release_shows_a_worker_of_this_one(
    empty_cluster: Cluster, previous: Release
) -> None:
    empty_cluster.start_ready("new")

    told = json.loads(previous.command(empty_cluster.settings, "status", "--json"))

    assert [worker["worker"] for worker in told["workers"]] == ["new"]

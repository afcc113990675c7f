"""`seqd sweep`, and what `seqd jobs` says of a sweep, on a real ledger with a real worker."""

import json
from pathlib import Path

import pytest

from cli_builders import Ended, here, use_ledger
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes


@pytest.fixture
def data(cluster: Cluster) -> Path:
    """Training data in a folder that the worker may read."""
    path = cluster.settings.data_dir.parent / "sweep.jsonl"
    records = [{"text": "fine", "label": "pos"}, {"text": "dull", "label": "neg"}]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture(autouse=True)
def _on_the_cluster(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_ledger(monkeypatch, cluster.commands)
    monkeypatch.chdir(tmp_path)


def sweep(capsys: pytest.CaptureFixture[str], data: Path, *options: str) -> Ended:
    return here(capsys, "sweep", "echo", "--data", str(data), *options)


def test_a_sweep_ends_in_a_table_the_best_and_a_picture(capsys, data: Path, tmp_path: Path):
    ended = sweep(
        capsys, data, "--set", "accuracy=0.6,0.8,0.7", "--param", "epochs=1", "--labels", "top"
    )

    assert ended.status == 0
    lines = ended.out.splitlines()
    (heading,) = [line for line in lines if line.startswith("accuracy  ")]
    assert heading.split() == ["accuracy", "validation", "accuracy", "seconds", "version"]
    (best,) = [line for line in lines if line.endswith("best")]
    assert best.split()[:2] == ["0.8", "0.8000"]
    ref = best.split()[3]
    assert f"Best: {ref} (accuracy=0.8), with the highest validation accuracy, 0.8000." in lines
    assert f"Labelled top: {ref}" in lines
    assert any(line.startswith("accuracy=0.7: epoch 1/1, loss 0.5000, ") for line in lines)
    (picture,) = tmp_path.iterdir()
    assert f"{picture.name}: validation accuracy and time as a picture" in lines
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_sweep_as_json_is_one_document(capsys, data: Path, tmp_path: Path):
    plot = tmp_path / "mine.png"

    ended = sweep(
        capsys, data, "--set", "trick=bug,", "--param", "accuracy=0.5", "--param", "epochs=1",
        "--plot", str(plot), "--json",
    )  # fmt: skip

    told = json.loads(ended.out)
    assert ended.status == 2  # a combination failed
    assert (told["job"]["kind"], told["job"]["state"]) == ("sweep", "completed")
    assert [one["custom_id"] for one in told["trained"]] == ['trick=""']
    assert [one["custom_id"] for one in told["failed"]] == ["trick=bug"]
    assert told["best"]["metrics"]["validation_accuracy"] == 0.5
    assert told["plot"] == str(plot) and plot.exists()


def test_a_sweep_that_runs_by_itself_can_be_shown_watched_fetched_and_drawn(capsys, data: Path):
    handed_in = sweep(capsys, data, "--set", "epochs=1,2", "--param", "accuracy=0.9", "--detach")
    job_id = handed_in.out.strip()

    watched = here(capsys, "jobs", "watch", job_id)
    shown = here(capsys, "jobs", "show", job_id)
    fetched = here(capsys, "jobs", "results", job_id)
    drawn = here(capsys, "jobs", "plot", job_id, "--out", "again.png")

    assert (handed_in.status, watched.status, shown.status, fetched.status) == (0, 0, 0, 0)
    assert "2 combinations of echo trained" in watched.out
    facts = [line.split(maxsplit=1) for line in shown.out.splitlines() if line]
    assert ["kind", "sweep"] in facts
    assert ["items", "2: 2 succeeded"] in facts
    assert ["sweeps", '{"epochs": [1, 2]}'] in facts
    results = [json.loads(line) for line in fetched.out.splitlines()]
    assert [result["output"]["parameters"] for result in results] == [{"epochs": 1}, {"epochs": 2}]
    assert (drawn.status, Path("again.png").exists()) == (0, True)


def test_a_cancelled_sweep_says_how_many_combinations_were_done(capsys, data: Path):
    options = ("--set", "epochs=1000,999", "--param", "step_ms=50", "--detach")
    job_id = sweep(capsys, data, *options).out.strip()

    cancelled = here(capsys, "jobs", "cancel", job_id)

    assert cancelled.out.startswith(f"Job {job_id} is cancelled, with 0 of ")
    assert cancelled.out.endswith(" combinations done.\n")


def test_a_job_of_another_kind_cannot_be_drawn(capsys, cluster: Cluster):
    job = cluster.client().classify(["a"], model="echo")

    ended = here(capsys, "jobs", "plot", job.job_id)

    assert ended.status == 2
    assert ended.err == (
        f"error[invalid_request]: Job {job.job_id} is a job of kind classify, no sweep. What it "
        f"gave: `results()`, or seqd jobs results {job.job_id}\n"
    )

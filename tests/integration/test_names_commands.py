"""`seqd train --as`, `--promote` and `seqd sweep --as`: what they say of the version they made."""

import json
import re
import secrets
from pathlib import Path

import pytest

from cli_builders import clean_environment, here
from seqd.models.store import ModelStore
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def data(module_cluster: Cluster) -> Path:
    """Training data in a folder that the worker may read."""
    path = module_cluster.settings.data_dir.parent / "data.jsonl"
    path.write_text('{"text": "fine", "label": "pos"}\n')
    return path


@pytest.fixture
def name() -> str:
    return f"n_{secrets.token_hex(4)}"


@pytest.fixture
def store(module_cluster: Cluster) -> ModelStore:
    return ModelStore(module_cluster.settings.store_dir, {})


@pytest.fixture(autouse=True)
def _on_the_cluster(
    module_cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable, value in clean_environment(
        SEQD_REDIS_URL=str(module_cluster.settings.redis_url),
        SEQD_PREFIX=module_cluster.settings.prefix,
        SEQD_DATA_DIR=str(module_cluster.settings.data_dir),
    ).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(tmp_path)


def last_lines(out: str, first: str) -> list[str]:
    """Return the lines from the one that begins so, with durations left out."""
    lines = [re.sub(r"[0-9.]+ (ms|s)\b", "N s", line) for line in out.splitlines()]
    (at,) = [number for number, line in enumerate(lines) if line.startswith(first)]
    return lines[at:]


@pytest.mark.slow
def test_a_training_says_whether_its_version_is_in_service_and_how_to_put_it_there(
    data: Path, name: str, capsys: Capture, store: ModelStore
):
    train = ("train", "--data", str(data), "--preset", "quick")
    first = here(capsys, *train, "echo", "--as", name)
    second = here(capsys, *train, name)
    third = here(capsys, *train, name, "--promote", "--labels", "best")

    assert [one.status for one in (first, second, third)] == [0] * 3, first.err + second.err
    assert last_lines(first.out, f"{name}@1 is")[:2] == [
        f"{name}@1 is in service, after N s.",
        "  loss 0.5000",
    ]
    assert last_lines(second.out, f"{name}@2 is")[:3] == [
        f"{name}@2 is trained and not in service, after N s.",
        "  loss 0.5000",
        f"{name} means {name}@1. To change that: seqd models promote {name}@2",
    ]
    assert last_lines(third.out, f"{name}@3 is")[0] == f"{name}@3 is in service, after N s."
    assert f"{name}@2" in second.out.splitlines()[-1]
    assert store.labels(name) == {"production": 3, "best": 3, "latest": 3}


@pytest.mark.parametrize("bad", ["Topics", "a-b", "x@2", ""])
def test_a_name_that_no_model_may_have_is_refused(data: Path, capsys: Capture, bad: str):
    ended = here(capsys, "train", "echo", "--as", bad, "--data", str(data), "--detach")

    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("error[invalid_request]: "), ended.err


def test_a_sweep_makes_a_new_model_and_its_best_version_is_in_service(
    data: Path, name: str, capsys: Capture, store: ModelStore
):
    ended = here(
        capsys, "sweep", "echo", "--as", name, "--data", str(data), "--set", "accuracy=0.6,0.9,0.7",
        "--param", "epochs=1", "--no-plot", "--json",
    )  # fmt: skip

    assert ended.status == 0, ended.err
    told = json.loads(ended.out)
    assert told["best"]["metrics"]["validation_accuracy"] == 0.9
    assert store.labels(name)["production"] == told["best"]["version"]


def test_a_sweep_of_a_model_that_there_is_moves_nothing_unless_it_is_asked_to(
    data: Path, name: str, capsys: Capture, store: ModelStore
):
    sweep = ("sweep", name, "--data", str(data), "--param", "epochs=1", "--no-plot", "--json")
    assert here(capsys, "train", "echo", "--as", name, "--data", str(data)).status == 0

    plain = here(capsys, *sweep, "--set", "accuracy=0.6,0.9")
    before = store.labels(name)["production"]
    promoted = here(capsys, *sweep, "--set", "accuracy=0.7,0.95", "--promote")

    assert (plain.status, promoted.status, before) == (0, 0, 1)
    best = json.loads(promoted.out)["best"]
    assert best["metrics"]["validation_accuracy"] == 0.95
    assert store.labels(name)["production"] == best["version"]

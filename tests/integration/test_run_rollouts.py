"""Given a second version with a plugin's own task, when it is tried or promoted, then as any other.

Each test has a model of its own, made with `mirror`, whose versions put their number in front.
"""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from cli_builders import here, use_ledger
from seqd.client import Client
from seqd.errors import InvalidRequest
from seqd.models.store import ModelStore
from seqd_schemas import Text
from store_builders import a_version_draft
from task_fixtures import TaskCluster
from worker_fixtures import wait_until

# Each starts a candidate, whose worker has to look at the store.
pytestmark = [pytest.mark.processes, pytest.mark.slow]

Capture = pytest.CaptureFixture[str]
TEXTS = {f"item-{number}": f"text {number}" for number in range(200)}


@pytest.fixture(autouse=True)
def environment(task_cluster: TaskCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that shares the cluster's Redis and its store."""
    use_ledger(monkeypatch, task_cluster.commands, has_store=True)


@pytest.fixture
def client(task_cluster: TaskCluster) -> Client:
    return task_cluster.client()


@pytest.fixture
def store(task_cluster: TaskCluster) -> ModelStore:
    return ModelStore(task_cluster.settings.store_dir, {})


def a_model(store: ModelStore, client: Client, **second: object) -> str:
    """Publish two versions of a new model, and wait until the first is in memory."""
    name = f"m_{secrets.token_hex(4)}"
    for number, more in ((1, {}), (2, second)):
        folder = store.new_folder(name, f"run-{number}")
        (folder / "tasks.json").write_text(json.dumps({"prefix": f"{number}:", **more}))
        store.publish(folder, a_version_draft(name, "mirror"))

    def is_published() -> bool:
        entry = client.catalog().get(name)
        return entry is not None and entry.labels == {"production": 1, "latest": 2}

    wait_until(is_published, "the model is published")
    client.run(["a"], model=name, task="mirror").wait(timeout_s=120)
    return name


def promote(capsys: Capture, model: str, *options: str) -> None:
    ended = here(capsys, "models", "promote", f"{model}@2", *options)
    assert ended.status == 0, ended.err


def answers_of(client: Client, model: str) -> tuple[str, Mapping[str, tuple[int | None, str]]]:
    """Run all texts; return the job, and of each item the version that is named and its text."""
    items = [{"custom_id": name, "text": text} for name, text in TEXTS.items()]
    job = client.run(items, model=model, task="mirror", output=Text)
    job.wait(timeout_s=120)
    return job.job_id, {one.custom_id: (one.version, one.unwrap().text) for one in job.results()}


def test_a_promotion_wakes_the_workers_of_a_model_that_has_its_own_task_alone(
    client: Client, store: ModelStore, capsys: Capture
) -> None:
    model = a_model(store, client)

    promote(capsys, model)

    assert client.catalog()[model].labels["production"] == 2
    assert {version for version, _ in answers_of(client, model)[1].values()} == {None}
    ended = here(capsys, "models", "rm", f"{model}@1")
    assert ended.status == 0, ended.err
    assert [one.version for one in client.catalog()[model].versions] == [2]


def test_two_versions_are_compared_by_the_type_of_their_outputs_and_the_better_is_promoted(
    tmp_path: Path, client: Client, store: ModelStore, capsys: Capture
) -> None:
    model = a_model(store, client, prefix="")
    file = tmp_path / "truth.jsonl"
    rows = [{"text": text, "reference": text[::-1]} for text in TEXTS.values()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    compare = ("models", "compare", f"{model}@1", f"{model}@2", "--data", str(file))

    better = here(capsys, *compare, "--metric", "chrf", "--json")
    worse = here(capsys, *compare[:2], *compare[3:1:-1], *compare[4:], "--metric", "chrf")
    promoted = here(capsys, "models", "promote", f"{model}@2", "--if-better-on", str(file))

    assert better.status == 0, better.err
    found = cast("dict[str, Any]", better.json())
    assert (found["task"], found["output"], found["items"]) == ("mirror", "text", 200)
    exact = found["metrics"]["exact_match"]
    assert (exact["first"], exact["second"], exact["interval"]) == (0.0, 1.0, [1.0, 1.0])
    assert found["metrics"]["chrf"]["second"] == 1.0
    assert found["verdict"]["is_better"] is True
    assert worse.status == 3
    assert "chrF" in worse.out
    assert promoted.status == 0, promoted.err
    assert store.labels(model)["production"] == 2


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            ("vectors@1", "vectors@1"),
            "error[invalid_request]: the figures of vectors@1 embed are of all items together, so "
            "there is no difference by item; allowed: versions that give Labels, Score, Spans or "
            "Text. `seqd models evaluate` gives the figures of each",
        ),
        (
            ("stars@1", "stars@1", "--metric", "chrf"),
            "error[invalid_request]: --metric is 'chrf'; allowed of outputs of the type score: "
            "mean_absolute_error, root_mean_square_error",
        ),
        (
            ("stars@1", "topics@1"),
            "error[invalid_request]: --task is 'score'; allowed for topics: tag",
        ),
        (
            ("stars@1", "stars@1", "--map-label", "a=b"),
            "error[invalid_request]: --map-label is for versions that classify; 'stars@1' is "
            "measured by its task 'score', leave it away",
        ),
    ],
)
def test_versions_that_cannot_be_compared_are_refused(
    tmp_path: Path, capsys: Capture, command: tuple[str, ...], message: str
) -> None:
    file = tmp_path / "truth.jsonl"
    file.write_text('{"text": "a", "score": 1}\n')

    ended = here(capsys, "models", "compare", *command, "--data", str(file))

    assert (ended.status, ended.err.strip().splitlines()[-1]) == (2, message)


def test_a_client_compares_no_versions_that_do_not_classify(client: Client) -> None:
    with pytest.raises(InvalidRequest) as refused:
        client.model("stars").compare("1", "1", [{"text": "a", "label": "b"}])

    assert str(refused.value) == (
        "'stars@1' does not classify (it can score). Allowed: two versions that classify; or two "
        "that write text, on a machine that has their plugins and store. Of its own tasks `seqd "
        "models evaluate stars@1` gives each version's figures"
    )

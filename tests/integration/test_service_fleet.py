"""`seqd models promote`, `rollback`, `label`, `history` and others: a real worker acts.

Each test has a model of its own, with versions 1 to 3 of which the first is in service.
"""

import os
import pwd
import re
import secrets
import shutil
import socket
from pathlib import Path

import pytest

from builders import a_worker_status
from cli_builders import Ended, here, use_ledger
from seqd.client import Client
from seqd.errors import wire_text
from seqd.ledger import Ledger, connect
from seqd.models.store import ModelStore
from seqd_schemas import Cordon, UnfitVersion
from store_builders import a_change, files_of, publish, shape_of
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def client(module_cluster: Cluster) -> Client:
    return module_cluster.client()


@pytest.fixture(scope="module")
def store(module_cluster: Cluster) -> ModelStore:
    return ModelStore(module_cluster.settings.store_dir, {})


@pytest.fixture
def model(store: ModelStore, client: Client) -> str:
    name = f"m_{secrets.token_hex(4)}"
    for _ in range(3):
        publish(store, name, "echo")

    def has_all() -> bool:
        entry = client.catalog().get(name)
        return entry is not None and len(entry.versions) == 3

    wait_until(has_all, "all versions are published")
    client_sees(client, name, 1)
    return name


@pytest.fixture
def elsewhere(module_cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that shares the cluster's Redis, and has a store of its own."""
    use_ledger(monkeypatch, module_cluster.commands)
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path))


def client_sees(client: Client, model: str, version: int) -> None:
    def seen() -> bool:
        entry = client.catalog().get(model)
        return entry is not None and entry.labels.get("production") == version

    wait_until(seen, f"{model}@{version} is published as in service")


def loaded(cluster: Cluster, model: str) -> set[str]:
    status = cluster.workers[0].status()
    assert status is not None
    return {ref for ref in status.models_loaded if ref.partition("@")[0] == model}


def load(client: Client, ref: str) -> None:
    client.classify(["a"], model=ref).wait(timeout_s=120)


def test_promotion_is_for_the_next_job_and_a_running_one_keeps_its_version(
    elsewhere: None, client: Client, store: ModelStore, model: str, capsys: Capture
):
    # A minute of work, which is cancelled once it was seen to go on.
    running = client.classify(
        ["a"] * 3_000, model=model, parameters={"delay_ms": 20}, max_running_units=1
    )
    wait_until(lambda: running.record().counts.done > 0, "it runs")

    ended = here(
        capsys, "models", "promote", f"{model}@2", "--reason", "more accurate", "--warm-timeout",
        "30",
    )  # fmt: skip
    meanwhile = running.record()
    later = client.classify(["a"], model=model)  # the command has waited for that

    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == f"{model}@2 is in service, after {model}@1."
    assert not meanwhile.state.is_terminal, "the job lasts longer than the command"
    assert later.wait(timeout_s=120).version == 2
    wait_until(lambda: running.record().counts.done > meanwhile.counts.done, "it goes on")
    running.cancel()
    ended_as = running.record()
    assert (ended_as.version, ended_as.counts.errored) == (1, 0)
    assert store.labels(model) == {"production": 2, "latest": 3}
    change = store.history(model)[-1]
    me = f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"
    assert (change.by, change.why) == (me, "more accurate")
    assert (change.from_version, change.to_version, change.is_rollback) == (1, 2, False)


def test_a_worker_that_does_not_load_it_in_time_is_named_and_the_version_goes_in_service(
    elsewhere: None,
    module_cluster: Cluster,
    client: Client,
    model: str,
    capsys: Capture,
):
    load(client, model)
    running = client.classify(["a"] * 800, model=model, parameters={"delay_ms": 25})
    wait_until(lambda: running.record().counts.done > 0, "it runs")

    ended = here(capsys, "models", "promote", f"{model}@2", "--warm-timeout", "0")

    assert ended.status == 0, ended.err
    worker = module_cluster.workers[0].name
    assert ended.out.splitlines() == [
        f"Not loaded yet, so that first items there wait for it: {worker}",
        f"{model}@2 is in service, after {model}@1.",
    ]
    running.cancel()


def test_a_worker_that_a_rule_keeps_from_claiming_holds_no_promotion_up(
    elsewhere: None, module_cluster: Cluster, model: str, capsys: Capture
):
    held = Cordon(phase="cordoned", target="host:there", since_ms=1)
    lacks = UnfitVersion(model=model, version=2, code="no_library", message="libx", since_ms=1)
    told = {"models_loaded": (f"{model}@1",), "unfit": (lacks,), "cordon": held}
    status = a_worker_status(worker="cpu:0@there-1", **told)
    settings = module_cluster.settings
    with connect(str(settings.redis_url)) as redis:
        fleet = Ledger(redis, settings).fleet
        fleet.publish_worker(status, 600)
        ended = here(capsys, "models", "promote", f"{model}@2", "--warm-timeout", "0")
        fleet.forget_worker(status.worker)

    assert ended.out.splitlines() == [f"{model}@2 is in service, after {model}@1."], ended.err


def test_a_version_that_a_worker_cannot_run_is_refused_and_nothing_is_changed(
    elsewhere: None,
    module_cluster: Cluster,
    client: Client,
    store: ModelStore,
    model: str,
    capsys: Capture,
):
    load(client, model)
    # It opens, and the plugin cannot load it.
    assert publish(store, model, "echo", content="{}") == 4
    wait_until(lambda: client.model(model).labels["latest"] == 4, "it is published")
    store.set_label(model, "candidate", 2)
    before = files_of(store.folder_of(model))

    ended = here(capsys, "models", "promote", f"{model}@4")

    worker = module_cluster.workers[0].name
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith(
        f"error[no_fit_worker]: {worker} cannot run {model}@4: damaged: echo.json has no field "
        "`records`."
    ), ended.err
    assert ended.err.endswith("Nothing is changed.\n")
    assert store.labels(model) == {"production": 1, "latest": 4, "candidate": 2}
    assert files_of(store.folder_of(model)).keys() - {"labels.json"} == before.keys() - {
        "labels.json"
    }
    assert store.history(model)[-1].to_version == 1
    assert client.classify(["a"], model=model).record().version == 1


def test_history_shows_each_change(
    elsewhere: None,
    client: Client,
    store: ModelStore,
    model: str,
    capsys: Capture,
    tmp_path: Path,
):
    store.put_in_service(model, a_change(1, 2, by="me@here", why="better", at_ms=10**12))
    wait_until(lambda: client.model(model).history()[-1].why == "better", "it is published")
    shutil.copytree(store.folder_of(model), tmp_path / "models" / model)
    (tmp_path / "models" / model / "labels.json").write_text("{}")

    shown = here(capsys, "models", "history", model)
    listed = here(capsys, "models", "history", model, "--json").json()
    own = here(capsys, "models", "history", model, "--local")

    heading, *rows = rows_of(shown)
    assert heading == ["when", "what", "by", "why"]
    assert [row[1:] for row in rows] == [
        ["none → 1", "-", "its first version"],
        ["1 → 2", "me@here", "better"],
    ]
    assert [(one.get("from_version"), one["to_version"]) for one in listed] == [(None, 1), (1, 2)]
    assert rows_of(own)[:3] == [heading, *rows]
    assert rows_of(own)[3][1:] == [
        "2 → none",
        "-",
        "the label was moved by hand, or by a process that died",
    ]


def rows_of(shown: Ended) -> list[list[str]]:
    return [re.split(r"  +", line.strip()) for line in shown.out.splitlines()]


def test_a_machine_without_the_store_labels_and_goes_back(
    elsewhere: None, store: ModelStore, model: str, capsys: Capture, tmp_path: Path
):
    for version in (2, 3):
        here(capsys, "models", "promote", f"{model}@{version}")
    labelled = here(capsys, "models", "label", f"{model}@2", "best")
    back = here(capsys, "models", "rollback", model, "--reason", "worse on Fridays")
    further = here(capsys, "models", "rollback", model, "--json")
    unlabelled = here(capsys, "models", "label", f"{model}@best", "best", "--remove", "--json")

    assert labelled.out == f"{model}@2 has the label best now.\n"
    assert back.out == f"{model}@2 is in service, after {model}@3.\n"
    assert further.json() == {"model": model, "in_service": 1, "before": 2}
    labels = {"production": 1, "latest": 3}
    assert unlabelled.json() == {"model": model, "labels": labels}
    assert store.labels(model) == labels
    assert shape_of(store, model) == [(None, 1), (1, 2), (2, 3), (3, 2), (2, 1)]
    backs = [(one.why, one.is_rollback) for one in store.history(model)[-2:]]
    assert backs == [("worse on Fridays", True), (f"back from {model}@2", True)]
    assert not (tmp_path / "models").exists()


def test_with_no_worker_up_nothing_is_changed_and_seqd_up_is_named(
    empty_cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: Capture
):
    store = ModelStore(empty_cluster.settings.store_dir, {})
    publish(store, "echo")
    empty_cluster.publish_catalog()
    use_ledger(monkeypatch, empty_cluster.commands)

    ended = here(capsys, "models", "promote", "echo@2")

    assert (ended.status, ended.out) == (1, "")
    assert ended.err == (
        "error[no_fit_worker]: no worker is up, and the model store is beside the workers: nothing "
        "was changed. Start one with `seqd up`, and say it again\n"
    )
    assert store.labels("echo") == {"production": 1, "latest": 2}


#: Commands that change nothing, and what they say of the model `topics`.
REFUSED = {
    "promote topics": "error[invalid_request]: 'topics' names no version; allowed: NAME@VERSION, "
    "such as topics@2. `seqd models show topics` shows its versions",
    "promote topics@1": "error[wrong_state]: topics@1 is in service already; nothing is changed",
    "promote topics@7": "error[unknown_model]: model 'topics' has no version 7. Versions: 1, 2, 3",
    "promote topics@bets": "error[unknown_model]: model 'topics' has no label 'bets'. ",
    "promote topic@1": "error[unknown_model]: no model named 'topic'. Known models: ",
    "rollback topics": "error[wrong_state]: topics@1 is the first version of topics in service "
    "that is known: there is none to go back to. `seqd models promote topics@VERSION` puts any "
    "other in service",
    "rollback topics@2": "error[invalid_request]: 'topics@2' names a version; allowed: a model, "
    "such as topics. `seqd models promote topics@2` puts that version in service",
    "label topics@2 production": "error[invalid_request]: the label production is the version "
    "in service, which `promote` sets: seqd models promote NAME@VERSION",
    "label topics@2 latest": "error[invalid_request]: the label latest is always the highest "
    "version; set another label.",
    "rm topics@1": "error[version_in_use]: topics@1 is in service: it is not removed.",
    "rm topics@3": "error[version_in_use]: topics@3 has the label kept: it is not removed.",
    "rm topics": "error[invalid_request]: 'topics' names no version by its number",
    "rm topics@9": "error[unknown_model]: no version topics@9. Versions of topics: 1, 2, 3",
    "label topics@2 best --remove": "error[invalid_request]: topics@2 has no label 'best'; nothing "
    "is changed",
}


@pytest.fixture(scope="module")
def topics(store: ModelStore, client: Client) -> None:
    """The model `topics`, with versions 1 to 3 of which the first is in service."""
    for _ in range(3):
        publish(store, "topics", "echo")
    store.set_label("topics", "kept", 3)
    client_sees(client, "topics", 1)
    wait_until(lambda: len(client.catalog()["topics"].versions) == 3, "all are published")


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_refused_says_why_and_changes_nothing(
    elsewhere: None, topics: None, store: ModelStore, capsys: Capture, words: str
):
    before = files_of(store.folder_of("topics"))

    ended = here(capsys, "models", *words.split())

    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(REFUSED[words]), ended.err
    assert files_of(store.folder_of("topics")) == before


def test_a_reason_of_any_kind_is_written_down_as_far_as_there_is_room(
    elsewhere: None, store: ModelStore, model: str, capsys: Capture
):
    reason = "not \udcff UTF-8, two\nlines \x1b[31m" + "x" * 5_000

    ended = here(capsys, "models", "promote", f"{model}@2", "--reason", reason)
    shown = here(capsys, "models", "history", model)

    assert (ended.status, ended.err) == (0, "")
    assert store.history(model)[-1].why == wire_text(reason)[:500]
    assert shown.status == 0 and "\x1b" not in shown.out

"""`seqd models promote`, `rollback` and `history` beside a real worker, and without a daemon.

Each test has a model of its own, with versions 1 to 3 of which the first is in service.
"""

import json
import os
import pwd
import re
import secrets
import socket
from pathlib import Path

import pytest

from cli_builders import clean_environment, here
from seqd.client import Client
from seqd.errors import wire_text
from seqd.models.store import ModelStore
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
    client_sees(client, name, 1)
    return name


@pytest.fixture
def environment(
    module_cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> dict[str, str]:
    """Variables of a machine that shares the cluster's Redis and its store."""
    variables = clean_environment(
        SEQD_REDIS_URL=str(module_cluster.settings.redis_url),
        SEQD_PREFIX=module_cluster.settings.prefix,
        SEQD_DATA_DIR=str(module_cluster.settings.data_dir),
    )
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """A store without a daemon, with three versions of `topics`."""
    for name, value in clean_environment(SEQD_DATA_DIR=str(tmp_path)).items():
        monkeypatch.setenv(name, value)
    store = ModelStore(tmp_path / "models", {})
    for _ in range(3):
        publish(store, "topics", "echo")
    return store


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
    client.classify(["a"], model=ref).wait(timeout_s=30)


def test_promotion_is_for_the_next_job_and_a_running_one_keeps_its_version(
    environment: dict[str, str], client: Client, store: ModelStore, model: str, capsys: Capture
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
    assert later.wait(timeout_s=30).version == 2
    wait_until(lambda: running.record().counts.done > meanwhile.counts.done, "it goes on")
    running.cancel()
    ended_as = running.record()
    assert (ended_as.version, ended_as.counts.errored) == (1, 0)
    assert store.labels(model) == {"production": 2, "latest": 3}
    change = store.history(model)[-1]
    me = f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"
    assert (change.by, change.why) == (me, "more accurate")
    assert (change.from_version, change.to_version, change.is_rollback) == (1, 2, False)


def test_a_worker_that_has_the_model_loads_the_version_before_it_is_in_service(
    environment: dict[str, str],
    module_cluster: Cluster,
    client: Client,
    store: ModelStore,
    model: str,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
):
    load(client, model)
    wait_until(lambda: loaded(module_cluster, model) == {f"{model}@1"}, "version 1 is loaded")
    seen: list[tuple[set[str], dict[str, int]]] = []
    put_in_service = ModelStore.put_in_service

    def look_first(own: ModelStore, name: str, change: object) -> None:
        seen.append((loaded(module_cluster, model), own.labels(name)))
        put_in_service(own, name, change)  # type: ignore[arg-type]

    monkeypatch.setattr(ModelStore, "put_in_service", look_first)
    ended = here(capsys, "models", "promote", f"{model}@3")

    assert ended.out == f"{model}@3 is in service, after {model}@1.\n"
    ((before, labels),) = seen
    assert f"{model}@3" in before
    assert labels == {"production": 1, "candidate": 3, "latest": 3}
    assert store.labels(model) == {"production": 3, "latest": 3}


def test_a_worker_that_does_not_load_it_in_time_is_named_and_the_version_goes_in_service(
    environment: dict[str, str],
    module_cluster: Cluster,
    client: Client,
    model: str,
    capsys: Capture,
):
    load(client, model)
    running = client.classify(["a"] * 80, model=model, parameters={"delay_ms": 25})
    wait_until(lambda: running.record().counts.done > 0, "it runs")

    ended = here(capsys, "models", "promote", f"{model}@2", "--warm-timeout", "0")

    assert ended.status == 0, ended.err
    worker = module_cluster.workers[0].name
    assert ended.out.splitlines() == [
        f"Not loaded yet, so that first items there wait for it: {worker}",
        f"{model}@2 is in service, after {model}@1.",
    ]
    running.cancel()


def break_version(store: ModelStore, ref: str) -> None:
    """Make a version that opens and that the plugin cannot load."""
    name, _, number = ref.partition("@")
    assert publish(store, name, "echo", content="{}") == int(number)


@pytest.mark.parametrize("candidate", [None, 2])
def test_a_version_that_a_worker_cannot_run_is_refused_and_nothing_is_changed(
    environment: dict[str, str],
    module_cluster: Cluster,
    client: Client,
    store: ModelStore,
    model: str,
    capsys: Capture,
    candidate: int | None,
):
    load(client, model)
    break_version(store, f"{model}@4")
    if candidate is not None:
        store.set_label(model, "candidate", candidate)
    before = files_of(store.folder_of(model))

    ended = here(capsys, "models", "promote", f"{model}@4")

    worker = module_cluster.workers[0].name
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith(
        f"error[no_fit_worker]: {worker} cannot run {model}@4: damaged: echo.json has no field "
        "`records`."
    ), ended.err
    assert ended.err.endswith("Nothing is changed.\n")
    assert {**store.labels(model), "latest": 0} == {
        "production": 1,
        "latest": 0,
        **({} if candidate is None else {"candidate": candidate}),
    }
    assert files_of(store.folder_of(model)).keys() - {"labels.json"} == before.keys() - {
        "labels.json"
    }
    assert store.history(model)[-1].to_version == 1
    assert client.classify(["a"], model=model).record().version == 1


def test_history_shows_each_change(alone: ModelStore, capsys: Capture):
    alone.put_in_service("topics", a_change(1, 2, by="me@here", why="better", at_ms=10**12))
    labels = alone.folder_of("topics") / "labels.json"
    labels.write_text("{}")

    shown = here(capsys, "models", "history", "topics")
    data = here(capsys, "models", "history", "topics", "--json")

    heading, *rows = [re.split(r"  +", line.strip()) for line in shown.out.splitlines()]
    assert heading == ["when", "from", "to", "by", "why"]
    assert [row[1:] for row in rows] == [
        ["none", "1", "its first version"],
        ["1", "2", "me@here", "better"],
        [
            "2",
            "none",
            "the label was moved by hand, by an older release, or by a process that died",
        ],
    ]
    listed = json.loads(data.out)
    assert [(one.get("from_version"), one.get("to_version")) for one in listed] == [
        (None, 1),
        (1, 2),
        (2, None),
    ]


def test_without_a_daemon_the_store_alone_is_changed(alone: ModelStore, capsys: Capture):
    promoted = [
        here(capsys, "models", "promote", f"topics@{version}", "--store-only") for version in (2, 3)
    ]
    rollback = ("models", "rollback", "topics", "--store-only")
    back = here(capsys, *rollback, "--reason", "worse on Fridays")
    further = here(capsys, *rollback, "--json")

    assert [one.out for one in (*promoted, back)] == [
        "topics@2 is in service, after topics@1.\n",
        "topics@3 is in service, after topics@2.\n",
        "topics@2 is in service, after topics@3.\n",
    ]
    assert further.json() == {"model": "topics", "in_service": 1, "before": 2}
    assert shape_of(alone) == [(None, 1), (1, 2), (2, 3), (3, 2), (2, 1)]
    backs = [(one.why, one.is_rollback) for one in alone.history("topics")[-2:]]
    assert backs == [("worse on Fridays", True), ("back from topics@2", True)]
    assert alone.labels("topics") == {"production": 1, "latest": 3}


def test_without_a_daemon_and_without_saying_so_nothing_is_changed(
    alone: ModelStore, capsys: Capture, tmp_path: Path
):
    before = files_of(alone.folder_of("topics"))

    ended = here(capsys, "models", "promote", "topics@2")

    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        f"error[redis_unreachable]: No Redis server runs for {tmp_path}: start one with `seqd up`, "
        "or set SEQD_REDIS_URL, such as redis://127.0.0.1:6379/0. Without a daemon the store alone "
        "is changed by --store-only.\n"
    )
    assert files_of(alone.folder_of("topics")) == before


#: Commands that change nothing, and what they say.
REFUSED = {
    "promote topics": "error[invalid_request]: 'topics' names no version; allowed: NAME@VERSION, "
    "such as topics@2. `seqd models show topics` shows its versions",
    "promote topics@1": "error[wrong_state]: topics@1 is in service already; nothing is changed",
    "promote topics@production": "error[wrong_state]: topics@1 is in service already; nothing is "
    "changed",
    "promote topics@7": "error[unknown_model]: no version topics@7. Versions of topics: 1, 2, 3",
    "promote topics@bets": "error[unknown_model]: no label 'bets' on topics. Its labels: latest, "
    "production.",
    "promote topic@1": "error[unknown_model]: no model named 'topic'.",
    "rollback topic": "error[unknown_model]: no model named 'topic'.",
    "history topic": "error[unknown_model]: no model named 'topic'.",
    "rollback topics": "error[wrong_state]: topics@1 is the first version of topics in service "
    "that is known: there is none to go back to. `seqd models promote topics@VERSION` puts any "
    "other in service",
    "rollback topics@2": "error[invalid_request]: 'topics@2' names a version; allowed: a model, "
    "such as topics. `seqd models promote topics@2` puts that version in service",
    "history topics@2": "error[invalid_request]: 'topics@2' names a version; allowed: a model, "
    "such as topics",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_refused_says_why_and_changes_nothing(
    alone: ModelStore, capsys: Capture, words: str
):
    before = files_of(alone.folder_of("topics"))
    only = [] if words.startswith("history") else ["--store-only"]

    ended = here(capsys, "models", *words.split(), *only)

    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(REFUSED[words]), ended.err
    assert files_of(alone.folder_of("topics")) == before


@pytest.mark.parametrize("reason", ["x" * 5_000, "not \udcff UTF-8", "two\nlines \x1b[31m"])
def test_a_reason_of_any_kind_is_written_down_as_far_as_there_is_room(
    alone: ModelStore, capsys: Capture, reason: str
):
    ended = here(capsys, "models", "promote", "topics@2", "--store-only", "--reason", reason)
    shown = here(capsys, "models", "history", "topics")

    assert (ended.status, ended.err) == (0, "")
    assert alone.history("topics")[-1].why == wire_text(reason)[:500]
    assert shown.status == 0 and "\x1b" not in shown.out

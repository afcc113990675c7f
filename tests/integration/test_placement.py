"""Placed models on real workers: who is meant loads and serves them, the others leave them."""

import json

import pytest

from cli_builders import here, use_ledger
from seqd.client import Client
from seqd.models.store import ModelStore
from seqd_schemas import JobState, WaitingCode
from store_builders import publish
from worker_fixtures import Cluster, LiveWorker, wait_for_reason, wait_until

pytestmark = pytest.mark.processes

#: A unit of 8 items takes 0.4 s.
SLOWLY = {"delay_ms": 50.0}


@pytest.fixture
def seqd(capsys, monkeypatch, empty_cluster):
    """Run a command on the cluster's ledger."""
    use_ledger(monkeypatch, empty_cluster.commands, has_store=True)
    return lambda *arguments: here(capsys, *arguments)


def add_models(cluster: Cluster, *names: str) -> None:
    store = ModelStore(cluster.settings.store_dir, {})
    for name in names:
        publish(store, name, "echo")


def loaded(worker: LiveWorker) -> set[str]:
    return set(worker.known_status().models_loaded)


def classified(client: Client, model: str) -> JobState:
    return client.classify(["a", "b"], model=model).wait(timeout_s=120).state


@pytest.mark.slow
def test_a_worker_serves_and_keeps_only_what_serves_names(empty_cluster: Cluster):
    add_models(empty_cluster, "moods", "topics")
    worker = empty_cluster.start_ready("w1", serves=("topics", "topic"))
    client = empty_cluster.client()

    status = worker.known_status()
    done = classified(client, "topics")
    job = client.classify(["a"], model="moods")
    waiting = wait_for_reason(job)

    assert "names 'topic', and no model here has that name" in worker.whole_log()
    assert (status.models_loaded, status.left_out) == (("topics@1",), ("echo", "moods"))
    assert status.loaded_bytes == {"topics@1": 1_000}
    assert done is JobState.COMPLETED
    assert waiting.code is WaitingCode.NOT_PLACED
    assert waiting.message == (
        "No worker that is up serves moods. These could classify with it, and a placement or "
        "SEQD_SERVES has them leave it to others: w1. `seqd models "
        "place` lists placements, `seqd models place moods --anywhere` ends that of "
        "moods; or start a worker that serves it."
    )
    assert empty_cluster.starts_of_units(job.job_id) == []


@pytest.mark.slow
def test_a_placement_moves_a_model_while_workers_run_and_its_jobs_with_it(
    empty_cluster: Cluster, seqd
):
    add_models(empty_cluster, "topics")
    a = empty_cluster.start("a", worker_labels=("zone=a",))
    b = empty_cluster.start("b", worker_labels=("zone=b",))
    for worker in (a, b):
        worker.wait_until_ready()
    client = empty_cluster.client()

    seqd("models", "place", "topics", "--label", "zone=a")
    wait_until(lambda: "topics@1" in loaded(a), "a has loaded it")
    wait_until(lambda: "topics" in b.known_status().left_out, "b leaves it to a")

    assert {classified(client, "topics") for _ in range(4)} == {JobState.COMPLETED}
    assert loaded(b) == {"echo@1"}

    moved = seqd("models", "place", "topics", "--on", "b", "--reason", "repair")
    wait_until(lambda: "topics@1" in loaded(b), "b has loaded it")
    wait_until(lambda: "topics@1" not in loaded(a), "a has unloaded it")

    assert {classified(client, "topics") for _ in range(4)} == {JobState.COMPLETED}
    assert loaded(a) == {"echo@1"}
    assert "unit" not in moved.err and moved.out == ("topics is placed: --on b.\nWorkers: b\n")
    (listed,) = json.loads(seqd("models", "place", "--json").out)
    assert (listed["model"], listed["targets"]) == ("topics", ["worker:b"])
    assert (listed["reason"], listed["workers"], listed["loaded_on"]) == ("repair", ["b"], ["b"])
    assert "placed model=topics: --on b by " in b.whole_log()
    free = seqd("models", "place", "topics", "--anywhere")
    assert free.out == "topics is not placed any more.\n"


#: What cannot be placed, and what is said of it.
REFUSED = (
    (
        "topic --on cpu",
        "no model named 'topic'. Known models: echo, topics. Did you mean 'topics'?",
    ),
    (
        "topics@1 --on cpu",
        "the model is 'topics@1'; allowed: its name alone, such as topics, since all versions of a "
        "model are placed together",
    ),
    (
        "topics --on gpu",
        "No worker that is up runs on a gpu. Slots: none. With --ahead the model is placed for one "
        "that starts later.",
    ),
    ("topics --label zone", "--label is 'zone'; allowed: KEY=VALUE"),
    ("topics --label zone=a", "No worker that is up has the label 'zone=a'."),
    ("topics --anywhere --on cpu", "leave the targets away"),
    ("--on cpu", "no model is named; `seqd models place NAME --on gpu` places one"),
)


def test_what_cannot_be_placed_is_refused_with_what_to_do_and_nothing_is_changed(
    empty_cluster: Cluster, seqd
):
    add_models(empty_cluster, "topics")
    empty_cluster.publish_catalog()

    for arguments, said in REFUSED:
        ended = seqd("models", "place", *arguments.split())

        assert (ended.status, arguments) == (2, arguments)
        assert said in " ".join(ended.err.split())
    assert seqd("models", "place").out == "No model is placed.\n"


@pytest.mark.slow
def test_a_worker_keeps_what_is_used_most_and_the_next_starts_with_what_was_in_use_and_is_required(
    empty_cluster: Cluster,
):
    add_models(empty_cluster, "moods", "topics", "rare")
    store = ModelStore(empty_cluster.settings.store_dir, {})
    publish(store, "unborn", "echo")
    labels = store.folder_of("unborn") / "labels.json"
    labels.write_text("{}")
    first, client = empty_cluster.start_ready("w1", model_cache_bytes=2_000), empty_cluster.client()

    assert loaded(first) == {"echo@1"}

    # The model used least makes room, and comes back with its next job.
    for name in ("topics", "moods", "topics", "echo"):
        assert classified(client, name) is JobState.COMPLETED
    first.wait_until_idle()

    assert loaded(first) == {"topics@1", "echo@1"}
    assert classified(client, "moods") is JobState.COMPLETED
    first.wait_until_idle()
    assert loaded(first) == {"echo@1", "moods@1"}

    # What is not in service costs no word. What is required may be made with a plugin.
    used = {"topics", "moods", "echo"}
    wait_until(lambda: used <= rates_of(empty_cluster), "the rates of their items are noted")
    first.stop()
    second = empty_cluster.start("w2", required_models=("rare",))
    absent = empty_cluster.start("w3", required_models=("ghosts",))
    second.wait_until_ready()

    assert loaded(second) == {"echo@1", "moods@1", "topics@1", "rare@1"}
    assert " ERROR " not in first.whole_log() + second.whole_log()
    assert second.warnings() == []
    assert absent.wait_for_end() != 0
    assert "SEQD_REQUIRED_MODELS names ghosts, not ready here. Ready: echo." in absent.whole_log()


def rates_of(cluster: Cluster) -> set[str]:
    with Client(settings=cluster.settings) as client:
        return {route.model for route in client.work_left() if route.is_measured}


@pytest.mark.slow
def test_workers_leave_models_to_each_other_share_the_one_with_work_and_take_over_from_the_dead(
    empty_cluster: Cluster,
):
    add_models(empty_cluster, "moods", "topics")
    little = {"model_cache_bytes": 1_000, "unload_wait_s": 3.0}
    held = [empty_cluster.start(name, **little) for name in ("a", "b")]
    for worker in held:
        worker.wait_until_ready()
    client = empty_cluster.client()
    # By taking turns each comes to have one of them in memory, and knows what the other has.
    spread: list[JobState] = []

    def is_spread() -> bool:
        before = loads_of(held)
        spread.extend(classified(client, name) for name in ("topics", "moods") * 2)
        return loads_of(held) == before

    wait_until(is_spread, "each has one of them")
    in_memory, loads = loaded(held[0]) | loaded(held[1]), loads_of(held)

    apart = [classified(client, name) for name in ("topics", "moods", "moods") * 6]
    loads_apart = loads_of(held)
    long = client.classify([f"text {n}" for n in range(200)], model="topics", parameters=SLOWLY)
    wait_until(lambda: all("topics@1" in loaded(one) for one in held), "both work on it")
    shared = long.wait(timeout_s=120).state
    held[0].kill()
    alone = [classified(client, name) for name in ("moods", "topics")]

    assert set(spread + apart + alone + [shared]) == {JobState.COMPLETED}
    assert in_memory == {"topics@1", "moods@1"}
    assert loads_apart == loads
    assert all(worker.known_status().work.items > 0 for worker in held[1:])


def loads_of(workers: list[LiveWorker]) -> list[int]:
    """Return how often each has loaded a version, once it has published what it did."""
    for worker in workers:
        worker.wait_until_idle()
    return [worker.known_status().model_loads for worker in workers]

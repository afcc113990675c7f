"""What a worker keeps warm: versions in service, and those that are about to be, of what it has."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from seqd.models.store import ModelStore
from seqd.settings import Settings
from seqd.worker.readiness import ReadinessNotes
from store_builders import a_change, publish


class Worker:
    """The part of a worker that decides what is loaded; `loaded` is what it has in memory."""

    def __init__(self, folder: Path, required: tuple[str, ...] = ()) -> None:
        self.store = ModelStore(folder / "models", {})
        self.loaded: set[str] = set()
        context = SimpleNamespace(
            identity=SimpleNamespace(name="w1"),
            routes=("classify.echo", "train.echo"),
            store=self.store,
            cache=SimpleNamespace(
                names=lambda: tuple(self.loaded),
                holds=lambda name, version: f"{name}@{version}" in self.loaded,
            ),
        )
        settings = Settings(data_dir=folder, required_models=required)
        self.notes = ReadinessNotes(context, settings)  # type: ignore[arg-type]

    def loads(self) -> list[str]:
        """Look at the store, load what is new, and return it."""
        self.notes.look()
        new = self.notes.newly_in_service() if self.notes.has_new() else []
        self.loaded |= set(new)
        return sorted(new)


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    worker = Worker(tmp_path)
    for _ in range(3):
        publish(worker.store, "topics", "echo")
    return worker


def test_a_model_that_is_not_in_memory_is_not_loaded(worker: Worker):
    worker.store.set_label("topics", "candidate", 2)

    assert worker.loads() == []


def test_of_a_model_in_memory_the_candidate_is_loaded_and_then_what_is_in_service(worker: Worker):
    worker.loaded = {"topics@3"}
    in_service = worker.loads()
    worker.store.set_label("topics", "candidate", 2)
    candidate = worker.loads()

    worker.store.put_in_service("topics", a_change(1, 2))
    worker.store.drop_label("topics", "candidate", 2)

    assert (in_service, candidate, worker.loads()) == (["topics@1"], ["topics@2"], [])


def test_a_worker_that_starts_while_a_version_is_a_candidate_loads_it_too(worker: Worker):
    worker.loaded = {"topics@1"}
    worker.store.set_label("topics", "candidate", 2)
    worker.notes.look()

    worker.notes.note_warmed_up()

    assert (worker.loads(), worker.loads()) == (["topics@2"], [])


def test_a_required_model_is_loaded_with_its_candidate(tmp_path: Path):
    worker = Worker(tmp_path, required=("topics",))
    for _ in range(2):
        publish(worker.store, "topics", "echo")
    worker.store.set_label("topics", "candidate", 2)

    assert worker.loads() == ["topics@1", "topics@2"]


def test_what_had_to_make_room_is_not_loaded_again_while_its_label_stays(worker: Worker):
    worker.loaded = {"topics@1"}
    worker.store.set_label("topics", "candidate", 2)
    first = worker.loads()
    worker.loaded = {"topics@1"}

    assert (first, worker.loads()) == (["topics@2"], [])


def test_a_candidate_that_is_prepared_a_second_time_is_loaded_a_second_time(worker: Worker):
    worker.loaded = {"topics@1"}
    worker.store.set_label("topics", "candidate", 2)
    first = worker.loads()
    worker.store.drop_label("topics", "candidate", 2)
    between = worker.loads()
    worker.loaded = {"topics@1"}

    worker.store.set_label("topics", "candidate", 2)

    assert (first, between, worker.loads()) == (["topics@2"], [], ["topics@2"])


@pytest.mark.parametrize("content", ["[]", '{"production": 9, "candidate": 8}'])
def test_labels_that_mean_nothing_have_nothing_loaded(worker: Worker, content: str):
    worker.loaded = {"topics@3"}
    (worker.store.folder_of("topics") / "labels.json").write_text(content)

    assert worker.loads() == []


def test_a_model_that_is_made_later_is_served_in_the_order_of_all(worker: Worker):
    worker.notes.look()
    publish(worker.store, "moods", "echo")
    publish(worker.store, "other", "lstm")
    before = worker.notes.serving_order()

    worker.notes.look()

    assert before == ["echo", "topics"]
    assert worker.notes.serving_order() == ["echo", "moods", "topics"]

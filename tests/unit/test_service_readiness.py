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

    def __init__(self, folder: Path) -> None:
        self.store = ModelStore(folder / "models", {})
        self.loaded: set[str] = set()
        context = SimpleNamespace(
            identity=SimpleNamespace(name="w1"),
            routes=("classify.echo", "train.echo"),
            store=self.store,
            placement=SimpleNamespace(serves=lambda name: True, is_kept=lambda name: False),
            cache=SimpleNamespace(
                loads=0,
                names=lambda: tuple(self.loaded),
                holds=lambda name, version: f"{name}@{version}" in self.loaded,
            ),
        )
        settings = Settings(data_dir=folder)
        self.notes = ReadinessNotes(context, settings)

    def loads(self) -> list[str]:
        """Look at the store, load what is new, and return it."""
        self.notes.look()
        new = self.notes.newly_in_service() if self.notes.has_new() else []
        self.loaded |= set(new)
        return sorted(new)


@pytest.fixture
def worker(tmp_path):
    worker = Worker(tmp_path)
    for _ in range(3):
        publish(worker.store, "topics", "echo")
    return worker


def test_of_a_model_in_memory_the_candidate_is_loaded_and_then_what_is_in_service(worker):
    of_none_in_memory = worker.loads()
    worker.loaded = {"topics@3"}
    in_service = worker.loads()
    worker.store.set_label("topics", "candidate", 2)
    candidate = worker.loads()

    worker.store.put_in_service("topics", a_change(1, 2))
    worker.store.drop_label("topics", "candidate", 2)

    assert of_none_in_memory == []
    assert (in_service, candidate, worker.loads()) == (["topics@1"], ["topics@2"], [])


def test_a_worker_that_starts_while_a_version_is_a_candidate_loads_it_too(worker):
    worker.loaded = {"topics@1"}
    worker.store.set_label("topics", "candidate", 2)
    worker.notes.look()

    worker.notes.note_warmed_up()

    assert (worker.loads(), worker.loads()) == (["topics@2"], [])


def test_what_had_to_make_room_is_not_loaded_again_while_its_label_stays(worker):
    worker.loaded = {"topics@1"}
    worker.store.set_label("topics", "candidate", 2)
    first = worker.loads()
    worker.loaded = {"topics@1"}

    assert (first, worker.loads()) == (["topics@2"], [])

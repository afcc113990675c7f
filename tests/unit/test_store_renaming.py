"""A model's new name, a version that is about to go, and a name that goes free again."""

import os
import time
from pathlib import Path

import pytest

from seqd.errors import InvalidRequest, ModelNameTaken, UnknownModel, WrongState
from seqd.models.store import ModelStore
from store_builders import a_change, a_starter, publish, shape_of, train


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A store with `topics`: two versions, of which the second is in service and labelled."""
    store = ModelStore(tmp_path / "models", {"echo": a_starter(tmp_path / "starter")})
    for _ in range(2):
        publish(store, "topics", "echo")
    store.put_in_service("topics", a_change(1, 2, by="me@here"))
    store.set_label("topics", "best", 1)
    return store


def test_versions_labels_and_history_move_along(store: ModelStore):
    store.rename("topics", "subjects")

    assert store.models() == ["echo", "subjects"]
    assert store.labels("subjects") == {"production": 2, "best": 1, "latest": 2}
    assert shape_of(store, "subjects") == [(None, 1), (1, 2)]
    opened = store.open("subjects", 2).manifest
    assert (opened.model, opened.plugin, opened.version) == ("subjects", "echo", 2)
    assert [one.model for one in store.versions("subjects")] == ["subjects", "subjects"]
    assert store.plugin_of("subjects") == "echo"
    assert publish(store, "subjects", "echo") == 3
    with pytest.raises(UnknownModel, match="no model named 'topics'"):
        store.resolve("topics")


def test_no_other_model_gets_the_old_name(store: ModelStore):
    store.rename("topics", "subjects")
    publish(store, "moods", "echo")

    with pytest.raises(ModelNameTaken) as refused:
        publish(store, "topics", "echo")
    with pytest.raises(ModelNameTaken):
        store.rename("moods", "topics")

    assert str(refused.value) == (
        "model 'topics' is called 'subjects' now, and no other model gets its old name. Choose "
        "another name: --as NAME"
    )
    assert not store.has_folder("topics")


@pytest.mark.parametrize(
    ("name", "new_name", "error", "message"),
    [
        ("topics", "moods", ModelNameTaken, "there is a model 'moods': topics is not renamed"),
        ("topics", "echo", ModelNameTaken, "there is a model 'echo': topics is not renamed"),
        ("echo", "other", InvalidRequest, "echo is a plugin's own model, and keeps its name"),
        ("nobody", "other", UnknownModel, "no model named 'nobody'. Models here: echo, moods"),
        (
            "topics",
            "No Name",
            InvalidRequest,
            "'No Name' is not a model's name; allowed: up to 40 of a-z 0-9 _ with a letter in "
            "front",
        ),
    ],
)
def test_what_cannot_be_renamed_stays_and_says_why(
    store: ModelStore, name: str, new_name: str, error: type[Exception], message: str
):
    publish(store, "moods", "echo")

    with pytest.raises(error) as refused:
        store.rename(name, new_name)

    assert str(refused.value).startswith(message)
    assert store.models() == ["echo", "moods", "topics"]


def test_a_model_is_not_renamed_while_a_training_is_about_to_publish(store: ModelStore):
    train(store, "job-1")

    with pytest.raises(WrongState, match="training job-1 is about to publish a version of topics"):
        store.rename("topics", "subjects")

    store.finalize("topics", "job-1")
    store.rename("topics", "subjects")
    with pytest.raises(ModelNameTaken):
        store.begin_publish("topics", "job-2", "attempt-1")
    assert not store.has_folder("topics")


def test_a_mark_of_a_version_that_is_about_to_go_ends_by_itself(store: ModelStore):
    store.retire("topics", [1, 2])
    both = store.retiring("topics")
    store.keep("topics", [2])
    one = store.retiring("topics")
    mark = store.folder_of("topics") / ".retiring-1"
    os.utime(mark, (time.time() - 600, time.time() - 600))

    assert (both, one, store.retiring("topics")) == ({1, 2}, {1}, set())
    assert store.numbers("topics") == [1, 2]

"""A model that an earlier release has renamed, and a version that is about to go."""

import os
import time
from pathlib import Path

import pytest

from seqd.models.model_records import write_model_file
from seqd.models.store import ModelStore
from seqd_schemas import ModelFile
from store_builders import a_starter, publish


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A store with two versions of `topics`."""
    store = ModelStore(tmp_path / "models", {"echo": a_starter(tmp_path / "starter")})
    for _ in range(2):
        publish(store, "topics", "echo")
    return store


def test_versions_of_a_model_that_was_renamed_have_its_name(store: ModelStore):
    renamed = ModelFile(plugin="echo", former_names=("topics",))
    write_model_file(store.folder_of("topics"), renamed)
    store.folder_of("topics").rename(store.folder_of("subjects"))

    assert store.models() == ["echo", "subjects"]
    opened = store.open("subjects", 2).manifest
    assert (opened.model, opened.plugin, opened.version) == ("subjects", "echo", 2)
    assert [one.model for one in store.versions("subjects")] == ["subjects", "subjects"]
    assert publish(store, "subjects", "echo") == 3


def test_a_mark_of_a_version_that_is_about_to_go_ends_by_itself(store: ModelStore):
    store.retire("topics", [1, 2])
    both = store.retiring("topics")
    store.keep("topics", [2])
    one = store.retiring("topics")
    mark = store.folder_of("topics") / ".retiring-1"
    os.utime(mark, (time.time() - 600, time.time() - 600))

    assert (both, one, store.retiring("topics")) == ({1, 2}, {1}, set())
    assert store.numbers("topics") == [1, 2]

"""What a model was called before, whose it is, and a version of it that is about to go."""

import os
import shutil
import time

import pytest

from seqd.models.model_records import write_model_file
from seqd.models.store import ModelStore
from seqd_schemas import ModelFile, VersionOrigin
from store_builders import a_starter, publish


@pytest.fixture
def store(tmp_path):
    """A store with two versions of `topics`."""
    store = ModelStore(tmp_path / "models", {"echo": a_starter(tmp_path / "starter")})
    for _ in range(2):
        publish(store, "topics", "echo")
    return store


def test_versions_of_a_model_that_was_renamed_have_its_name(store):
    renamed = ModelFile(plugin="echo", former_names=("topics",))
    write_model_file(store.folder_of("topics"), renamed)
    store.folder_of("topics").rename(store.folder_of("subjects"))

    assert store.models() == ["echo", "subjects"]
    opened = store.open("subjects", 2).manifest
    assert (opened.model, opened.plugin, opened.version) == ("subjects", "echo", 2)
    assert [one.model for one in store.versions("subjects")] == ["subjects", "subjects"]
    assert publish(store, "subjects", "echo") == 3


def test_a_model_is_the_tenants_whose_training_made_it_while_it_has_versions(store):
    for model, plugin, tenant in (
        ("theirs", "echo", "acme"), ("theirs", "echo", "other"), ("theirs", "echo", None),
        ("topics", "echo", "acme"), ("echo", "echo", "acme"),
    ):  # fmt: skip
        publish(store, model, plugin, origin=VersionOrigin(tenant=tenant))
    owners = {name: store.owner_of(name) for name in ("theirs", "topics", "echo")}

    for version in store.numbers("theirs"):
        shutil.rmtree(store.folder_of("theirs") / str(version))
    publish(store, "theirs", "echo", origin=VersionOrigin(tenant="other"))

    assert owners == {"theirs": "acme", "topics": None, "echo": None}
    assert store.owner_of("theirs") == "other"


def test_a_mark_of_a_version_that_is_about_to_go_ends_by_itself(store):
    store.retire("topics", [1, 2])
    both = store.retiring("topics")
    store.keep("topics", [2])
    one = store.retiring("topics")
    mark = store.folder_of("topics") / ".retiring-1"
    os.utime(mark, (time.time() - 600, time.time() - 600))

    assert (both, one, store.retiring("topics")) == ({1, 2}, {1}, set())
    assert store.numbers("topics") == [1, 2]

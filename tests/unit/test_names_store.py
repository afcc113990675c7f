"""A model has a name of its own, and is made with one plugin's model for ever: `model.json`."""

import json
import logging

import pytest

from seqd.errors import ArtifactDamaged
from seqd.models.store import ModelStore
from store_builders import manifests_of, publish

PLUGINS = ("echo", "lstm")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def store(root):
    return ModelStore(root, {})


def test_the_first_version_writes_down_what_the_model_is_made_with_and_no_later_one_does(
    store, root
):
    publish(store, "topics", "echo")
    publish(store, "moods", "lstm")
    publish(store, "echo")
    written = (root / "topics" / "model.json").stat()

    publish(store, "topics", "echo")

    assert json.loads((root / "topics" / "model.json").read_text()) == {"plugin": "echo"}
    now = (root / "topics" / "model.json").stat()
    assert (now.st_ino, now.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    assert [(m.model, m.plugin) for m in manifests_of(store, "topics")] == [("topics", "echo")] * 2
    assert [manifest.plugin for manifest in manifests_of(store, "echo")] == [None]
    assert store.made_with(["echo"]) == {"echo": "echo", "topics": "echo"}
    made_with = {"echo": "echo", "lstm": "lstm", "moods": "lstm", "topics": "echo"}
    assert store.made_with(PLUGINS) == made_with
    names = ("topics", "moods", "gone")
    assert [store.plugin_of(name) for name in names] == ["echo", "lstm", "gone"]


#: What is not a `model.json`, and how its reader says so.
DAMAGED = {
    "": "the whole: Invalid JSON: EOF while parsing a value at line 1 column 0",
    "{}": "plugin: Field required",
    '{"plugin": "Ec ho"}': "plugin: String should match pattern '^[a-z][a-z0-9_]{0,39}$'",
}


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_model_file_hides_its_model_and_no_other(store, root, content, caplog):
    publish(store, "topics", "echo")
    publish(store, "moods", "echo")
    (root / "topics" / "model.json").write_text(content)
    store = ModelStore(root, {})  # which has not read it before

    with caplog.at_level(logging.WARNING):
        found = store.made_with(PLUGINS)
    with pytest.raises(ArtifactDamaged) as raised:
        store.plugin_of("topics")
    with pytest.raises(ArtifactDamaged):
        publish(store, "topics", "echo")

    assert store.numbers("topics") == [1]
    assert found == {"echo": "echo", "lstm": "lstm", "moods": "echo"}
    path = root / "topics" / "model.json"
    told = f"{path} does not say what the model is made with: {DAMAGED[content]}. Mend it"
    assert str(raised.value) == told
    assert [record.message for record in caplog.records] == [f"model topics left out: {told}"]
    path.write_text('{"plugin": "lstm"}')
    assert store.plugin_of("topics") == "lstm"


def test_a_link_in_the_place_of_a_model_file_is_damage(store, root, tmp_path):
    publish(store, "topics", "echo")
    path = root / "topics" / "model.json"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ArtifactDamaged, match=r"model\.json cannot be read: "):
        store.plugin_of("topics")

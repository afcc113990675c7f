"""What the store says it has written is on the disk: files before names, names before the answer.

A power cut cannot be had in a test. What can be seen is the order in which the system is asked: a
file that is renamed before it is synced may be empty afterwards, under its final name.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seqd.models.checkpoints import ARRAYS_FILE, STATE_FILE, CheckpointFolder, encode
from seqd.models.disk import write_atomically
from seqd.models.store import ModelStore
from store_builders import a_version_draft, publish

Steps = list[tuple[str, Path]]


@pytest.fixture
def steps(monkeypatch):
    """What the system is asked to do from here on: `sync` a path, or `name` one by a rename."""
    asked: Steps = []

    def fsync(descriptor: int) -> None:
        asked.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}"))))
        _fsync(descriptor)

    def naming(rename: Callable[..., object]) -> Callable[..., object]:
        def named(source: object, target: object, **options: object) -> object:
            asked.append(("name", Path(str(target))))
            return rename(source, target, **options)

        return named

    _fsync = os.fsync
    monkeypatch.setattr(os, "fsync", fsync)
    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, naming(getattr(os, name)))
    return asked


def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_before_the_answer(
    tmp_path, steps
):
    path = tmp_path / "labels.json"

    write_atomically(path, b"{}")

    (sync, draft), *named = steps
    assert (sync, draft.parent) == ("sync", tmp_path)
    assert draft.name.startswith(".labels.json.")
    assert named == [("name", path), ("sync", tmp_path)]


def test_a_version_is_on_the_disk_before_it_is_in_the_store(tmp_path, steps):
    store = ModelStore(tmp_path, {})
    folder = store.new_folder("lstm", "job")
    for name in ("a.json", "b.json"):
        (folder / name).write_text("{}")

    store.publish(folder, a_version_draft("lstm"))

    version = tmp_path / "lstm" / "1"
    moved = steps.index(("name", version))
    before, after = steps[:moved], steps[moved + 1 :]
    assert {("sync", folder / name) for name in ("a.json", "b.json")} <= set(before)
    assert before[-1] == ("sync", folder)
    assert ("name", folder / "manifest.json") in before
    assert after[0] == ("sync", version.parent)


def test_a_label_is_on_the_disk_when_it_is_set(tmp_path, steps):
    store = ModelStore(tmp_path, {})
    publish(store, "lstm")
    steps.clear()

    store.set_label("lstm", "stable", 1)

    labels = tmp_path / "lstm" / "labels.json"
    assert [step for step, _ in steps] == ["sync", "name", "sync"]
    assert steps[1:] == [("name", labels), ("sync", labels.parent)]


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path, steps):
    folder = CheckpointFolder(tmp_path, "job")

    folder.write("1", encode({"step": np.array(7)}, {"epoch": 1}, "d" * 64, ()))

    *written, (step, path), last = steps
    assert (step, path.name) == ("name", "1")
    assert [path.name for _, path in written[:-1]] == [STATE_FILE, ARRAYS_FILE]
    assert {step for step, _ in written} == {"sync"}
    assert written[-1][1] == written[0][1].parent
    assert last == ("sync", path.parent)

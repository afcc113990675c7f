"""Clauses D1, S1 and A1 for train, on every model that can be trained."""

import os
import sys
from pathlib import Path

import pytest

from conformance.conftest import small_parameters, tiny_data, train
from seqd.errors import Stopped
from seqd.testing import MemoryTrainContext, train_to_artifact

pytestmark = pytest.mark.network

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.chmod"}


class WriteWatch:
    """Notes every path that Python code writes to while it is switched on.

    An audit hook cannot be taken away again, so there is one, which is quiet when off. Cannot
    see what a C library opens by itself.
    """

    def __init__(self) -> None:
        self.is_on = False
        self.paths: list[Path] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.is_on:
            return
        writes = event in CHANGES or (event == "open" and bool(arguments[2] & WRITING))
        if writes and isinstance(arguments[0], str | os.PathLike):
            self.paths.append(Path(arguments[0]).absolute())

    def __enter__(self):
        self.paths = []
        self.is_on = True
        return self

    def __exit__(self, *_: object) -> None:
        self.is_on = False


@pytest.fixture(scope="session")
def write_watch():
    return WriteWatch()


def test_d1_two_trainings_of_one_seed_make_the_same_files(trainable, tmp_path):
    parameters = small_parameters(trainable, "train")

    first = train_to_artifact(trainable, parameters, tiny_data(), tmp_path / "first")
    second = train_to_artifact(trainable, parameters, tiny_data(), tmp_path / "second")

    assert first.manifest.files == second.manifest.files
    assert first.manifest.metrics == second.manifest.metrics


def test_s1_a_training_that_is_asked_to_stop_raises_stopped_within_a_step(trainable, tmp_path):
    undisturbed = train(trainable, tmp_path / "undisturbed")
    half = undisturbed.stop_questions // 2
    context = MemoryTrainContext(tmp_path / "stopped", tiny_data(), stop_after=half)

    with pytest.raises(Stopped):
        trainable.train(small_parameters(trainable, "train"), context)

    assert undisturbed.stop_questions >= 1
    assert context.stop_questions <= half + 2
    assert len(context.steps) <= len(undisturbed.steps)


def test_a1_a_training_writes_only_into_its_two_folders(
    trainable, tmp_path, write_watch, monkeypatch
):
    train(trainable, tmp_path / "warm")  # the first import of Keras writes its own settings
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    with write_watch:
        context = train(trainable, tmp_path / "watched")

    homes = (context.folder, context.checkpoints)
    made = [path for path in write_watch.paths if "__pycache__" not in path.parts]
    strays = [
        path
        for path in made
        if path != Path(os.devnull)
        and not any(path.is_relative_to(home) for home in homes)
        and path != context.folder.parent  # made by the test's own context
    ]
    assert any(path.is_relative_to(context.folder) for path in made)
    assert not strays
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a1_a_training_leaves_only_files_that_a_store_takes(trainable, tmp_path):
    context = train(trainable, tmp_path)

    suffixes = {path.suffix for path in context.folder.rglob("*") if path.is_file()}
    assert suffixes
    assert suffixes <= {".safetensors", ".json"}

"""The versions that ship with plugins: made whole or not at all, small, and worth it."""

import importlib.util
import shutil
import sys

import pytest

from decorated_builders import model_of
from seqd.errors import InvalidData, InvalidParameters
from seqd.inputs.datasets import FileDataset
from seqd.models.made_elsewhere import read_weights
from seqd.models.registry import Registry
from seqd.models.version_files import open_folder
from seqd.settings import Settings
from seqd.starters import make_starter, take_starter
from seqd_schemas import FileSource

PLUGIN = """
from seqd.plugin import model
from seqd_markov import Markov
from seqd_markov.parameters import PRESETS

@model("poet", summary="Writes.", presets=PRESETS, starter="starter_of_poet")
class Poet(Markov):
    pass
"""


@pytest.fixture
def poet(tmp_path, monkeypatch):
    """A model whose plugin is a file of its own."""
    path = tmp_path / "plugin" / "seqd_poet.py"
    path.parent.mkdir()
    path.write_text(PLUGIN)
    spec = importlib.util.spec_from_file_location("seqd_poet", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "seqd_poet", module)
    spec.loader.exec_module(module)
    return model_of(module.Poet)


def a_text(folder, content):
    (folder / "text.txt").write_text(content)
    return FileDataset(FileSource(path=str(folder / "text.txt")))


def test_a_starter_is_put_into_the_models_folder_beside_its_code(tmp_path, poet):
    folder = make_starter(poet, "1.0", "tutorial", a_text(tmp_path, "abab a."), None)

    assert folder == tmp_path / "plugin" / "starter_of_poet"
    assert open_folder(folder, "poet", 0).manifest.preset == "tutorial"


def test_a_preset_that_the_model_has_not_is_refused_with_those_that_it_has(tmp_path, poet):
    with pytest.raises(InvalidParameters) as refused:
        make_starter(poet, "1.0", "tutrial", a_text(tmp_path, "abab a."), None)

    assert str(refused.value) == (
        "model 'poet' has no preset named 'tutrial'. Its presets: best, fast, tutorial. Did you "
        "mean 'tutorial'? Give --preset."
    )


def test_a_starter_that_cannot_be_made_leaves_the_one_that_was_there(tmp_path, poet):
    folder = make_starter(poet, "1.0", "tutorial", a_text(tmp_path, "abab a."), None)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    with pytest.raises(InvalidData):
        make_starter(poet, "1.0", "tutorial", a_text(tmp_path, "aaa"), None)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(p.name for p in folder.parent.iterdir() if p.name != "__pycache__") == [
        "seqd_poet.py",
        "starter_of_poet",
    ]


def test_two_that_make_one_starter_at_once_do_not_mix_their_files(tmp_path, poet):
    weights = tmp_path / "weights"
    shutil.copytree(
        make_starter(poet, "1.0", "tutorial", a_text(tmp_path, "abab a."), None), weights
    )
    seen = []

    def meanwhile(artifact):
        take_starter(poet, "2.0", read_weights(weights))
        seen.extend(path.name for path in artifact.folder.iterdir())

    folder = take_starter(poet, "3.0", read_weights(weights), check=meanwhile)

    assert seen
    assert open_folder(folder, "poet", 0).manifest.plugin_version == "3.0"
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_all_starters_together_take_less_than_15_megabytes():
    starters = [model.starter for model in Registry.load(Settings()).models.values()]
    sizes = [
        path.stat().st_size
        for folder in starters
        if folder is not None
        for path in folder.iterdir()
    ]

    assert sum(folder is not None for folder in starters) >= 4
    assert sum(sizes) < 15_000_000

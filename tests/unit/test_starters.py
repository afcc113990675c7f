"""Making the version that ships with a plugin: beside its code, whole or not at all."""

import importlib.util
import sys

import pytest

from seqd.errors import InvalidData
from seqd.inputs import FileDataset
from seqd.starters import make_starter
from seqd.store import open_folder
from seqd_schemas import FileSource

PLUGIN = """
from seqd_markov import Markov

class Poet(Markov):
    name = "poet"
    starter_name = "starter_of_poet"
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
    return module.Poet()


def a_text(folder, content):
    (folder / "text.txt").write_text(content)
    return FileDataset(FileSource(path=str(folder / "text.txt")))


def test_a_starter_is_put_into_the_models_folder_beside_its_code(tmp_path, poet):
    folder = make_starter(poet, "1.0", "tutorial", a_text(tmp_path, "abab a."), None)

    assert folder == tmp_path / "plugin" / "starter_of_poet"
    assert open_folder(folder, "poet", 0).manifest.preset == "tutorial"


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

"""`python -m seqd.starters`: a starter in a source folder, of finished weights or of a version."""

import json
import sys
from pathlib import Path

import pytest

from checkout import python_path
from seqd import starters
from seqd.models.store import ModelStore
from seqd.models.version_files import open_folder
from seqd.settings import load_settings
from store_builders import files_of, publish

WEIGHTS_PLUGIN = Path(__file__).parents[1] / "weights_plugin"


@pytest.fixture(autouse=True)
def _project(own_environment, tmp_path, monkeypatch):
    """A source folder, weights, and the plugin `weights`, installed beside them."""
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SEQD_ENABLED_PLUGINS", "weights")
    monkeypatch.setenv("PYTHONPATH", python_path(WEIGHTS_PLUGIN))
    monkeypatch.syspath_prepend(str(WEIGHTS_PLUGIN))
    monkeypatch.chdir(tmp_path)
    Path("src").mkdir()
    Path("made").mkdir()
    Path("made/words.json").write_text('{"cat": "animal"}')


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["starters", *arguments])
    return starters.main()


def test_a_version_of_the_store_becomes_the_starter_with_its_figures(monkeypatch):
    store = ModelStore(load_settings().store_dir, {})
    publish(store, "topics", "words", metrics={"loss": 0.5}, plugin_version="0.1")

    folder = str(store.folder_of("topics") / "1")
    status = run(monkeypatch, "words", "--from", folder, "--out", "src/starter", "--no-load")

    assert status == 0
    manifest = open_folder(Path("src/starter"), "words", 0).manifest
    assert (manifest.metrics, manifest.plugin, manifest.plugin_version) == (
        {"loss": 0.5},
        None,
        "1.0",
    )
    assert manifest.origin is not None and manifest.origin.imported_from == "topics@1"


def test_weights_that_the_plugin_cannot_load_leave_the_starter_that_was_there(monkeypatch, capsys):
    run(monkeypatch, "words", "--from", "made", "--out", "src/starter", "--no-load")
    before = files_of(Path("src"))
    Path("made/words.json").write_text(json.dumps({"trick": "raise"}))

    status = run(monkeypatch, "words", "--from", "made", "--out", "src/starter")

    assert status == 1
    assert "error[plugin_fault]: words cannot load these files: " in capsys.readouterr().err
    assert files_of(Path("src")) == before
    assert [path.name for path in Path("src").iterdir()] == ["starter"]


def test_a_folder_of_another_name_than_the_plugin_looks_for_is_told(monkeypatch, capsys):
    assert run(monkeypatch, "words", "--from", "made", "--out", "src/first", "--no-load") == 0

    assert capsys.readouterr().err == (
        "warning: the model looks for its starter in a folder 'starter' beside its module, by "
        "Model.starter_name\n"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("words", "--data", "made/words.json"),
            "invalid_request]: model 'words' has no task train: nothing is learnt from --data. "
            "Give its weights with --from FOLDER\n",
        ),
        (
            ("words", "--from", "made", "--out", "made"),
            "invalid_request]: made is there and is no version's folder, which would be replaced "
            "as a whole. Remove it, or name another one: --out FOLDER\n",
        ),
        (
            ("words", "--from", "made", "--out", "lib/seqd_words/starter"),
            "invalid_request]: lib/seqd_words/starter cannot be written: No such file or "
            "directory. Make the folder that it is in, or name another one: --out FOLDER\n",
        ),
        (
            ("words", "--from", "nowhere", "--out", "src/starter"),
            "invalid_input]: there is no folder nowhere\n",
        ),
        (
            ("wrods", "--from", "made", "--out", "src/starter"),
            "unknown_model]: no model named 'wrods'. ",
        ),
    ],
)
def test_what_makes_no_starter_is_refused_and_writes_nothing(monkeypatch, capsys, arguments, told):
    before = files_of(Path())

    status = run(monkeypatch, *arguments)

    assert status == 2
    assert capsys.readouterr().err.startswith(f"error[{told}")
    assert files_of(Path()) == before


def test_nothing_is_written_beside_installed_code(monkeypatch, capsys, tmp_path):
    installed = tmp_path / "lib" / "site-packages"
    installed.mkdir(parents=True)
    source = (WEIGHTS_PLUGIN / "seqd_weights.py").read_text()
    (installed / "seqd_weights.py").write_text(source)
    (installed / "seqd_weights-1.0.dist-info").symlink_to(
        WEIGHTS_PLUGIN / "seqd_weights-1.0.dist-info"
    )
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.delitem(sys.modules, "seqd_weights", raising=False)

    refused = run(monkeypatch, "words", "--from", "made")
    told = capsys.readouterr().err
    written = run(monkeypatch, "words", "--from", "made", "--no-load", "--out", "src/starter")
    monkeypatch.delitem(sys.modules, "seqd_weights")

    assert (refused, written) == (2, 0)
    assert told == (
        f"error[invalid_request]: the plugin of 'words' is installed, in {installed}: what is "
        "written there is gone with its next installation. Name a folder of its source: --out "
        "src/seqd_weights/starter\n"
    )

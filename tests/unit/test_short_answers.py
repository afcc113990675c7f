"""The authors' page of short answers: each of its models is taken, and its own tests pass."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import python_path
from readme_blocks import ROOT, blocks_of

HOW_TO = ROOT / "plugins" / "how-to.md"

#: Checks each model that the modules of a folder have decorated, and prints its name.
CHECK = """
import sys
from importlib import import_module
from seqd.models.descriptions import check_model
from seqd.plugin.marks import decorated_models
for name in sys.argv[1:]:
    for model in decorated_models(import_module(name)):
        check_model(model)
        print(model.name)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the page."""
    for block in blocks_of(HOW_TO, "python"):
        (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    return tmp_path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": python_path(folder)}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_each_model_of_the_page_is_taken(folder: Path):
    modules = [path.stem for path in folder.glob("seqd_*.py")]

    ended = run(folder, "-c", CHECK, *modules)

    assert ended.returncode == 0, ended.stderr
    assert sorted(ended.stdout.split()) == [
        "claimed",
        "counter",
        "dice",
        "mood_keras",
        "mood_onnx",
        "mood_torch",
        "pairs",
        "parameters",
        "reporting",
        "vowels",
    ]


@pytest.mark.slow
def test_the_pages_own_tests_pass(folder: Path):
    ended = run(folder, "-m", "pytest", "-q", *(path.name for path in folder.glob("test_*.py")))

    assert ended.returncode == 0, ended.stdout
    assert " passed" in ended.stdout

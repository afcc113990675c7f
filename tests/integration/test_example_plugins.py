"""The examples of plugins, installed by pip: their own tests pass, and seqd finds them.

What their pages show, `guides` runs. One whose library is not installed is skipped.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import ROOT, python_path
from example_plugin import EXAMPLES, OTHER_EXAMPLES, runnable_examples

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]


def run(folder: Path, site: Path, *arguments: str) -> str:
    """Run a module of Python where an example is installed; return what it prints."""
    environment = os.environ | {"PYTHONPATH": python_path(site), "TERM": "dumb", "COLUMNS": "80"}
    ended = subprocess.run(
        [sys.executable, "-P", "-m", *arguments],
        cwd=folder,
        env=environment | {"SEQD_DATA_DIR": str(folder / "data")},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


#: Of `make test-all` is one with tasks of its own; `tests/conformance` checks all.
EXAMPLE_NAMES = [
    pytest.param(name, marks=[] if name == "embed" else pytest.mark.long)
    for name in ("embed", *sorted(OTHER_EXAMPLES))
]


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_its_own_tests_pass_where_it_is_installed_by_pip(name: str, tmp_path: Path):
    if name not in ("embed", *runnable_examples()):
        pytest.skip(f"{OTHER_EXAMPLES[name]} is not installed: pip install {OTHER_EXAMPLES[name]}")
    source, site = tmp_path / "source", tmp_path / "site"
    shutil.copytree(EXAMPLES / f"seqd_{name}", source)
    quiet = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")
    run(tmp_path, site, "pip", "install", *quiet, "--no-build-isolation", "--target", str(site),
        str(source))  # fmt: skip

    run(source, site, "pytest", "-q", "-p", "no:cacheprovider")
    listed = run(source, site, "seqd", "plugins", "list")

    starter = site / f"seqd_{name}" / "starter" / "weights.safetensors"
    assert starter.is_file() == (name == "embed")
    assert re.search(rf"\b{name}\b.*ready", listed)


def test_the_wheel_of_seqd_has_no_example():
    from setuptools import find_packages  # here, so that collecting is quick

    assert [name for name in find_packages(str(ROOT / "plugins")) if "embed" in name] == []

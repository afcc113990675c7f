"""How long tests take is kept from run to run, and those that have become slow are named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import ROOT, python_path
from durations import RECORD, slower_tests

SUITE = {
    "test_one.py": "def test_first(): ...\ndef test_second(): ...\n",
    "test_other.py": "def test_third(): assert True\ndef test_broken(): assert False\n",
    # Each test seems to take that many seconds.
    "conftest.py": """
import os, pytest
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    report.duration = float(os.environ["SECONDS"]) if report.when == "call" else 0.0
""",
}


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    for name, text in SUITE.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(suite: Path, *options: str, seconds: float) -> str:
    """Run a suite whose tests seem to take some seconds; return what is printed."""
    plugins = ("-p", "durations", "-p", "xdist")
    own = {
        "PYTHONPATH": python_path(ROOT / "tests"),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "SECONDS": str(seconds),
    }
    return subprocess.run(
        [sys.executable, "-P", "-m", "pytest", *plugins, *options],
        cwd=suite, env=os.environ | own, capture_output=True, text=True, timeout=120, check=False,
    ).stdout  # fmt: skip


def test_a_test_that_has_become_three_times_as_slow_is_named_and_what_did_not_pass_is_not_kept(
    suite: Path,
) -> None:
    first = run(suite, seconds=4)
    second = run(suite, "-n", "1", "--deselect", "test_one.py::test_second", seconds=13)

    assert "slower" not in first
    assert "\n13.0 s, and 4.0 s before: test_one.py::test_first\n" in second
    assert second.count("s before: ") == 2
    assert "\n26.0 s test_o" in second
    assert json.loads((suite / ".pytest_cache" / "v" / RECORD).read_text()) == {
        "test_one.py::test_first": 13,
        "test_one.py::test_second": 4,
        "test_other.py::test_third": 13,
    }


@pytest.mark.parametrize(
    ("before_s", "now_s", "is_named"),
    [(0.1, 5.0, False), (0.1, 5.2, True), (10.0, 30.0, False), (10.0, 30.1, True)],
)
def test_noise_is_not_named(before_s: float, now_s: float, is_named: bool) -> None:
    assert bool(slower_tests({"test": before_s}, {"test": now_s, "new": 99.0})) is is_named

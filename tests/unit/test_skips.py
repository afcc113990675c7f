"""In CI a test that is skipped fails, unless a list lets it; at a desk it does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import ROOT, python_path
from skips import ALLOWED, VARIABLE, read_allowed

LISTED = read_allowed(ALLOWED)[0]

#: Files of tests, the last of them where tests may be skipped for a reason that is listed.
SUITE = {
    "test_lacking.py": """
import os, pytest
def test_there_is_a_compiler(): pytest.skip("apt-get install gcc")
@pytest.mark.skipif(True, reason="pip install onnx")
def test_there_is_a_package(): ...
@pytest.mark.xfail
def test_it_is_known_to_fail(): assert False
def test_nothing_that_is_started_sees_the_variable(): assert "SEQD_CI" not in os.environ
""",
    "test_whole.py": "import pytest\npytest.importorskip('no_such_package')\n",
    f"{LISTED.tests}test_it.py": f"""
import pytest
def test_this_may_be_skipped(): pytest.skip({LISTED.reason!r} ", here")
def test_this_may_not(): pytest.skip("it rains")
""",
}


def run(folder: Path, *options: str, in_ci: bool) -> str:
    """Run the suite; return what is printed."""
    for name, text in SUITE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    own = {"PYTHONPATH": python_path(ROOT / "tests"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    plugins = ("-p", "skips", "-p", "xdist", "-ra", "--continue-on-collection-errors")
    return subprocess.run(
        [sys.executable, "-P", "-m", "pytest", *plugins, *options, "--rootdir", str(folder)],
        cwd=folder, env=os.environ | own | ({VARIABLE: "1"} if in_ci else {}),
        capture_output=True, text=True, timeout=120, check=False,
    ).stdout  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="one process"),
        pytest.param(("-n", "2"), id="several", marks=pytest.mark.slow),
    ],
)
def test_a_skip_that_is_not_listed_fails_and_its_reason_and_the_way_out_are_told(tmp_path, options):
    printed = run(tmp_path, *options, in_ci=True)

    for test, reason in (
        ("test_lacking.py::test_there_is_a_compiler", "apt-get install gcc"),
        ("test_lacking.py::test_there_is_a_package", "pip install onnx"),
        (f"{LISTED.tests}test_it.py::test_this_may_not", "it rains"),
        ("test_whole.py", "could not import 'no_such_package': No module named 'no_such_package'"),
    ):
        assert (
            f"{test} was skipped, which SEQD_CI=1 does not allow: {reason}\n"
            "Install what is missing, in .ci/run too, or list the skip in "
            "tests/allowed_skips.toml.\n"
        ) in printed
    assert "2 failed, 1 passed, 1 skipped, 1 xfailed, 2 errors in " in printed


def test_at_a_desk_a_skip_stays_a_skip(tmp_path):
    printed = run(tmp_path, in_ci=False)

    assert "1 passed, 5 skipped, 1 xfailed in " in printed


def test_the_list_names_tests_that_there_are():
    for one in read_allowed(ALLOWED):
        file, _, test = one.tests.partition("::")
        assert (ROOT / file).exists(), one
        assert not test or f"def {test}" in (ROOT / file).read_text(), one

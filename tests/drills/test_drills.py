"""Each drill once, as a program: `make test-all` has the shortest, `make test-long` all of them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from checkout import ROOT, python_path
from cli_builders import clean_environment
from clock_fixtures import find_library
from drills.drills import DRILLS
from drills.network import why_not

pytestmark = [pytest.mark.slow, pytest.mark.processes, pytest.mark.timeout(600)]

SHORT = "cut-off-10s-in-a-job"


@contextmanager
def started(name: str, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Start a drill whose temporary folder is made in `folder`."""
    if (why := why_not()) is not None:
        pytest.skip(why)
    program = subprocess.Popen(
        [sys.executable, "-P", "-m", "drills", name],
        env=clean_environment(PYTHONPATH=python_path(ROOT / "tests"), TMPDIR=str(folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == SHORT else pytest.mark.long) for name in DRILLS],
)
def test_nothing_is_lost_or_doubled_and_users_are_told_the_cause(name: str, tmp_path: Path) -> None:
    if name == "wrong-clock" and find_library() is None:
        pytest.skip("libfaketime is not installed here: apt-get install faketime")
    with started(name, tmp_path) as program:
        out, err = program.communicate()

    print(out)
    assert program.returncode == 0, err
    assert f"| {name} | 1 | 0 | 0 |" in out
    assert list(tmp_path.iterdir()) == []

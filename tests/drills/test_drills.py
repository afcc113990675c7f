"""Each drill once, as a program: `make test-all` has the shortest, `make test-long` all of them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from checkout import ROOT, python_path
from cli_builders import clean_environment
from clock_fixtures import find_library
from drills.drills import DRILLS
from drills.network import why_not
from worker_fixtures import READY_S, wait_until

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


def test_a_drill_that_is_killed_leaves_no_process_and_so_no_network(tmp_path: Path) -> None:
    with started(SHORT, tmp_path) as program:
        tree = psutil.Process(program.pid)
        wait_until(
            lambda: any("worker" in one.cmdline() for one in below(tree)), "a worker is up", READY_S
        )
        left = below(tree)

        program.kill()

        wait_until(lambda: not any(lives(one) for one in left), "all have ended")


def below(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes that it has started, and those that these have."""
    return [one for one in process.children(recursive=True) if lives(one)]


def lives(process: psutil.Process) -> bool:
    """Return True until a process has ended."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

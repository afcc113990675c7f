"""Compiled kernels on disk: who compiles, and when again. Each process here is one of a worker."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from checkout import python_path

#: A kernel that calls one of another file.
INNER = """
from seqd_modelkit.lstm_cell import compiled

@compiled
def added(x):
    return x + 1.0
"""
OUTER = """
from grain.inner import added
from seqd_modelkit.lstm_cell import compiled

def _run(x):
    return added(x)

run = compiled(_run, called_from_python=True)
"""

#: Prints what the kernel gives for 1, and whether this process has compiled it.
PROGRAM = """
from grain.outer import run
print(run(1.0), sum(run.stats.cache_misses.values()), flush=True)
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "sources" / "grain"
    folder.mkdir(parents=True)
    for name, source in (("__init__", ""), ("inner", INNER), ("outer", OUTER)):
        (folder / f"{name}.py").write_text(source)
    return folder


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kernels"


def environment_of(package: Path, kept: Path | None) -> Mapping[str, str]:
    found = {**os.environ, "PYTHONPATH": python_path(package.parent), "NUMBA_CACHE_DIR": ""}
    return found if kept is None else found | {"NUMBA_CACHE_DIR": str(kept)}


def start(package: Path, kept: Path | None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM],
        env=environment_of(package, kept),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ends_of(*processes: "subprocess.Popen[str]") -> tuple[Sequence[str], str]:
    """Return what each printed, and all that they logged."""
    printed, logged = [], ""
    for process in processes:
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        printed.append(out.strip())
        logged += err
    return printed, logged


def run(package: Path, kept: Path | None) -> str:
    (printed,), logged = ends_of(start(package, kept))
    assert not logged
    return printed


def test_the_second_process_compiles_nothing(package: Path, kept: Path):
    first = run(package, kept)

    second = run(package, kept)

    assert (first, second) == ("2.0 1", "2.0 0")
    assert [path.name.rpartition("-")[0] for path in kept.iterdir()] == ["grain"]
    assert not list(package.rglob("*.nb?")), "nothing beside the sources"


def test_of_two_processes_that_start_together_one_compiles(package: Path, kept: Path):
    printed, logged = ends_of(start(package, kept), start(package, kept))

    assert sorted(printed) == ["2.0 0", "2.0 1"]
    assert not logged


def test_a_kernel_is_compiled_again_when_one_has_changed_that_it_calls(package: Path, kept: Path):
    run(package, kept)

    (package / "inner.py").write_text(INNER.replace("1.0", "2.0"))

    assert run(package, kept) == "3.0 1"


def test_without_a_folder_each_process_compiles(package: Path):
    assert [run(package, None) for _ in range(2)] == ["2.0 1", "2.0 1"]


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_a_kernel_that_a_power_failure_cut_short_is_compiled_again(
    package: Path, kept: Path, ending: str
):
    run(package, kept)
    (cut,) = kept.rglob(f"*.{ending}")
    cut.write_bytes(cut.read_bytes()[:100])

    (printed,), logged = ends_of(start(package, kept))

    assert printed == "2.0 1"
    assert logged.startswith("kept kernel is damaged, and compiled again: ")
    assert run(package, kept) == "2.0 0"


def test_a_folder_that_cannot_be_written_is_said_once(package: Path, kept: Path):
    kept.write_text("a file in its place")

    (printed,), logged = ends_of(start(package, kept))

    assert printed == "2.0 1"
    assert logged.count("compiled kernels are not kept, so each start compiles them: ") == 1


def test_folders_of_sources_that_are_no_more_are_removed(package: Path, kept: Path):
    for number in range(12):
        old = kept / f"grain-{number:016x}"
        old.mkdir(parents=True)
        os.utime(old, (number, number))
    (kept / "somebody-elses").mkdir()

    run(package, kept)

    left = sorted(path.name for path in kept.glob("grain-*"))
    assert len(left) == 8
    assert left[:7] == [f"grain-{number:016x}" for number in range(5, 12)] or left[0] > "grain-0"
    assert (kept / "somebody-elses").is_dir()

"""Compiled kernels on disk: who compiles, and when again. Each process here is one of a worker."""

import os
import shutil
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


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources") / "grain"
    folder.mkdir()
    for name, source in (("__init__", ""), ("inner", INNER), ("outer", OUTER)):
        (folder / f"{name}.py").write_text(source)
    return folder


@pytest.fixture(scope="module")
def filled(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes that started together have kept, beside what was there before."""
    kept = tmp_path_factory.mktemp("filled")
    for number in range(12):
        old = kept / f"grain-{number:016x}"
        old.mkdir()
        os.utime(old, (number, number))
    (kept / "somebody-elses").mkdir()
    printed, logged = ends_of(start(package, kept), start(package, kept))
    assert sorted(printed) == ["2.0 0", "2.0 1"]
    assert not logged
    return kept


@pytest.fixture
def kept(filled: Path, tmp_path: Path) -> Path:
    """A copy of what they have kept."""
    return shutil.copytree(filled, tmp_path / "kernels")


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
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        printed.append(out.strip())
        logged += err
    return printed, logged


def run(package: Path, kept: Path | None) -> str:
    (printed,), logged = ends_of(start(package, kept))
    assert not logged
    return printed


def test_folders_of_sources_that_are_no_more_are_removed(filled: Path):
    left = sorted(path.name for path in filled.glob("grain-*"))
    assert len(left) == 8
    assert left[:7] == [f"grain-{number:016x}" for number in range(5, 12)] or left[0] > "grain-0"
    assert (filled / "somebody-elses").is_dir()


def test_of_two_processes_that_start_together_one_compiles_and_later_ones_nothing(
    package: Path, kept: Path
):
    assert run(package, kept) == "2.0 0"
    assert not list(package.rglob("*.nb?")), "nothing beside the sources"


def test_a_kernel_is_compiled_again_when_one_has_changed_that_it_calls(package: Path, kept: Path):
    inner = package / "inner.py"

    inner.write_text(INNER.replace("1.0", "2.0"))
    changed = run(package, kept)
    inner.write_text(INNER)

    assert changed == "3.0 1"


@pytest.mark.slow
def test_without_a_folder_each_process_compiles(package: Path):
    assert [run(package, None) for _ in range(2)] == ["2.0 1", "2.0 1"]


@pytest.mark.slow
def test_a_kernel_that_a_power_failure_cut_short_is_compiled_again_and_kept(
    package: Path, kept: Path
):
    for ending in ("nbi", "nbc"):
        (cut,) = kept.rglob(f"*.{ending}")
        cut.write_bytes(cut.read_bytes()[:100])

        (printed,), logged = ends_of(start(package, kept))

        assert printed == "2.0 1", ending
        assert logged.startswith("kept kernel is damaged, and compiled again: "), ending
    assert run(package, kept) == "2.0 0"


def test_a_folder_that_cannot_be_written_is_said_once(package: Path, tmp_path: Path):
    in_its_place = tmp_path / "file"
    in_its_place.touch()

    (printed,), logged = ends_of(start(package, in_its_place))

    assert printed == "2.0 1"
    assert logged.count("compiled kernels are not kept, so each start compiles them: ") == 1

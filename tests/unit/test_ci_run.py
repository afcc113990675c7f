"""What `.ci/run` installs before it runs anything, and what it says where it cannot."""

import shutil
import subprocess
from pathlib import Path

import pytest

from checkout import ROOT

#: Programs in the place of the real ones. A package is installed where a file has its name.
PROGRAMS = {
    "dpkg-query": '[ -e "$PACKAGES/$4" ] && printf installed',
    "apt-get": '[ "$1" = install ] || exit 0; for one; do [ -e "$CANNOT/$one" ] && exit 100; done; '
    'for one; do touch "$PACKAGES/$one"; done',
    "id": 'echo "$USER_ID"',
    "make": 'echo "make $* with SEQD_CI=$SEQD_CI"',
}

CALLS = "make check with SEQD_CI=1\nmake test-all with SEQD_CI=1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A machine on which no package is installed, with a copy of the script."""
    for name in (".ci", "bin", "packages", "cannot"):
        (tmp_path / name).mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    for name, text in PROGRAMS.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    return tmp_path


def run(folder: Path, user_id: int = 0) -> "subprocess.CompletedProcess[str]":
    own = {
        "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
        "PACKAGES": str(folder / "packages"),
        "CANNOT": str(folder / "cannot"),
        "USER_ID": str(user_id),
    }
    return subprocess.run(
        ["bash", str(folder / ".ci" / "run")],
        env=own, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_what_is_missing_is_installed_and_then_no_test_may_skip(folder: Path) -> None:
    ended = run(folder)

    assert (ended.returncode, ended.stdout) == (0, CALLS), ended.stderr
    assert {"faketime", "podman", "npm"} <= {path.name for path in (folder / "packages").iterdir()}


def test_a_package_that_cannot_be_installed_is_named_and_nothing_is_run(folder: Path) -> None:
    assert run(folder).returncode == 0
    (folder / "packages" / "faketime").unlink()
    (folder / "cannot" / "faketime").touch()

    ended = run(folder)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "The tests need packages of Debian that are not installed; as root: apt-get install "
        "faketime\n"
    )

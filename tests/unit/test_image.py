"""A container of seqd's image says how it is run less closed than it could be."""

import os
from pathlib import Path

import pytest

from seqd.local import image
from seqd.local.image import departures


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    file = tmp_path / "image"
    file.write_text("cpu 0.2.0\n")
    return file


def test_the_image_as_it_is_made_says_nothing(marker: Path):
    # On any file system that is mounted read-only.
    read_only = next(
        (Path(fields[1]) for fields in _mounts() if "ro" in fields[3].split(",")), None
    )
    if read_only is None:
        pytest.skip("nothing is mounted read-only here; tests/images has the image itself")

    assert departures(user_id=10001, root=read_only, marker=marker) == []


def test_root_and_a_root_file_system_that_can_be_written_to_are_told(marker: Path, tmp_path: Path):
    as_root, writable = departures(user_id=0, root=tmp_path, marker=marker)

    assert as_root == (
        "this container runs as root. It works, but a plugin has more rights than it needs, and "
        "the files in SEQD_DATA_DIR become root's. The image's own user is 10001:10001: leave "
        "--user (in Kubernetes: runAsUser, runAsNonRoot: false) away"
    )
    assert writable == (
        "the root file system of this container can be written to. It works, but what breaks into "
        "a plugin could change seqd itself. seqd needs to write to SEQD_DATA_DIR and /tmp alone: "
        "run it with --read-only (in Kubernetes: readOnlyRootFilesystem: true)"
    )


def test_outside_of_the_image_nothing_is_told(tmp_path: Path):
    assert departures(user_id=0, root=tmp_path, marker=tmp_path / "none") == []


def test_the_marker_is_the_file_that_the_build_writes():
    script = (Path(__file__).parents[2] / "docker" / "install_seqd.sh").read_text()

    assert f'> "/added{image.MARKER}"' in script or f"> /added{image.MARKER}" in script


def _mounts() -> list[list[str]]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line.split() for line in lines if os.access(line.split()[1], os.R_OK)]

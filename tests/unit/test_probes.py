"""What a probe answers, from the files of a worker: made here, by real workers elsewhere."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from readme_blocks import ROOT
from seqd.local.probes import liveness, readiness, readiness_said
from seqd.local.run_files import (
    DRAINING,
    HEARTBEAT,
    LEFT_BEHIND_S,
    READINESS,
    Heartbeat,
    Readiness,
    RunFolder,
    write_readiness,
)

LEASE_S = 30.0

#: What the image has as `seqd-probe`.
PROBE = ROOT / "docker" / "seqd-probe.sh"


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path)


def says(folder: RunFolder, **changed: object) -> Readiness:
    """Have worker w1 give a sign of life, and say how it is."""
    path = folder.file("w1", HEARTBEAT)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(Heartbeat.now()))
    fields: dict[str, object] = {
        "lease_s": LEASE_S,
        "why_not": "",
        "required": ("echo",),
        "warm": {"echo": "echo@2", "tutor": "tutor (trains)"},
        "cold": {"slow": "version 3 is not loaded; loaded: echo@2"},
    }
    said = Readiness(**(fields | changed))
    is_ready = readiness_said("w1", said).is_yes
    write_readiness(folder.file("w1", READINESS), said, is_ready=is_ready)
    return said


def answer(folder: RunFolder, *models: str) -> tuple[bool, str]:
    said = readiness(folder, "w1", LEASE_S, models or None)
    return said.is_yes, said.sentence


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", '{"lease_s": 30}', "\ud800"])
def test_a_file_that_makes_no_sense_is_no_readiness(folder, text):
    says(folder)
    folder.file("w1", READINESS).write_bytes(text.encode("utf-8", "surrogatepass"))

    assert answer(folder) == (
        False,
        "Worker w1 is starting: it has not said yet what it can run.",
    )


def test_a_worker_is_ready_with_the_models_that_it_requires_warm(folder):
    says(folder)
    path = folder.file("w1", READINESS)
    # A field of a later release is ignored.
    path.write_text(json.dumps(json.loads(path.read_text()) | {"later": True}))

    assert answer(folder) == (True, "Worker w1 is ready; warm: echo@2.")
    assert answer(folder, "echo", "tutor") == (
        True,
        "Worker w1 is ready; warm: echo@2, tutor (trains).",
    )


@pytest.mark.parametrize(
    ("changed", "asked", "reason"),
    [
        ({"why_not": "is cordoned; loaded: none"}, (), "is cordoned; loaded: none."),
        (
            {},
            ("echo", "slow"),
            "is not ready for slow: version 3 is not loaded; loaded: echo@2.",
        ),
        ({}, ("other",), "has no model other; it has: echo, slow, tutor."),
        ({"required": ("other",)}, (), "has no model other; it has: echo, slow, tutor."),
    ],
)
def test_a_worker_that_is_not_ready_says_why(folder, changed, asked, reason):
    says(folder, **changed)

    assert answer(folder, *asked) == (False, f"Worker w1 {reason}")
    assert liveness(folder, "w1", LEASE_S).is_yes


def test_who_gives_no_sign_of_life_is_not_ready_whatever_its_file_says(folder):
    says(folder)
    beat = Heartbeat(7, Heartbeat.now().at_s - LEASE_S - 1)
    folder.file("w1", HEARTBEAT).write_text(str(beat))

    is_ready, said = answer(folder)
    assert not is_ready
    assert re.fullmatch(
        r"Worker w1, process 7, heartbeat 3[1-9]\.\d s ago; allowed: 30 s \(SEQD_LEASE_S\)\.", said
    )
    folder.file("w1", HEARTBEAT).unlink()
    assert answer(folder) == (False, liveness(folder, "w1", LEASE_S).sentence)
    assert answer(folder)[1].startswith(f"No worker w1 has a heartbeat in {folder.path}: ")


def ask_in_a_container(
    folder: RunFolder, probe: str, path: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(PROBE), probe],
        env={"PATH": path, "SEQD_DATA_DIR": str(folder.path.parent), "SEQD_WORKER": "w1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("probe", ["live", "ready"])
def test_a_container_answers_yes_without_python_and_in_little_time(folder, probe):
    says(folder)
    before_s = _processor_s()

    said = ask_in_a_container(folder, probe, "/usr/bin:/bin")

    assert (said.returncode, said.stderr) == (0, "")
    assert re.fullmatch(r"Worker w1, heartbeat \d s ago\.\n", said.stdout)
    assert _processor_s() - before_s < 0.05


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        (DRAINING, {}),
        ("", {"why_not": "is cordoned; loaded: none"}),
        ("", {"required": ("slow",)}),
    ],
)
def test_a_container_without_python_does_not_say_yes_of_a_worker_that_is_not_ready(
    folder, kind, changed
):
    says(folder, **changed)
    if kind:
        folder.file("w1", kind).touch()

    said = ask_in_a_container(folder, "ready", "/usr/bin:/bin")

    assert said.returncode != 0
    assert said.stdout == ""


def test_a_heartbeat_that_the_disk_had_no_room_for_is_judged_by_seqd(folder):
    says(folder)
    folder.file("w1", HEARTBEAT).write_text("")

    said = ask_in_a_container(folder, "live", f"{Path(sys.executable).parent}:/usr/bin:/bin")

    assert said.returncode == 0
    assert re.fullmatch(r"Worker w1, heartbeat \d\.\d s ago\.\n", said.stdout)


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_file_goes_with_the_others_of_its_worker(folder):
    says(folder)
    path = folder.file("w1", READINESS)
    path.with_name(f"{path.name}.new").touch()
    now_s = path.stat().st_mtime
    for file in folder.path.iterdir():
        os.utime(file, (now_s, now_s))

    folder.remove_left_behind(now_s + LEFT_BEHIND_S - 60)
    assert len(list(folder.path.iterdir())) == 3
    folder.remove_left_behind(now_s + LEFT_BEHIND_S + 60)
    assert list(folder.path.iterdir()) == []


def test_where_the_file_cannot_be_written_no_old_one_is_left(folder):
    said = says(folder)
    path = folder.file("w1", READINESS)
    path.with_name(f"{path.name}.new").mkdir()

    with pytest.raises(OSError, match="directory"):
        write_readiness(path, said, is_ready=True)

    assert not path.exists()

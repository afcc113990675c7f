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
from seqd.local.probes import asked_model, liveness, readiness, readiness_said
from seqd.local.run_files import (
    CORDONED,
    DRAINING,
    HEARTBEAT,
    LEFT_BEHIND_S,
    READINESS,
    Heartbeat,
    ModelReadiness,
    Readiness,
    RunFolder,
    Unfitness,
    write_readiness,
)

LEASE_S = 30.0

#: What the image has as `seqd-probe`.
PROBE = ROOT / "docker" / "seqd-probe.sh"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def says(folder: RunFolder, **changed: object) -> Readiness:
    """Have worker w1 give a sign of life, and say how it is."""
    path = folder.file("w1", HEARTBEAT)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(Heartbeat.now()))
    fields: dict[str, object] = {
        "pid": 7,
        "state": "ready",
        "lease_s": LEASE_S,
        "required": ("echo",),
        "models": {
            "echo": ModelReadiness(serves=True, trains=False, in_service=2, loaded=(1, 2)),
            "tutor": ModelReadiness(serves=False, trains=True, in_service=None, loaded=()),
        },
        "unfit": (),
    }
    said = Readiness(**(fields | changed))  # type: ignore[arg-type]
    is_ready = readiness_said("w1", said).is_yes
    write_readiness(folder.file("w1", READINESS), said, is_ready=is_ready)
    return said


def answer(folder: RunFolder, *models: str) -> tuple[bool, str]:
    asked = [asked_model(text) for text in models] if models else None
    said = readiness(folder, "w1", LEASE_S, asked)
    return said.is_yes, said.sentence


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "null", '{"pid": "a"}', '{"models": {"echo": 1}}', "\ud800"]
)
def test_a_file_that_makes_no_sense_is_no_readiness(folder: RunFolder, text: str) -> None:
    says(folder)
    folder.file("w1", READINESS).write_bytes(text.encode("utf-8", "surrogatepass"))

    assert answer(folder) == (
        False,
        "Worker w1 is starting: it has not said yet what it can run.",
    )


def test_a_field_of_a_later_release_is_ignored(folder: RunFolder) -> None:
    says(folder)
    path = folder.file("w1", READINESS)
    later = json.loads(path.read_text())
    later["cordoned"] = True
    later["models"]["echo"]["rate"] = 7.5
    path.write_text(json.dumps(later))

    assert answer(folder) == (True, "Worker w1 is ready; warm: echo@2.")


def test_a_worker_is_ready_with_the_models_that_it_requires_warm(folder: RunFolder) -> None:
    says(folder)

    assert answer(folder) == (True, "Worker w1 is ready; warm: echo@2.")
    assert answer(folder, "echo@1", "tutor") == (
        True,
        "Worker w1 is ready; warm: echo@1, tutor (trains).",
    )


@pytest.mark.parametrize(
    ("changed", "asked", "reason"),
    [
        ({"state": "starting"}, (), "is starting; loaded: echo@1, echo@2."),
        ({"state": "draining"}, (), "is draining; loaded: echo@1, echo@2."),
        (
            {},
            ("echo@3",),
            "is not ready for echo@3: version 3 is not loaded; loaded: echo@1, echo@2.",
        ),
        ({}, ("other",), "has no model other; it has: echo, tutor."),
        ({"required": ("other",)}, (), "has no model other; it has: echo, tutor."),
        (
            {"unfit": (Unfitness("echo", 2, "damaged", "weights.bin is cut"),)},
            ("echo",),
            "is not ready for echo: damaged: weights.bin is cut.",
        ),
        (
            {"unfit": (Unfitness("tutor", None, "unwritable", "the disk is full"),)},
            ("tutor",),
            "is not ready for tutor: unwritable: the disk is full.",
        ),
        (
            {"unfit": (Unfitness("tutor", 9, "device_fault", "CUDA error 719"),)},
            ("echo",),
            "claims nothing: CUDA error 719.",
        ),
        (
            {"models": {"echo": ModelReadiness(True, False, None, ())}},
            ("echo",),
            "is not ready for echo: its store has no version of it.",
        ),
    ],
)  # fmt: skip
def test_a_worker_that_is_not_ready_says_why(
    folder: RunFolder, changed: dict[str, object], asked: tuple[str, ...], reason: str
) -> None:
    says(folder, **changed)

    assert answer(folder, *asked) == (False, f"Worker w1 {reason}")


def test_a_worker_that_is_cordoned_is_not_ready_and_alive(folder: RunFolder) -> None:
    says(folder)
    folder.file("w1", CORDONED).write_text("a rule of an operator")

    assert answer(folder) == (False, "Worker w1 is cordoned, and claims nothing.")
    assert liveness(folder, "w1", LEASE_S).is_yes


def test_who_gives_no_sign_of_life_is_not_ready_whatever_its_file_says(folder: RunFolder) -> None:
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


@pytest.mark.parametrize("text", ["", "Echo", "echo@", "echo@x", "echo@-1", "echo@1@2", "../echo"])
def test_what_is_no_model_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no model; allowed: a name, or name@3"):
        asked_model(text)


def ask_in_a_container(
    folder: RunFolder, probe: str, path: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(PROBE), probe],
        env={"PATH": path, "SEQD_DATA_DIR": str(folder.path.parent), "SEQD_WORKER": "w1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("probe", ["live", "ready"])
def test_a_container_answers_yes_without_python_and_in_little_time(
    folder: RunFolder, probe: str
) -> None:
    says(folder)
    before_s = _processor_s()

    said = ask_in_a_container(folder, probe, "/usr/bin:/bin")

    assert (said.returncode, said.stderr) == (0, "")
    assert re.fullmatch(r"Worker w1, heartbeat \d s ago\.\n", said.stdout)
    assert _processor_s() - before_s < 0.05


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        (CORDONED, {}),
        (DRAINING, {}),
        ("", {"state": "draining"}),
        ("", {"models": {"echo": ModelReadiness(True, False, 3, (2,))}}),
    ],
)
def test_a_container_without_python_does_not_say_yes_of_a_worker_that_is_not_ready(
    folder: RunFolder, kind: str, changed: dict[str, object]
) -> None:
    says(folder, **changed)
    if kind:
        folder.file("w1", kind).touch()

    said = ask_in_a_container(folder, "ready", "/usr/bin:/bin")

    assert said.returncode != 0
    assert said.stdout == ""


def test_a_heartbeat_that_the_disk_had_no_room_for_is_judged_by_seqd(folder: RunFolder) -> None:
    says(folder)
    folder.file("w1", HEARTBEAT).write_text("")

    said = ask_in_a_container(folder, "live", f"{Path(sys.executable).parent}:/usr/bin:/bin")

    assert said.returncode == 0
    assert re.fullmatch(r"Worker w1, heartbeat \d\.\d s ago\.\n", said.stdout)


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_file_goes_with_the_others_of_its_worker(folder: RunFolder) -> None:
    says(folder)
    path = folder.file("w1", READINESS)
    path.with_name(f"{path.name}.new").touch()
    now_s = path.stat().st_mtime
    for file in folder.path.iterdir():
        os.utime(file, (now_s, now_s))

    assert folder.left_behind(now_s + LEFT_BEHIND_S - 60) == {}
    assert set(folder.left_behind(now_s + LEFT_BEHIND_S + 60)["w1"]) == {*folder.path.iterdir()}
    folder.remove_files_of("w1")
    assert list(folder.path.iterdir()) == []


def test_where_the_file_cannot_be_written_no_old_one_is_left(folder: RunFolder) -> None:
    said = says(folder)
    path = folder.file("w1", READINESS)
    path.with_name(f"{path.name}.new").mkdir()

    with pytest.raises(OSError, match="directory"):
        write_readiness(path, said, is_ready=True)

    assert not path.exists()

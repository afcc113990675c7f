"""Heartbeats: the file of the probe, the memory of the watchdog, and what is left in `run/`."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seqd.local.run_files import LEFT_BEHIND_S, RunFolder, read_heartbeat
from seqd.settings import Settings
from seqd.worker import channel
from seqd.worker.background import RunGarbage
from seqd.worker.channel import Channel, HeartbeatFile


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def test_a_file_that_cannot_be_written_is_logged_once_a_minute_and_tried_again(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = HeartbeatFile(settings, "w1")
    file.path.parent.write_text("a file in the place of the folder")

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            file.beat()
        assert len(caplog.messages) == 1
        monkeypatch.setattr(channel, "WARN_EVERY_S", 0.0)
        file.beat()

    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith(f"no heartbeat written to {file.path}: ")
    file.path.parent.unlink()
    file.beat()
    assert read_heartbeat(file.path) is not None


HANGING = """
import sys, time
from pathlib import Path
from seqd.settings import Settings
from seqd.worker.channel import Channel
settings = Settings(data_dir=Path(sys.argv[1]), worker="w1", heartbeat_s=0.05)
Channel.of_parent(sys.argv[2]).start_heartbeats(settings)
print("at work", flush=True)
sys.stdin.read()
"""


def test_a_file_system_that_hangs_stops_neither_the_child_nor_its_heartbeat_in_memory(
    settings: Settings,
) -> None:
    memory = Channel.create()
    path = HeartbeatFile(settings, "w1").path
    path.parent.mkdir()
    os.mkfifo(path)  # who opens it to write waits for ever

    with subprocess.Popen(
        [sys.executable, "-c", HANGING, str(settings.data_dir), memory.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == b"at work\n"
        seen = set()
        deadline = time.monotonic() + 30
        while len(seen) < 3:
            assert time.monotonic() < deadline, "three heartbeats within 30 s"
            signs = memory.signs()
            seen |= set() if signs is None else {signs.heartbeat}
            time.sleep(0.01)
        child.kill()

    assert {heartbeat.pid for heartbeat in seen} == {child.pid}


def left_in(folder: RunFolder, name: str, age_s: float) -> None:
    path = folder.path / name
    path.touch()
    written_s = time.time() - age_s
    os.utime(path, (written_s, written_s))


def test_files_of_workers_that_were_silent_for_a_day_are_removed_and_no_others(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    own = HeartbeatFile(settings, "own")
    own.beat()
    folder = RunFolder(settings.data_dir)
    old_s, young_s = LEFT_BEHIND_S + 60, LEFT_BEHIND_S - 60
    for name in ("dead.heartbeat", "dead.draining", "flag.cordoned"):
        left_in(folder, name, old_s)
    # One that has drained for long, and has a heartbeat, and files that are not ours.
    for name, age_s in [("slow.draining", old_s), ("slow.heartbeat", young_s), ("notes", old_s)]:
        left_in(folder, name, age_s)

    with caplog.at_level(logging.INFO):
        RunGarbage(settings, own).run_once()

    assert sorted(path.name for path in folder.path.iterdir()) == (
        ["notes", "own.heartbeat", "slow.draining", "slow.heartbeat"]
    )
    assert caplog.messages == ["removed files of workers that ended long ago: dead, flag"]


def test_a_worker_without_a_heartbeat_of_its_own_removes_nothing(settings: Settings) -> None:
    folder = RunFolder(settings.data_dir)
    folder.path.mkdir()
    left_in(folder, "dead.heartbeat", 2 * LEFT_BEHIND_S)

    RunGarbage(settings, HeartbeatFile(settings, "own")).run_once()

    assert (folder.path / "dead.heartbeat").exists()

"""Heartbeats: the file of the probe, and the memory of the watchdog."""

import logging
import os
import subprocess
import sys

import pytest

from seqd.local.run_files import Heartbeat, read_heartbeat
from seqd.settings import Settings
from seqd.worker.channel import Channel, HeartbeatFile
from worker_fixtures import wait_until


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path)


def test_a_file_that_cannot_be_written_is_logged_and_tried_again(settings, caplog):
    file = HeartbeatFile(settings, "w1")
    file.path.parent.write_text("a file in the place of the folder")

    with caplog.at_level(logging.WARNING):
        file.beat()

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


def test_a_file_system_that_hangs_stops_neither_the_child_nor_its_heartbeat_in_memory(settings):
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
        seen = set[Heartbeat]()

        def three_are_seen() -> bool:
            seen.update(() if (signs := memory.signs()) is None else {signs.heartbeat})
            return len(seen) == 3

        wait_until(three_are_seen, "three heartbeats")
        child.kill()

    assert {heartbeat.pid for heartbeat in seen} == {child.pid}

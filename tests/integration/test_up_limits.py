"""`seqd up` under limits of the system in which it cannot work says so before it starts."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli_builders import clean_environment
from worker_fixtures import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: Starts the command behind it under limits, as `ulimit -n` and `ulimit -u` set them.
UNDER_LIMITS = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[1])))
resource.setrlimit(resource.RLIMIT_NPROC, (int(sys.argv[2]), int(sys.argv[2])))
os.execv(sys.argv[3], sys.argv[3:])
"""


def said_at_the_start(folder: Path, *, files: int, processes: int) -> str:
    """Return what `seqd up` prints until it has a worker, or has ended."""
    output = folder / "up.log"
    command = [sys.executable, "-c", UNDER_LIMITS, str(files), str(processes)]
    with output.open("wb") as screen:
        up = subprocess.Popen(
            [*command, sys.executable, "-m", "seqd", "up", "--slots", "cpu:0"],
            env=clean_environment(SEQD_DATA_DIR=str(folder / "data"), SEQD_ENABLED_PLUGINS="none"),
            stdout=screen,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: "started" in output.read_text() or up.poll() is not None, "a worker")
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(120)
    return output.read_text()


def test_few_files_and_processes_are_told_with_what_is_needed_and_what_to_do(
    tmp_path: Path,
) -> None:
    said = said_at_the_start(tmp_path, files=64, processes=40)

    assert said.splitlines()[:2] == [
        "warning: A process may have 64 files open here (at most 64 after a raise), and a worker "
        "needs 256. A Redis that is started here takes 32 connections, of which each worker has "
        "7. Connections, files of models and logs count. Beyond the limit nothing is opened. "
        "`ulimit -n 65536` before the start, LimitNOFILE= in systemd, `ulimits` in Compose.",
        "warning: This user may have 40 processes and threads, and `seqd up` with one worker "
        "needs 64, with TensorFlow some hundreds. Beyond the limit no thread or process is "
        "started. `ulimit -u 4096` before the start, TasksMax= in systemd, `pids_limit` in "
        "Compose.",
    ]

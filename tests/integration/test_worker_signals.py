"""Signals that come while the parent of a worker sets up how it ends."""

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.slow]

# The semaphore tracker is the only child. It is signalled, too, as a terminal signals the group.
SCRIPT = """
import os, signal
from pathlib import Path
from threading import Event
from seqd.worker import end_signals

is_asked = Event()

class Listener:
    def request_end(self):
        is_asked.set()
    def replace_ended_child(self):
        print("the tracker has ended")

start_tracker = end_signals.ensure_running

def start_tracker_and_be_signalled():
    start_tracker()
    os.kill(os.getpid(), signal.SIGTERM)

end_signals.ensure_running = start_tracker_and_be_signalled
end_signals.EndSignals(Listener(), lambda: None).install()
(tracker,) = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
print("asked to end:", is_asked.wait(60))
status = dict(line.split(":\t", 1) for line in Path(f"/proc/{tracker}/status").open())
deaf_to = int(status["SigBlk"], 16) | int(status["SigIgn"], 16)
print("tracker is deaf:", all(deaf_to >> number - 1 & 1 for number in end_signals.END_SIGNALS))
"""


def test_a_signal_that_comes_while_the_semaphore_tracker_starts_is_not_lost():
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120
    )

    assert ended.stdout.splitlines() == ["asked to end: True", "tracker is deaf: True"]

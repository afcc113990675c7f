"""When a child's heartbeat has stood still for too long, by its parent's own count."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.settings import Settings
from seqd.worker.deaths import DeathFile
from seqd.worker.liveness import (
    Heartbeat,
    HeartbeatMemory,
    Standstill,
    Watchdog,
    has_memory,
)

ONE, OTHER = Heartbeat(7, 100.0), Heartbeat(7, 101.0)


def test_a_heartbeat_that_does_not_change_stands_still_from_the_first_look_at_it() -> None:
    standstill = Standstill(look_every_s=1.0)

    seen = [standstill.seconds(ONE, now_s) for now_s in (50.0, 51.0, 52.5, 53.0)]

    assert seen == [0.0, 1.0, 2.5, 3.0]


def test_a_new_heartbeat_and_a_missing_one_begin_anew() -> None:
    standstill = Standstill(look_every_s=1.0)

    seen = [
        standstill.seconds(heartbeat, at)
        for at, heartbeat in enumerate([ONE, ONE, OTHER, OTHER, None])
    ]

    assert seen == [0.0, 1.0, 0.0, 1.0, 0.0]


def test_an_hour_in_which_the_watcher_was_frozen_too_counts_as_two_looks() -> None:
    standstill = Standstill(look_every_s=10.0)
    standstill.seconds(ONE, 0.0)

    assert standstill.seconds(ONE, 3_600.0) == 20.0


@given(st.lists(st.floats(min_value=0, max_value=1e6), max_size=30))
def test_a_child_with_a_heartbeat_between_all_looks_never_stands_still(
    pauses_s: list[float],
) -> None:
    standstill, now_s = Standstill(look_every_s=1.0), 0.0

    for number, pause_s in enumerate(pauses_s):
        now_s += pause_s
        assert standstill.seconds(Heartbeat(7, float(number)), now_s) == 0.0


def test_a_heartbeat_is_read_as_it_was_written() -> None:
    heartbeat = Heartbeat(4_711, 12_345.678901)

    assert Heartbeat.parse(str(heartbeat)) == heartbeat


#: It beats once, and keeps the interpreter's lock from then on, as C code does.
HOLDING = """
import re, sys
from pathlib import Path
from seqd.settings import Settings
from seqd.worker.deaths import DeathFile
from seqd.worker.liveness import HeartbeatMemory
settings = Settings(data_dir=Path(sys.argv[1]), worker="w1")
DeathFile(settings, "w1").open()
HeartbeatMemory.of_parent().beat()
print("at work", flush=True)
re.match("(a+)+$", "a" * 64 + "b")
"""


@pytest.mark.skipif(not has_memory(), reason="needs memory with a descriptor, as Linux has it")
def test_a_child_that_keeps_the_lock_for_longer_than_a_lease_lives_and_keeps_its_units(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path, heartbeat_s=0.05, lease_s=0.1, max_silent_s=600)
    memory, deaths = HeartbeatMemory.create(), DeathFile(settings, "w1")
    renewed, released = list[str](), list[str]()
    watchdog = Watchdog(settings, memory, deaths, renewed.append, released.append)

    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == b"at work\n"
        deadline = time.monotonic() + 30
        while not any(renewed) or renewed[-1]:  # a look with a sentence, and one after it
            assert time.monotonic() < deadline, "its leases are renewed"
            watchdog.run_once()
        lives = child.poll() is None
        child.kill()

    assert lives and released == []
    (said,) = [said for said in renewed if said]
    assert said.startswith("The worker's process had no heartbeat for 0 s, as in C code that ")
    assert said.endswith(
        " It keeps what it has in hand, and is ended at 600 s (SEQD_MAX_SILENT_S and a heartbeat)."
    )

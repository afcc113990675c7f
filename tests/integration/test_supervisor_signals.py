"""The supervisor as a program of its own: what signals, and its own death, do to its workers."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seqd.local.endpoint import is_alive
from seqd.local.parent_death import launch_command
from worker_fixtures import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

DEADLINE_S = 120.0

PROGRAM = """
import json, sys
from pathlib import Path
from seqd.settings import Settings
from seqd.local.slots import parse_slots
from seqd.local.supervisor import Supervisor

def show(change):
    print(json.dumps([change.change, change.slot, change.pid]), flush=True)

folder, script = Path(sys.argv[1]), sys.argv[2]
supervisor = Supervisor(
    Settings(data_dir=folder), "redis://127.0.0.1:1/0", parse_slots("cpu:0,cpu:1"),
    on_change=show,
    clock=lambda: 10.0 * (folder / "later").exists(),
    is_ready=lambda worker_id: (folder / worker_id).exists(),
    command=lambda slot, worker_id: [sys.executable, "-S", "-c", script, str(folder / worker_id)],
)
sys.exit(supervisor.run())
"""

OBEDIENT = """
import pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
pathlib.Path(sys.argv[1]).touch()
signal.pause()
"""

STUBBORN = """
import pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: pathlib.Path(sys.argv[1] + ".asked").touch())
pathlib.Path(sys.argv[1]).touch()
while True:
    signal.pause()
"""


class Program:
    """A running supervisor, and the changes that it prints."""

    def __init__(self, popen: "subprocess.Popen[str]") -> None:
        self.popen = popen
        self.pids: list[int] = []

    def send(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def next_change(self) -> str:
        assert self.popen.stdout is not None
        change, _slot, pid = json.loads(self.popen.stdout.readline())
        self.pids.append(pid)
        return str(change)

    def rest(self) -> list[str]:
        assert self.popen.stdout is not None
        return [json.loads(line)[0] for line in self.popen.stdout]

    def status(self) -> int:
        return self.popen.wait(DEADLINE_S)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Program]]:
    """Start a supervisor on a script and wait until both workers are ready."""
    started: list[subprocess.Popen[str]] = []

    def start_one(script: str) -> Program:
        popen = subprocess.Popen(
            launch_command([sys.executable, "-c", PROGRAM, str(tmp_path), script]),
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(popen)
        program = Program(popen)
        assert [program.next_change() for _ in range(4)] == [*2 * ["started"], *2 * ["ready"]]
        return program

    yield start_one
    for popen in started:
        popen.kill()
        popen.wait()
        if popen.stdout is not None:
            popen.stdout.close()


def wait_until_dead(pids: list[int]) -> None:
    wait_until(lambda: not any(map(is_alive, pids)), f"{pids} ended")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_every_worker_in_order(
    start: Callable[[str], Program], number: signal.Signals
) -> None:
    program = start(OBEDIENT)

    program.send(number)

    assert program.rest() == ["stopped", "stopped"]
    assert program.status() == 0


def test_a_second_signal_kills_workers_that_do_not_end(
    start: Callable[[str], Program], tmp_path: Path
) -> None:
    program = start(STUBBORN)

    program.send(signal.SIGTERM)
    wait_until(lambda: len(list(tmp_path.glob("*.asked"))) == 2, "both workers were asked")
    assert program.popen.poll() is None
    (tmp_path / "later").touch()  # no echo of the first
    program.send(signal.SIGTERM)

    assert program.rest() == ["killed", "killed"]
    assert program.status() == 0
    wait_until_dead(program.pids)


def test_a_supervisor_that_was_started_with_nohup_outlives_its_terminal(
    start: Callable[[str], Program], tmp_path: Path
) -> None:
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        program = start(OBEDIENT)
    finally:
        signal.signal(signal.SIGHUP, ignored)

    program.send(signal.SIGHUP)
    program.send(signal.SIGTERM)

    # Had SIGHUP counted, SIGTERM would have been the second signal, which kills.
    assert program.rest() == ["stopped", "stopped"]
    assert program.status() == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs PR_SET_PDEATHSIG")
@pytest.mark.parametrize("script", [OBEDIENT, STUBBORN])
def test_workers_die_with_a_supervisor_that_is_killed(
    start: Callable[[str], Program], script: str
) -> None:
    program = start(script)

    program.send(signal.SIGKILL)

    assert program.status() == -signal.SIGKILL
    wait_until_dead(program.pids)

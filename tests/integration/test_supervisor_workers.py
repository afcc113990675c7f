"""The supervisor with real processes: small scripts stand in for workers."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clock_fixtures import HeldClock
from seqd.local.child import FORGIVEN_AFTER_S, LONGEST_WAIT_S, log_path
from seqd.local.endpoint import is_alive
from seqd.local.run_files import DRAINING, HEARTBEAT, RunFolder
from seqd.local.slots import Slot, parse_slots
from seqd.local.supervisor import CONFIG_EXIT_STATUS, GRACE_S, Change, Supervisor, WorkerChange
from seqd.settings import Settings
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

#: Runs until it is asked to end, and says so.
OBEDIENT = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("asked to end", flush=True)))
print("up", flush=True)
signal.pause()
"""


#: Has a child of its own.
STARTS_A_CHILD = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
"""


class Stage:
    """A supervisor on small scripts, which notes what it is told.

    Its clock is held, but that the wait after a death is over as soon as that is told.
    """

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data_dir=folder)
        self.clock = HeldClock()
        #: Seconds that pass by its clock at each look.
        self.step_s = 0.0
        self.changes: list[WorkerChange] = []
        self.deaths: list[str] = []
        self.program = [sys.executable, "-S", "-c"]
        self.is_back: Callable[[Slot], bool] = lambda slot: True
        self._reactions: dict[tuple[Change, int], Callable[[WorkerChange], None]] = {}

    def on(self, change: Change, nth: int, reaction: Callable[[WorkerChange], None]) -> None:
        """React to the n-th change of a kind, counted from 1."""
        self._reactions[change, nth] = reaction

    def run(self, script: str, slots: str = "cpu:0") -> int:
        self.supervisor = Supervisor(
            self.settings,
            "redis://127.0.0.1:1/0",
            parse_slots(slots),
            on_change=self._note,
            on_worker_death=self.deaths.append,
            is_ready=lambda worker_id: self.log(worker_id.rpartition("@")[0]) != "",
            is_back=lambda slot: self.is_back(slot),
            periodic_task=lambda: self.step(self.step_s),
            command=lambda slot, worker_id: [*self.program, script, worker_id],
            clock=self.clock,
        )
        return self.supervisor.run()

    def stop(self, change: WorkerChange) -> None:
        self.supervisor.request_stop()

    def kinds(self) -> list[Change]:
        return [change.change for change in self.changes]

    def log(self, slot: str = "cpu:0") -> str:
        return log_path(self.settings.data_dir / "logs", slot).read_text()

    def step(self, seconds: float) -> None:
        self.clock.now_s += seconds

    def _note(self, change: WorkerChange) -> None:
        self.changes.append(change)
        if change.change in (Change.DIED, Change.LOST):
            self.step(LONGEST_WAIT_S)
        nth = self.kinds().count(change.change)
        self._reactions.get((change.change, nth), lambda _: None)(change)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_each_slot_gets_a_worker_that_is_asked_to_end_at_the_stop(stage: Stage) -> None:
    stage.on(Change.READY, 2, stage.stop)

    status = stage.run(OBEDIENT, slots="cpu:0,train@cpu")

    assert status == 0
    assert stage.kinds() == [*2 * [Change.STARTED], *2 * [Change.READY], *2 * [Change.STOPPED]]
    assert {change.slot for change in stage.changes} == {"cpu:0", "train@cpu"}
    assert stage.log("cpu:0") == stage.log("train@cpu") == "up\nasked to end\n"
    assert stage.deaths == []


def test_a_worker_that_is_killed_is_replaced_under_a_new_name_and_leaves_nothing_behind(
    stage: Stage,
) -> None:
    run = RunFolder(stage.settings.data_dir)
    run.path.mkdir()
    (run.path / "another.heartbeat").touch()

    def leave_and_kill(change: WorkerChange) -> None:
        for kind in (HEARTBEAT, DRAINING):
            run.file(change.worker_id, kind).touch()
        os.kill(change.pid, signal.SIGKILL)

    stage.on(Change.READY, 1, leave_and_kill)
    stage.on(Change.STARTED, 2, stage.stop)

    stage.run(OBEDIENT)

    first, _, died, second, _ = stage.changes
    assert (died.change, died.detail) == (Change.DIED, "killed by SIGKILL; starts again in 1 s")
    assert (second.change, second.starts) == (Change.STARTED, 2)
    assert second.worker_id != first.worker_id
    assert second.worker_id.startswith("cpu:0@")
    assert stage.deaths[0] == first.worker_id
    assert [path.name for path in run.path.iterdir()] == ["another.heartbeat"]


def test_a_worker_that_ends_in_order_is_no_death_and_another_is_started_at_once(
    stage: Stage,
) -> None:
    stage.on(Change.READY, 1, lambda change: os.kill(change.pid, signal.SIGTERM))
    stage.on(Change.STARTED, 2, stage.stop)

    stage.run(OBEDIENT)

    assert stage.kinds()[:4] == [Change.STARTED, Change.READY, Change.ENDED, Change.STARTED]
    assert stage.changes[0].worker_id not in stage.deaths


def test_the_wait_grows_until_one_has_lived_for_a_minute_and_what_the_dead_started_dies_too(
    stage: Stage,
) -> None:
    stage.on(Change.STARTED, 4, lambda change: stage.step(FORGIVEN_AFTER_S))
    stage.on(Change.DIED, 4, stage.stop)

    stage.run(f"{STARTS_A_CHILD}os._exit(3)")

    assert [change.detail.split("; ")[1] for change in stage.changes if change.detail] == [
        "starts again in 1 s",
        "starts again in 2 s",
        "starts again in 4 s",
        "starts again in 1 s",
    ]
    assert len(stage.deaths) == 4
    orphans = [int(line) for line in stage.log().splitlines() if line.isdecimal()]
    assert len(orphans) == 4
    wait_until(lambda: not any(map(is_alive, orphans)), "the dead workers' children ended")


@pytest.mark.parametrize(
    ("said", "status", "told"),
    [
        ("", 7, "status 7; starts again in 1 s"),
        (
            "error[device_unavailable]: Slot gpu:0 needs 1.0 GiB",
            os.EX_UNAVAILABLE,
            "status 69: its device is sick or busy: Slot gpu:0 needs 1.0 GiB; starts again in 1 s",
        ),
    ],
)
def test_a_worker_that_ends_is_told_of_with_its_reason_and_tried_again(
    stage: Stage, said: str, status: int, told: str
) -> None:
    stage.on(Change.DIED, 1, stage.stop)

    stage.run(f"print({said!r}, flush=True); raise SystemExit({status})")

    assert next(one.detail for one in stage.changes if one.change is Change.DIED) == told


def test_a_worker_that_is_killed_again_and_again_once_it_is_ready_waits_no_longer(
    stage: Stage,
) -> None:
    for nth in (1, 2, 3):
        stage.on(Change.READY, nth, lambda change: os.kill(change.pid, signal.SIGKILL))
    stage.on(Change.READY, 4, stage.stop)

    stage.run(f"open(f'{stage.settings.data_dir}/logs/cpu-0.log', 'w').close()\n{OBEDIENT}")

    assert [change.detail for change in stage.changes if change.change is Change.DIED] == [
        "killed by SIGKILL; starts again in 1 s",
        "killed by SIGKILL; starts again in 1 s",
        "killed by SIGKILL; starts again in 1 s",
    ]


def test_a_slot_whose_device_is_lost_waits_until_it_is_back(stage: Stage) -> None:
    answers, asked = iter([False, False, True]), []

    def is_back(slot: Slot) -> bool:
        asked.append(slot.name)
        return next(answers)

    stage.is_back, stage.step_s = is_back, LONGEST_WAIT_S
    stage.on(Change.STARTED, 3, stage.stop)
    loses = f"""
import sys
if sys.argv[1].startswith('cpu:1'):
    print('error[device_lost]: Slot cpu:1: XID 79.', file=sys.stderr)
    sys.exit({os.EX_OSERR})
"""

    status = stage.run(loses + OBEDIENT, slots="cpu:0,cpu:1")

    lost = [change for change in stage.changes if change.change is Change.LOST]
    assert status == 0
    assert [(change.slot, change.detail) for change in lost] == [
        (
            "cpu:1",
            "status 71: its device is lost: Slot cpu:1: XID 79. Starts again when the driver sees "
            "it",
        )
    ]
    assert asked == ["cpu:1", "cpu:1", "cpu:1"]
    assert stage.deaths[0] == lost[0].worker_id


def test_when_told_something_raises_no_worker_is_left_behind(stage: Stage) -> None:
    def fail(change: WorkerChange) -> None:
        raise BrokenPipeError("the terminal is gone")

    stage.on(Change.READY, 1, fail)

    with pytest.raises(BrokenPipeError, match="the terminal is gone"):
        stage.run(OBEDIENT, slots="cpu:0,cpu:1")

    assert all(not is_alive(change.pid) for change in stage.changes)


def test_a_worker_finds_its_slot_and_settings_in_its_environment_and_begins_a_log_that_was_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQD_LEASE_S", "45.5")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    stage = Stage(tmp_path)
    log = log_path(stage.settings.data_dir / "logs", "cpu:0")
    log.parent.mkdir()
    with log.open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    stage.on(Change.READY, 1, stage.stop)

    stage.run("import json, os; print(json.dumps(dict(os.environ)), flush=True)\n" + OBEDIENT)

    environment = json.loads(stage.log().splitlines()[0])
    assert environment["SEQD_REDIS_URL"] == "redis://127.0.0.1:1/0"
    assert environment["SEQD_DATA_DIR"] == str(tmp_path)
    assert environment["SEQD_INPUT_ROOTS"] == "/"
    assert environment["SEQD_LEASE_S"] == "45.5"
    assert environment["CUDA_VISIBLE_DEVICES"] == "-1"
    assert environment["KERAS_BACKEND"] == "jax"
    assert log.read_text().splitlines()[1:] == ["up", "asked to end"]
    assert (log.parent / "cpu-0.log.1").stat().st_size == 17 * 1024 * 1024


def test_a_program_that_cannot_be_started_is_a_death_with_a_reason(stage: Stage) -> None:
    stage.program = ["/nowhere/seqd"]
    stage.on(Change.DIED, 1, stage.stop)

    stage.run(OBEDIENT)

    assert Change.DIED in stage.kinds()
    assert "/nowhere/seqd cannot be started: [Errno 2]" in stage.log()


def test_on_a_gpu_the_old_worker_ends_before_the_new_one_starts(stage: Stage) -> None:
    stage.on(Change.READY, 1, lambda change: stage.supervisor.replace(change.worker_id))
    stage.on(Change.STARTED, 2, stage.stop)

    assert stage.run(OBEDIENT, slots="gpu:0") == 0

    assert stage.kinds()[:4] == [Change.STARTED, Change.READY, Change.REPLACED, Change.STARTED]
    assert stage.changes[0].worker_id not in stage.deaths


def test_a_worker_with_wrong_settings_is_reported_with_its_log_and_not_started_again(
    stage: Stage,
) -> None:
    gives_up = "import sys\nif sys.argv[1].startswith('cpu:1'):\n"
    gives_up += f"    sys.exit(print('no such model: bert', flush=True) or {os.EX_CONFIG})\n"
    alone = Stage(stage.settings.data_dir / "alone")
    stage.on(Change.GAVE_UP, 1, stage.stop)

    with_another = stage.run(gives_up + OBEDIENT, slots="cpu:0,cpu:1")
    alone.settings.data_dir.mkdir()
    status = alone.run(gives_up, slots="cpu:1")

    assert (with_another, status) == (0, CONFIG_EXIT_STATUS)
    ends = {change.slot: change.change for change in stage.changes}
    assert ends == {"cpu:0": Change.STOPPED, "cpu:1": Change.GAVE_UP}
    assert alone.changes[-1].detail == "no such model: bert"
    assert alone.kinds().count(Change.STARTED) == 1


def test_a_worker_that_does_not_end_in_time_is_killed_with_its_children(stage: Stage) -> None:
    stage.on(Change.READY, 1, stage.stop)

    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    stage.step_s = GRACE_S
    stage.run(f"{deaf}{STARTS_A_CHILD}signal.pause()")

    killed = stage.changes[-1]
    assert (killed.change, killed.detail) == (Change.KILLED, "did not end within 31 s")
    assert stage.deaths == [killed.worker_id]
    wait_until(lambda: not is_alive(int(stage.log())), "the worker's own child ended")

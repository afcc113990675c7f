"""How a child died, by its status and what it has left in its file."""

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from seqd.settings import Settings
from seqd.worker.deaths import DeathFile, Hang, MemoryWatch, one_line
from seqd_schemas import DeathCause
from worker_fixtures import wait_until

#: A plugin's call as a child makes it, with the host's frames left out.
CHILD = """
    import os, signal, time
    from seqd.settings import Settings
    from seqd.worker.deaths import DeathFile
    import stuck

    deaths = DeathFile(Settings(data_dir="."), "w1")
    deaths.open()
    stuck.classify(deaths)
"""


def died(folder: Path, plugin: str) -> subprocess.Popen[bytes]:
    """Run a child in a folder until it ends."""
    (folder / "stuck.py").write_text(dedent(plugin))
    child = subprocess.Popen([sys.executable, "-c", dedent(CHILD)], cwd=folder)
    assert child.wait(120) is not None
    return child


#: Plugins that end their process, with the cause and the message that are told of it.
ENDS = {
    "killed while it started": (
        """
        import os, signal, time
        def classify(deaths):
            load(deaths)
        def load(deaths):
            with deaths.starting(0.1):
                while "in <module>" not in open("run/w1.trace").read():
                    time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGKILL)
        """,
        DeathCause.NOT_READY,
        r"The worker's process was not ready for work in time; it stood in stuck\.py, "
        r"line [678], in load\.",
    ),
    "just ready in time": (
        """
        import os, time
        def classify(deaths):
            with deaths.starting(0.1):
                while "Timeout" not in open("run/w1.trace").read():
                    time.sleep(0.01)
            os._exit(9)
        """,
        DeathCause.EXIT,
        r"The worker's process exited with status 9\.",
    ),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_child_that_ended_says_how_and_where_it_stood(tmp_path, how):
    plugin, cause, message = ENDS[how]
    child = died(tmp_path, plugin)

    death, _ = DeathFile(Settings(data_dir=tmp_path), "w1").death_of(child.pid, child.returncode)

    assert re.fullmatch(message, death.message), death.message
    assert (death.cause, death.is_silent) == (cause, False)


def test_a_child_that_has_opened_no_file_is_sent_no_signal(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        said = DeathFile(Settings(data_dir=tmp_path), "w1").standing(
            child.pid, Hang(20.0, has_no_heartbeat=True)
        )

        assert child.poll() is None
        child.kill()

    assert said == (
        "The worker's process had no heartbeat for 20 s, as in C code that keeps the interpreter's "
        "lock."
    )


@pytest.mark.parametrize(
    ("exit_code", "cause", "said"),
    [
        (0, DeathCause.EXIT, "exited with status 0."),
        (-9, DeathCause.SIGNAL, "was ended by SIGKILL, as the system does where memory is short."),
        (-15, DeathCause.SIGNAL, "was ended by SIGTERM."),
        (-64, DeathCause.SIGNAL, "was ended by SIGRTMAX."),
        (-99, DeathCause.SIGNAL, "was ended by signal 99."),
        (None, DeathCause.UNKNOWN, "ended."),
    ],
)
def test_a_child_that_left_nothing_is_known_by_its_status(tmp_path, exit_code, cause, said):
    death, stacks = DeathFile(Settings(data_dir=tmp_path), "w1").death_of(1, exit_code)

    assert death.message == f"The worker's process {said}"
    assert death.cause is cause
    assert list(stacks) == []


LOOPING = """
    import threading, time
    def classify(deaths):
        threading.Thread(target=time.sleep, args=[60], name="idle\\n\x1b[2J", daemon=True).start()
        with deaths.starting(60.0):
            pass
        with threading._active_limbo_lock:
            loop()
    def loop():
        print("at work", flush=True)
        while True:
            pass
"""


def test_a_child_that_hangs_is_ended_with_the_stacks_of_all_threads(tmp_path):
    hang = Hang(61.0, 0.812)
    (tmp_path / "stuck.py").write_text(dedent(LOOPING))
    command = [sys.executable, "-c", dedent(CHILD)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"at work\n"
        deaths = DeathFile(Settings(data_dir=tmp_path), "w1")

        standing = deaths.standing(child.pid, hang)
        deaths.kill(child.pid, hang)
    death, stacks = deaths.death_of(child.pid, child.returncode)

    message = (
        r"The plugin computed for 61 s at items that should take 0\.81 s, as earlier ones did "
        r"\(SEQD_UNIT_BUDGET_FACTOR\); it stood in stuck\.py, line \d+, in loop\."
    )
    assert re.fullmatch(message, death.message), death.message
    assert re.fullmatch(message, standing)
    assert (death.cause, death.is_silent) == (DeathCause.HANG, True)
    assert [stack.name for stack in stacks] == ["MainThread", r"idle\n\x1b[2J"]
    assert one_line(stacks[0].frames).startswith("stuck.py:")


def test_a_child_that_stood_still_and_went_on_is_not_said_to_have_been_silent(tmp_path):
    (tmp_path / "stuck.py").write_text("def classify(deaths):\n    input()\n")
    child = subprocess.Popen(
        [sys.executable, "-c", dedent(CHILD)], cwd=tmp_path, stdin=subprocess.PIPE
    )
    deaths = DeathFile(Settings(data_dir=tmp_path), "w1")
    wait_until((tmp_path / "run" / "w1.trace").exists, "it has its file")
    deaths.standing(child.pid, Hang(20.0, has_no_heartbeat=True))

    child.communicate(b"go on\n")
    death, stacks = deaths.death_of(child.pid, child.returncode)

    assert death.message == "The worker's process exited with status 0."
    assert (death.is_silent, list(stacks)) == (False, [])


def a_machine(folder: Path, kills: int, procs: str = "") -> Path:
    """A folder with the `proc` of a process, and its control group of version 2."""
    files = {
        "proc/self/cgroup": "0::/seqd",
        "proc/self/mountinfo": "30 23 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
        "sys/fs/cgroup/seqd/memory.events": f"low 0\noom 3\noom_kill {kills}\noom_group_kill 0",
        "sys/fs/cgroup/seqd/memory.max": "536870912",
        "sys/fs/cgroup/seqd/memory.peak": "536870000",
        "sys/fs/cgroup/seqd/cgroup.procs": procs,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{text}\n")
    return folder


def killed(folder: Path) -> subprocess.Popen[bytes]:
    """A child that SIGKILL has ended, and nobody says who sent it."""
    return died(folder, "import os\ndef classify(deaths): os.kill(os.getpid(), 9)")


@pytest.mark.parametrize(
    ("procs", "whose"),
    [("", "killed"), (f"{os.getpid()}\n1", "most likely killed")],
    ids=["alone", "with others"],
)
def test_a_kill_that_the_kernel_counts_for_want_of_memory_is_one(tmp_path, procs, whose):
    memory = MemoryWatch(a_machine(tmp_path, 2, procs))
    child = killed(tmp_path)
    a_machine(tmp_path, 3, procs)

    deaths = DeathFile(Settings(data_dir=tmp_path), "w1")
    death, _ = deaths.death_of(child.pid, child.returncode, memory)
    again, _ = deaths.death_of(child.pid, child.returncode, memory)

    assert death.cause is DeathCause.OUT_OF_MEMORY
    assert re.fullmatch(
        rf"The worker's process was {whose} by the kernel, since memory was used up: its control "
        r"group may have 536,870,912 bytes and had 536,870,000, the process [\d,]+\. Give it more, "
        r"or lower SEQD_MODEL_CACHE_BYTES, SEQD_MAX_CLAIM_BYTES or `unit_items` of its model\.",
        death.message,
    )
    assert again.cause is DeathCause.SIGNAL


def test_a_kill_of_long_ago_says_nothing_of_a_child_that_dies_now(tmp_path):
    memory = MemoryWatch(a_machine(tmp_path, 2))
    a_machine(tmp_path, 3)
    memory.run_once()
    memory.run_once()
    child = killed(tmp_path)

    death, _ = DeathFile(Settings(data_dir=tmp_path), "w1").death_of(
        child.pid, child.returncode, memory
    )

    assert death.cause is DeathCause.SIGNAL
    assert death.message == (
        "The worker's process was ended by SIGKILL, which no process of seqd has sent; the kernel "
        "counts no kill for want of memory."
    )

"""How a child died, by its status and what it has left in its file."""

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from seqd.settings import Settings
from seqd.worker.deaths import DeathFile, one_line

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
    assert child.wait(30) is not None
    return child


def test_a_child_that_a_signal_ended_says_where_it_stood(tmp_path: Path):
    child = died(
        tmp_path,
        """
        import os, signal
        def classify(deaths):
            os.kill(os.getpid(), signal.SIGSEGV)
        """,
    )

    death, stacks = DeathFile(Settings(data_dir=tmp_path), "w1").death_of(
        child.pid, child.returncode
    )

    assert death.message == (
        "The worker's process was ended by SIGSEGV; it stood in stuck.py, line 4, in classify."
    )
    assert not death.is_silent
    assert one_line(stacks[0].frames).startswith("stuck.py:4 classify")


def test_a_child_that_was_silent_says_so_and_where_it_stood(tmp_path: Path):
    child = died(
        tmp_path,
        """
        def classify(deaths):
            from seqd.worker.silence import Hang
            deaths.die_of_hang(Hang(12.3))
        """,
    )

    death, _ = DeathFile(Settings(data_dir=tmp_path), "w1").death_of(child.pid, child.returncode)

    assert death.message == (
        "The plugin did not ask whether to stop for 12 s; it stood in stuck.py, line 4, in "
        "classify."
    )
    assert death.is_silent


def test_a_child_that_was_killed_while_it_started_says_where_it_stood(tmp_path: Path):
    child = died(
        tmp_path,
        """
        import os, signal, time
        def classify(deaths):
            with deaths.starting(0.1):
                load()
        def load():
            while "Timeout" not in open("run/w1.trace").read():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        """,
    )

    death, _ = DeathFile(Settings(data_dir=tmp_path), "w1").death_of(child.pid, child.returncode)

    assert re.fullmatch(
        r"The worker's process was not ready for work in time; it stood in stuck\.py, "
        r"line [78], in load\.",
        death.message,
    )


@pytest.mark.slow
def test_a_child_that_stood_still_and_went_on_is_not_said_to_have_been_silent(tmp_path: Path):
    child = died(tmp_path, "import os\ndef classify(deaths): os._exit(9)")
    deaths = DeathFile(Settings(data_dir=tmp_path), "w1")
    with (tmp_path / "run" / "w1.trace").open("a") as file:
        file.write('still for 20 s\n\nThread 0x1 (most recent call first):\n  File "a.py"\n')

    death, stacks = deaths.death_of(child.pid, child.returncode)

    assert death.message == "The worker's process exited with status 9."
    assert (death.is_silent, list(stacks)) == (False, [])


@pytest.mark.slow
def test_a_child_that_was_just_ready_in_time_is_not_said_to_have_been_late(tmp_path: Path):
    child = died(
        tmp_path,
        """
        import os, time
        def classify(deaths):
            with deaths.starting(0.1):
                while "Timeout" not in open("run/w1.trace").read():
                    time.sleep(0.01)
            os._exit(9)
        """,
    )

    death, _ = DeathFile(Settings(data_dir=tmp_path), "w1").death_of(child.pid, child.returncode)

    assert death.message == "The worker's process exited with status 9."


def test_a_child_that_has_opened_no_file_is_sent_no_signal(tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        death = DeathFile(Settings(data_dir=tmp_path), "w1").standing(child.pid, 20.0)

        assert child.poll() is None
        child.kill()

    assert death.message == (
        "No thread of the worker's process ran for 20 s, as in C code that keeps the interpreter's "
        "lock."
    )


@pytest.mark.parametrize(
    ("exit_code", "said"),
    [
        (0, "exited with status 0."),
        (-9, "was ended by SIGKILL, as the system does where memory is short."),
        (-64, "was ended by SIGRTMAX."),
        (-99, "was ended by signal 99."),
        (None, "ended."),
    ],
)
def test_a_child_that_left_nothing_is_known_by_its_status(
    tmp_path: Path, exit_code: int | None, said: str
):
    death, stacks = DeathFile(Settings(data_dir=tmp_path), "w1").death_of(1, exit_code)

    assert death.message == f"The worker's process {said}"
    assert list(stacks) == []

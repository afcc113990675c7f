"""Runs a command for a limited time, and ends all that it has started.

Called as `keeper.py SECONDS COMMAND …`.

Tests start servers and workers in sessions of their own, and one that is stopped leaves them. On
Linux the kernel gives this process all orphans below it, so when the command is over whatever is
left is a child of this process, and nothing else is. Ends with the command's status, or 124 when
the time was over; ends in order when whoever has started it is gone.

Imports the standard library alone: it runs with `-I -S`.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

TIME_IS_OVER = 124

#: Of prctl, in <linux/prctl.h>.
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def run(limit_s: float, command: Sequence[str]) -> int:
    """Run the command; return the status to end with."""
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    program = subprocess.Popen(command, start_new_session=True)
    try:
        return program.wait(limit_s)
    except subprocess.TimeoutExpired:
        return TIME_IS_OVER
    finally:
        program.kill()
        program.wait()
        _end_children()


def _end_children() -> None:
    """End all children, and theirs, which become children when their parent has ended."""
    while children := list(_children()):
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children() -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                yield int(folder.name)


if __name__ == "__main__":
    sys.exit(run(float(sys.argv[1]), sys.argv[2:]))

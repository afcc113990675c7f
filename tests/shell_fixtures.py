"""An interactive bash on a terminal, with seqd's completion: types keys, and reads what comes."""

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cli_builders import clean_environment

DEADLINE_S = 120.0

#: Keys: to the line's begin, to its end, and all that a word may become in its place.
_BEGIN, _END, _INSERT_ALL = "\x01", "\x05", "\x1b*"

#: What moves the cursor of the terminal, beeps, or pastes.
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x07")


class Bash:
    """A shell that somebody types into."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._number = 0

    def run(self, line: str) -> str:
        """Type a line; return what came of it."""
        self._number += 1
        mark = f"done-{self._number}"
        self._type(f"{line}\necho done-''{self._number}\n")
        return self._until(mark)

    def completed(self, typed: str, key: str = "\t") -> str:
        """Return the line after one Tab."""
        self._number += 1
        self._type(f"{typed}{key}{_BEGIN}echo '<{_END}>' done-''{self._number}\n")
        return self._until(f"> done-{self._number}").rpartition("<")[2]

    def offers(self, typed: str) -> list[str]:
        """Return all that the last word may become, sorted."""
        line = self.completed(typed, _INSERT_ALL)
        return sorted(line.removeprefix(typed.rpartition(" ")[0]).split())

    def _type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def _until(self, mark: str) -> str:
        seen, deadline = "", time.monotonic() + DEADLINE_S
        while mark not in seen:
            assert time.monotonic() < deadline, f"{mark} never came: {seen}"
            if select.select([self._terminal], [], [], 1.0)[0]:
                seen += os.read(self._terminal, 65_536).decode(errors="replace")
                seen = _ESCAPES.sub("", seen)
        return seen.partition(mark)[0]


def on_a_terminal(folder: Path, *arguments: str, columns: int = 80, **variables: str) -> str:
    """Run seqd in a folder, on a terminal; return what stands there, without its colours."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = clean_environment(**variables)
    del environment["COLUMNS"]
    program = subprocess.Popen(
        [sys.executable, "-m", "seqd", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=its,
        stderr=its,
        start_new_session=True,
        cwd=folder,
    )
    os.close(its)
    seen = bytearray()
    with suppress(OSError):  # what Linux says when nobody has the other side open any more
        while some := os.read(ours, 65_536):
            seen += some
    os.close(ours)
    program.wait(DEADLINE_S)
    return _ESCAPES.sub("", seen.decode()).replace("\r\n", "\n")


@contextmanager
def interactive_bash(home: Path, **variables: str) -> Iterator[Bash]:
    """Start bash with the `.bashrc` of a home folder; it ends with the block."""
    bash = shutil.which("bash")
    assert bash is not None
    environment = clean_environment(**variables) | shell_environment(home)
    ours, its = pty.openpty()
    program = subprocess.Popen(
        [bash, "--noprofile", "--rcfile", str(home / ".bashrc"), "-i"],
        env=environment,
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
        cwd=home,
    )
    os.close(its)
    try:
        shell = Bash(ours)
        shell.run(
            "PS1='seqd$ '; bind 'set completion-query-items 0'; bind 'set page-completions off'"
        )
        shell.run("PS1='$ '; bind 'set enable-bracketed-paste off'")
        yield shell
    finally:
        program.kill()
        program.wait()
        os.close(ours)


def shell_environment(home: Path) -> dict[str, str]:
    """Return the variables of a shell that finds this interpreter's `seqd` first."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"HOME": str(home), "PATH": path, "TERM": "dumb", "COLUMNS": "1000"}

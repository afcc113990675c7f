"""An interactive bash on a terminal, with seqd's completion: types keys, and reads what comes."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli_builders import clean_environment

DEADLINE_S = 60.0

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

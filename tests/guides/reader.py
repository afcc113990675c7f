"""Follows a page as its reader does: files, commands, Python, and what stands on the screen then.

A block with `file=NAME` is written into a folder. A block of `sh` is typed there, on a terminal of
80 columns or more, and a block of `text` right after it is what stands on the screen then. In such
a block `…` stands for what differs from run to run, and a line of `…` alone for any lines; a date,
a job and `ann@desk` stand for any. A block of `python` without a file is typed into this process,
and what it names stays.

What else stands on a page is only shown: `pages` has the reason of each block, and of each line
that is left out. `pip install -e .` notes the entry points in the folder, as installing does,
without the network. A block that is `seqd up` runs until the next one of the page, or its end.
"""

import fcntl
import io
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyte

from checkout import ROOT, python_path
from cli_builders import clean_environment, running_daemon, status_of
from guides.daemons import SLOTS, Daemon
from guides.pages import Page, of_beginning
from readme_blocks import Block, steps_of
from worker_fixtures import wait_until

#: Of the terminal; where a page shows wider output, it is WIDE.
COLUMNS, WIDE, LINES = 80, 120, 500

_SHELL = """
seqd() {{ "{python}" -P -m seqd "$@"; }}
python() {{ "{python}" "$@"; }}
pip() {{ "{python}" -P "{here}" "$2" "$3"; }}
"""

#: What differs from run to run: how a page has it, and what may stand there.
_VARIES = {
    r"…": r".*",
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    r"ann@desk +": r"\S+ +",
    r"\b[0-9a-f]{21}\b": r"[0-9a-f]{21}",
}


def follow(path: Path, page: Page, folder: Path, daemon: Daemon) -> None:
    """Do all that a page says, in a folder. Raises AssertionError at the first thing that fails."""
    with ExitStack() as up:
        reader = Reader(page, folder, daemon, up)
        for name, content in page.files.items():
            (folder / name).write_text(content(), encoding="utf-8")
        steps = steps_of(path)
        for block, after in zip(steps, [*steps[1:], None], strict=True):
            if not page.is_shown(block):
                is_output = after is not None and page.is_output(after, block)
                reader.act(block, after.text if after and is_output else None)


@dataclass
class Reader:
    """Somebody in front of a terminal, in a folder of theirs."""

    page: Page
    folder: Path
    daemon: Daemon
    #: Holds what `seqd up` of the page has started.
    up: ExitStack
    _names: dict[str, object] = field(default_factory=lambda: {"__name__": "page"})

    def act(self, block: Block, expected: str | None) -> None:
        """Do what a block says; hold what it prints against the block after it."""
        text = block.text.replace("/data/", f"{self.folder}/")
        for name, meant in self.daemon.names.items():
            text = text.replace(name, meant)
        if script := of_beginning(self.page.before, block.text):
            self._on_a_terminal(script)
        if block.file:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif text == "seqd up\n":
            self.up.close()
            data = self.folder / "data"
            data.mkdir(exist_ok=True)
            variables = self.environment()
            self.up.enter_context(running_daemon(data, "--slots", SLOTS, **variables))
        else:
            self._type(block.language, text, expected)

    def _type(self, language: str, text: str, expected: str | None) -> None:
        if language == "python":
            printed = self._in_this_process(text)
        elif self.daemon.is_in_process:
            printed = "".join(self._command(line) for line in text.splitlines())
        else:
            is_wide = max(map(len, (expected or "").splitlines()), default=0) > COLUMNS
            printed = self._on_a_terminal(text, WIDE if is_wide else COLUMNS)
            if awaited := of_beginning(self.page.awaited, text):
                wait_until(lambda: awaited in self._on_a_terminal(text), f"{text} prints {awaited}")
        if expected is not None:
            assert matches(printed, expected), (
                f"{text}\nprinted\n\n{printed}\nand not\n\n{expected}"
            )

    def environment(self) -> dict[str, str]:
        """Return the variables of the reader's shell."""
        bin_folder = Path(sys.executable).parent
        found = clean_environment(
            SEQD_DATA_DIR=str(self.folder / "data"),
            PYTHONPATH=python_path(self.folder),
            PATH=f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            TERM="xterm",
            PYTEST_ADDOPTS="-p no:cacheprovider -o asyncio_default_fixture_loop_scope=function",
        )
        del found["COLUMNS"]
        return found | self.daemon.variables

    def _in_this_process(self, program: str) -> str:
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(program, self._names)
        return printed.getvalue()

    def _command(self, line: str) -> str:
        words = shlex.split(line, comments=True)
        if not words or self.page.reason_of(line):
            return ""
        assert words[0] == "seqd", f"only seqd is typed on a daemon in this process: {line}"
        printed = io.StringIO()
        with redirect_stdout(printed), redirect_stderr(printed):
            status = status_of(*words[1:])
        assert status == 0, f"{line}\nended with {status}:\n\n{printed.getvalue()}"
        return printed.getvalue()

    def _on_a_terminal(self, script: str, columns: int = COLUMNS) -> str:
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
        functions = _SHELL.format(python=sys.executable, here=ROOT / "tests" / "installing.py")
        program = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", functions + script],
            env=self.environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=its,
            stderr=its,
            start_new_session=True,
        )
        os.close(its)
        screen = pyte.Screen(columns, LINES)
        stream = pyte.ByteStream(screen)
        with suppress(OSError):  # what Linux says when nobody has the other side open any more
            while some := os.read(ours, 65_536):
                stream.feed(some)
        os.close(ours)
        printed = "\n".join(line.rstrip() for line in screen.display).rstrip() + "\n"
        assert program.wait(120) == 0, f"{script}\nended with {program.returncode}:\n\n{printed}"
        return printed


def matches(printed: str, expected: str) -> bool:
    """Return True where a screen shows what a page does."""
    pattern = [
        r"(?:.*\n)*?" if line.strip() == "…" else f"{_pattern_of(line)}\n"
        for line in expected.splitlines()
    ]
    return re.fullmatch("".join(pattern), printed) is not None


def _pattern_of(line: str) -> str:
    """Return what a line of a page stands for, as a regular expression."""
    found = re.compile("|".join(f"({one})" for one in _VARIES))
    meant = list(_VARIES.values())
    at, parts = 0, list[str]()
    for one in found.finditer(line):
        parts += [re.escape(line[at : one.start()]), meant[(one.lastindex or 1) - 1]]
        at = one.end()
    return "".join([*parts, re.escape(line[at:])])

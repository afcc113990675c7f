"""Follows a page of the authors' guide, step by step, as a reader does: files, commands, output.

A block with `file=NAME` is written into a folder, a block of `sh` is run there on a terminal of 80
columns, and a block of `text` right after it is what stands on the screen then. In such a block `…`
stands for what differs from run to run, and a line of `…` alone for any lines.

`pip install -e .` notes the entry points in the folder, as installing does, without the network.
`seqd up` runs until the end of the page; each further `seqd up` starts the daemon again.
"""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyte

from checkout import ROOT, python_path
from cli_builders import clean_environment
from readme_blocks import Block, steps_of
from worker_fixtures import wait_until

COLUMNS, LINES = 80, 500

_SHELL = """
seqd() {{ "{python}" -m seqd "$@"; }}
python() {{ "{python}" "$@"; }}
pip() {{ "{python}" -P "{here}" "$2" "$3"; }}
"""


def follow(page: Path, folder: Path) -> None:
    """Do all that a page says, in a folder. Raises AssertionError at the first thing that fails."""
    steps = steps_of(page)
    with ExitStack() as ends:
        reader = Reader(folder, ends)
        for step, after in zip(steps, [*steps[1:], None], strict=True):
            if step.file:
                reader.write(step)
            elif step.language == "sh":
                shown = after if after is not None and _is_shown(after) else None
                reader.run(step.text, None if shown is None else shown.text)


def _is_shown(block: Block) -> bool:
    return block.language == "text" and not block.file


@dataclass
class Reader:
    """Somebody in front of a terminal, in a folder of theirs."""

    folder: Path
    ends: ExitStack
    _up: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        """Stop at the end what was started."""
        self.ends.callback(self._up.close)

    def write(self, block: Block) -> None:
        """Save a file of the page."""
        path = self.folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")

    def run(self, script: str, expected: str | None) -> None:
        """Run a block; hold its output against the block after it."""
        if script == "seqd up\n":
            self._up.close()
            self._up.enter_context(_daemon(self.folder, self.environment()))
            return
        printed = self._on_a_terminal(script)
        if expected is not None:
            assert matches(printed, expected), (
                f"{script}\nprinted\n\n{printed}\nand not\n\n{expected}"
            )

    def environment(self) -> dict[str, str]:
        """Return the variables of the reader's shell."""
        found = clean_environment(
            SEQD_DATA_DIR=str(self.folder / "data"),
            PYTHONPATH=python_path(self.folder),
            TERM="xterm",
            PYTEST_ADDOPTS="-p no:asyncio -p no:cacheprovider",
        )
        del found["COLUMNS"]
        return found

    def _on_a_terminal(self, script: str) -> str:
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
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
        screen = pyte.Screen(COLUMNS, LINES)
        stream = pyte.ByteStream(screen)
        with suppress(OSError):  # what Linux says when nobody has the other side open any more
            while some := os.read(ours, 65_536):
                stream.feed(some)
        os.close(ours)
        printed = "\n".join(line.rstrip() for line in screen.display).rstrip() + "\n"
        assert program.wait(60) == 0, f"{script}\nended with {program.returncode}:\n\n{printed}"
        return printed


def matches(printed: str, expected: str) -> bool:
    """Return True where a screen shows what a page does; `…` is anything."""
    pattern = [
        r"(?:.*\n)*?"
        if line.strip() == "…"
        else ".*".join(re.escape(part) for part in line.split("…")) + "\n"
        for line in expected.splitlines()
    ]
    return re.fullmatch("".join(pattern), printed) is not None


@contextmanager
def _daemon(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    log = folder / "up.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "seqd", "up", *_SLOTS],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: "Ready after" in log.read_text(), log.read_text(), 90)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert process.returncode == 0, log.read_text()


#: One child that serves and one that trains, on whatever machine.
_SLOTS: Sequence[str] = ("--slots", "cpu:0,train@cpu")

"""`Screen`: prints lines for people to stdout, or to stderr where stdout carries data for programs.

Text of jobs and plugins is shown as it is: it is never read as rich's markup, and control
characters in it cannot move the cursor.
"""

import os
import sys
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from seqd.cli.ui.stdout import STDOUT, stdout
from seqd.escaping import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

#: Width of what is no terminal: a pipe has none, and a table must not be cut there.
_UNLIMITED = 4_096

#: Variables by which rich takes for a terminal what is none.
_TAKEN_FOR_TERMINALS = ("FORCE_COLOR", "TTY_COMPATIBLE")


class Screen:
    """Prints lines. `is_live` says whether what was printed can be drawn over."""

    def __init__(self, *, to_stderr: bool = False, is_beside_json: bool = False) -> None:
        self._to_stderr = to_stderr or is_beside_json
        #: True where programs read the JSON that a command prints on stdout.
        self.is_beside_json = is_beside_json
        self._is_terminal = self._may_be_terminal() and self.console.is_terminal
        self.is_live = self._is_terminal and not self.console.is_dumb_terminal

    @cached_property
    def console(self) -> "Console":
        """The console of rich; rich is imported here, since plain lines need none of it."""
        from rich.console import Console as RichConsole

        from seqd.cli.exits import end_unread

        class Console(RichConsole):
            def on_broken_pipe(self) -> None:  # rich would end with status 1
                end_unread()

        stream = None if self._to_stderr else STDOUT
        console = Console(file=stream, stderr=self._to_stderr, highlight=False, soft_wrap=False)
        if not console.is_terminal and "COLUMNS" not in os.environ:
            console = Console(
                file=stream, stderr=self._to_stderr, highlight=False, width=_UNLIMITED
            )
        return console

    def on_stderr(self) -> "Screen":
        """Return a screen for a command that prints data of its own on stdout."""
        return Screen(to_stderr=True, is_beside_json=self.is_beside_json)

    def say(self, text: str = "", style: str = "") -> None:
        """Print a line; a terminal's long one is broken between words, any other stays whole."""
        line = printable(text)
        if "console" not in self.__dict__ and line.isascii() and "\t" not in line:
            self._write(line)  # as rich would, without its import
            return
        from rich.text import Text

        self.console.print(Text(line, style=style), soft_wrap=not self._is_terminal)

    def _write(self, line: str) -> None:
        stream = sys.stderr if self._to_stderr else stdout()
        try:
            stream.write(f"{line}\n")
            stream.flush()
        except BrokenPipeError:
            self.console.on_broken_pipe()

    def _may_be_terminal(self) -> bool:
        """Return False where the stream is surely no terminal; of the rest rich decides."""
        if any(name in os.environ for name in _TAKEN_FOR_TERMINALS):
            return True
        stream = sys.stderr if self._to_stderr else stdout()
        try:
            return stream.isatty()
        except ValueError:  # it is closed
            return False

    def block(self, lines: "Iterable[Text]") -> None:
        """Print lines that are laid out already."""
        for line in lines:
            self.console.print(line, soft_wrap=True)


def data_goes_to_a_terminal() -> bool:
    """Return whether a person reads stdout."""
    return stdout().isatty()

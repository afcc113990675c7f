"""Where lines for people go: stdout, or stderr while stdout carries data for programs.

Text of jobs and plugins is shown as it is: it is never read as rich's markup, and control
characters in it cannot move the cursor.
"""

import os
import re
import sys
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

#: Width of what is no terminal: a pipe has none, and a table must not be cut there.
_UNLIMITED = 4_096

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Screen:
    """A place for lines. `is_live` says whether what was written can be drawn over."""

    def __init__(self, *, to_stderr: bool = False) -> None:
        console = Console(stderr=to_stderr, highlight=False, soft_wrap=False)
        if not console.is_terminal and "COLUMNS" not in os.environ:
            console = Console(stderr=to_stderr, highlight=False, width=_UNLIMITED)
        self.console = console
        self.is_live = console.is_terminal and not console.is_dumb_terminal

    def say(self, text: str = "", style: str = "") -> None:
        """Print a line; a terminal's long one is broken between words, any other stays whole."""
        self.console.print(Text(printable(text), style=style), soft_wrap=not self.is_live)

    def block(self, lines: Iterable[Text]) -> None:
        """Print lines that are laid out already."""
        for line in lines:
            self.console.print(line, soft_wrap=True)


def printable(text: str) -> str:
    """Give a text with control characters, and those that turn its direction, escaped."""
    return _CONTROLS.sub(lambda match: ascii(match[0])[1:-1], text)


def data_goes_to_a_terminal() -> bool:
    """True when a person reads stdout."""
    return sys.stdout.isatty()

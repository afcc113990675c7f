"""Where the lines of a session come from: a terminal, with editing and history, or a pipe."""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Prompt(Protocol):
    """Reads lines."""

    def read(self, label: Callable[[], str]) -> str | None:
        """Return the next line, without its end; None behind the last. Raises KeyboardInterrupt."""

    def beside(self) -> AbstractContextManager[object]:
        """Return a block in which other threads may print while a line is being typed."""


def prompt_for(commands: Sequence[str]) -> Prompt:
    """Return what reads standard input; on a terminal `commands` are completed."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return TerminalPrompt(commands)
    return PipePrompt()


class PipePrompt:
    """Reads the lines of a pipe or a file; shows no prompt."""

    def read(self, label: Callable[[], str]) -> str | None:
        """Return the next line; None behind the last."""
        line = sys.stdin.readline()
        return line.rstrip("\r\n") if line else None

    def beside(self) -> AbstractContextManager[object]:
        """Return a block that changes nothing."""
        return nullcontext()


class TerminalPrompt:
    """Reads what a person types, with the keys of Emacs; the arrows give earlier lines again."""

    def __init__(self, commands: Sequence[str]) -> None:
        """`commands` are completed."""
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter

        completer = WordCompleter(list(commands), sentence=True)
        self._session: PromptSession[str] = PromptSession(
            completer=completer, complete_while_typing=False
        )

    def read(self, label: Callable[[], str]) -> str | None:
        """Return the next line; None at Ctrl-D. Raises KeyboardInterrupt."""
        try:
            return self._session.prompt(label)
        except EOFError:
            return None

    def beside(self) -> AbstractContextManager[object]:
        """Return a block in which what is printed stands above the line that is typed."""
        from prompt_toolkit.patch_stdout import patch_stdout

        return patch_stdout(raw=True)

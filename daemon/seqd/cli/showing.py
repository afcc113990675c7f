"""How a command shows what it found: to people, or with `--json` to programs.

A command returns what it found, and `shown` prints it. So no command knows who reads it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import Annotated

import typer

from seqd.cli.exits import OK
from seqd.cli.options import takes
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.stdout import print_json


@dataclass(frozen=True, slots=True)
class _Readers:
    """Who reads what a command prints."""

    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON for programs; what is for people goes to stderr."),
    ] = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a command found, or has done."""

    #: What programs read: a record, or lists and mappings of them.
    record: object
    #: What people read: a sentence, or what prints it; nothing where it is said already.
    view: str | Callable[[Screen], object] = ""
    #: The style of a sentence.
    style: str = ""
    status: int = OK

    def print_on(self, screen: Screen) -> None:
        """Print it for programs where these read stdout, else for people."""
        if screen.is_beside_json:
            print_json(self.record)
        elif callable(self.view):
            self.view(screen)
        elif self.view:
            screen.say(self.view, self.style)


def shown(command: Callable[..., Found | None]) -> Callable[..., None]:
    """Have what a command returns printed: for people, or with the option `--json` for programs.

    It may take a `screen`, for what it says meanwhile: that goes to stderr beside JSON. One that
    prints as it goes returns None.
    """
    takes_screen = "screen" in signature(command).parameters

    @wraps(command)
    def run(screen: Screen, **typed: object) -> None:
        found = command(screen=screen, **typed) if takes_screen else command(**typed)
        if found is not None:
            found.print_on(screen)
            raise typer.Exit(found.status)

    to_screen = takes(_Readers, "screen", lambda given: Screen(is_beside_json=given.as_json))
    return to_screen(run)

"""The commands as a tree, each imported when it is called, with all that it needs.

So a module of commands imports at its top, and a list of commands takes no library of theirs: what
it says of each is read from the module's source.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

#: How help texts mark words up.
MARKUP: Any = "rich"


@dataclass(frozen=True, slots=True)
class Command:
    """A function, as `MODULE:NAME` within `seqd.cli`."""

    function: str
    #: What it stands under in a list.
    heading: str | None = None

    @property
    def module(self) -> str:
        """The function's module."""
        return f"seqd.cli.{self.function.partition(':')[0]}"

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.partition(":")[2]

    def summary(self) -> str:
        """Return the first paragraph of the docstring, from the source of the module."""
        spec = find_spec(self.module)
        source: str = spec.loader.get_source(self.module)  # type: ignore[union-attr]
        functions = (one for one in ast.parse(source).body if isinstance(one, ast.FunctionDef))
        node = next(one for one in functions if one.name == self.name)
        return (ast.get_docstring(node) or "").partition("\n\n")[0]

    def add_to(self, app: typer.Typer, name: str) -> None:
        """Give an app the command."""
        app.command(name)(getattr(import_module(self.module), self.name))


@dataclass(frozen=True, slots=True)
class Commands:
    """Commands under one name: their functions, by name, in their order."""

    help: str
    functions: Mapping[str, str]
    heading: str

    def summary(self) -> str:
        """Return what they are for."""
        return self.help

    def add_to(self, app: typer.Typer, name: str) -> None:
        """Give an app the commands."""
        commands = {one: Command(function) for one, function in self.functions.items()}
        app.add_typer(
            typer.Typer(cls=group_of(commands), help=self.help, no_args_is_help=True), name=name
        )


class LazyGroup(TyperGroup):
    """Commands by name; a derived class has its own."""

    tree: Mapping[str, Command | Commands]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # The names alone, among which the group looks for what a wrong one may have meant.
        self.commands: Any = dict.fromkeys(self.tree)
        self._is_listing = False

    def get_command(self, ctx: Any, name: str) -> Any:
        """Return the command of that name; None without one."""
        if name not in self.tree:
            return None
        one = self.tree[name]
        if self._is_listing:
            return TyperCommand(name, help=one.summary(), rich_help_panel=one.heading)
        alone = typer.Typer(rich_markup_mode=MARKUP, pretty_exceptions_enable=False)
        one.add_to(alone, name)
        found = get_group(alone).commands[name]
        found.help = _flowing(found.help or "")
        return found

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with a line on each command."""
        self._is_listing = True
        super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Offer the commands."""
        self._is_listing = True
        return super().shell_complete(ctx, incomplete)


def group_of(tree: Mapping[str, Command | Commands]) -> type[LazyGroup]:
    """Return the class of a group of commands, in their order."""
    return type("Group", (LazyGroup,), {"tree": tree})


def _flowing(text: str) -> str:
    """Return a help whose paragraphs, but for lists, are broken by the terminal.

    typer keeps the line breaks of a docstring, which fall in the middle of a line of 80 columns.
    """
    paragraphs = text.split("\n\n")
    return "\n\n".join(one if _is_list(one) else " ".join(one.split("\n")) for one in paragraphs)


def _is_list(paragraph: str) -> bool:
    return any(line.startswith(("- ", " ", "\b")) for line in paragraph.split("\n"))

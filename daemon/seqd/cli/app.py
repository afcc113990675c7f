"""The command `seqd`: the names, order and headings of its commands, and where each is.

A command's module is imported when the command is called, or listed with its help.
"""

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_group

_RUN = "Run the daemon"
_WORK = "Hand work in"
_LOOK = "Look at what there is"


class _Source(NamedTuple):
    """Where a command is: its module, its function or Typer there, and its heading."""

    module: str
    name: str
    heading: str


_COMMANDS = {
    "demo": _Source("demo", "demo", _RUN),
    "up": _Source("up", "up", _RUN),
    "worker": _Source("up", "worker", _RUN),
    "classify": _Source("classify", "classify", _WORK),
    "train": _Source("train", "train", _WORK),
    "sweep": _Source("train", "sweep", _WORK),
    "generate": _Source("generate", "generate", _WORK),
    "status": _Source("status", "status", _LOOK),
    "schema": _Source("schema", "schema", _LOOK),
    "jobs": _Source("jobs", "app", _WORK),
    "models": _Source("models", "app", _LOOK),
    "plugins": _Source("plugins", "app", _LOOK),
}


class _Commands(MutableMapping[str, Any]):
    """The commands by name, each made when it is first used."""

    def __init__(self, markup: str) -> None:
        self._markup: Any = markup
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self._make(name, _COMMANDS[name])
        return self._made[name]

    def _make(self, name: str, source: _Source) -> Any:
        command = getattr(import_module(f"seqd.cli.{source.module}"), source.name)
        alone = typer.Typer(rich_markup_mode=self._markup, pretty_exceptions_enable=False)
        if isinstance(command, typer.Typer):
            alone.add_typer(command, name=name, rich_help_panel=source.heading)
        else:
            alone.command(name, rich_help_panel=source.heading)(command)
        return get_group(alone).commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_COMMANDS)

    def __len__(self) -> int:
        return len(_COMMANDS)

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]


class _Group(TyperGroup):
    """The command `seqd`, whose subcommands are imported one by one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Commands(_MARKUP)


#: How help texts mark words up.
_MARKUP: Any = "rich"

app = typer.Typer(
    name="seqd",
    cls=_Group,
    help="The sequence-model daemon: bulk classification, training and generation.",
    no_args_is_help=True,
    add_completion=False,
    # An unforeseen error shows Python's own traceback, which can be reported as it is.
    pretty_exceptions_enable=False,
    rich_markup_mode=_MARKUP,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from seqd import __version__

        typer.echo(f"seqd {__version__}")
        raise typer.Exit


@app.callback()
def seqd(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version."),
    ] = False,
) -> None:
    """The sequence-model daemon: bulk classification, training and generation."""

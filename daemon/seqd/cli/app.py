"""The command `seqd`: the names, order and headings of its commands, and where each is."""

from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_group

from seqd.local.caller import name_command

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
    "gateway": _Source("gateway", "gateway", _RUN),
    "exporter": _Source("exporter", "exporter", _RUN),
    "probe": _Source("probe", "app", _RUN),
    "classify": _Source("classify", "classify", _WORK),
    "train": _Source("train", "train", _WORK),
    "sweep": _Source("train", "sweep", _WORK),
    "generate": _Source("generate", "generate", _WORK),
    "run": _Source("run", "run", _WORK),
    "status": _Source("status", "status", _LOOK),
    "doctor": _Source("doctor", "doctor", _LOOK),
    "top": _Source("top.command", "top", _LOOK),
    "queues": _Source("queues", "queues", _LOOK),
    "explain": _Source("explain", "explain", _LOOK),
    "logs": _Source("logs", "logs", _LOOK),
    "workers": _Source("workers", "app", _LOOK),
    "schema": _Source("schema", "schema", _LOOK),
    "jobs": _Source("jobs", "app", _WORK),
    "failures": _Source("failures", "app", _LOOK),
    "models": _Source("models.app", "app", _LOOK),
    "plugins": _Source("plugins.app", "app", _LOOK),
    "redis": _Source("redis_users", "app", _LOOK),
    "settings": _Source("settings", "settings", _LOOK),
    "tenants": _Source("tenants", "app", _RUN),
    "keys": _Source("keys", "app", _RUN),
    "webhooks": _Source("webhooks", "app", _RUN),
    "audit": _Source("audit", "audit", _LOOK),
}


#: How help texts mark words up.
_MARKUP: Any = "rich"


class _Group(TyperGroup):
    """The command `seqd`, which imports a subcommand when it is called, or listed with its help."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # The names alone, among which the group looks for what a wrong one may have meant.
        self.commands: Any = dict.fromkeys(_COMMANDS)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; click would end with status 1 where nobody reads its output."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            from seqd.cli.exits import end_unread

            end_unread()

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that was typed, after it has its name in the audit."""
        found = super().resolve_command(ctx, args)
        has_commands = hasattr(found[1], "commands")
        name_command(" ".join(["seqd", *args[: 2 if has_commands else 1]]))
        return found

    def get_command(self, ctx: Any, name: str) -> Any:
        """Return the command of that name; None without one."""
        if name not in _COMMANDS:
            return None
        source = _COMMANDS[name]
        module = import_module(f"seqd.cli.{source.module}")
        command = getattr(module, source.name)
        alone = typer.Typer(rich_markup_mode=_MARKUP, pretty_exceptions_enable=False)
        if isinstance(command, typer.Typer):
            alone.add_typer(command, name=name, rich_help_panel=source.heading)
        else:
            alone.command(name, rich_help_panel=source.heading)(command)
        found = get_group(alone).commands[name]
        _let_help_flow(found)
        return found


def _let_help_flow(command: Any) -> None:
    """Have the paragraphs of a command's help, and of its own commands, broken by the terminal.

    typer keeps the line breaks of a docstring, which fall in the middle of a line of 80 columns.
    """
    paragraphs = (command.help or "").split("\n\n")
    command.help = "\n\n".join(
        one if _is_list(one) else " ".join(one.split("\n")) for one in paragraphs
    )
    for each in getattr(command, "commands", {}).values():
        _let_help_flow(each)


def _is_list(paragraph: str) -> bool:
    return any(line.startswith(("- ", " ", "\b")) for line in paragraph.split("\n"))


app = typer.Typer(
    name="seqd",
    cls=_Group,
    help="The sequence-model daemon: bulk classification, training and generation.",
    no_args_is_help=True,
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

"""The command `seqd`: the names, order and headings of its commands, and where each is."""

from typing import Annotated, Any

import typer

from seqd.cli.groups import MARKUP, Command, Commands, LazyGroup
from seqd.local.caller import name_command

_RUN = "Run the daemon"
_WORK = "Hand work in"
_LOOK = "Look at what there is"


_TREE: dict[str, Command | Commands] = {
    "demo": Command("demo:demo", _RUN),
    "up": Command("up:up", _RUN),
    "worker": Command("up:worker", _RUN),
    "gateway": Command("gateway:gateway", _RUN),
    "exporter": Command("exporter:exporter", _RUN),
    "probe": Commands(
        "Probe a worker of this machine: exit 0 for yes, 1 for no. Asks no Redis.",
        {
            "live": "probe:live",
            "ready": "probe:ready",
        },
        _RUN,
    ),
    "classify": Command("classify:classify", _WORK),
    "train": Command("train:train", _WORK),
    "sweep": Command("train:sweep", _WORK),
    "generate": Command("generate:generate", _WORK),
    "run": Command("run:run", _WORK),
    "status": Command("status:status", _LOOK),
    "doctor": Command("doctor:doctor", _LOOK),
    "top": Command("top.command:top", _LOOK),
    "queues": Command("queues:queues", _LOOK),
    "explain": Command("explain:explain", _LOOK),
    "logs": Command("logs:logs", _LOOK),
    "workers": Commands(
        "List workers; keep them from claiming, drain and restart them.",
        {
            "list": "workers:list_workers",
            "cordon": "workers:cordon",
            "drain": "workers:drain",
            "uncordon": "workers:uncordon",
            "restart": "workers:restart",
        },
        _LOOK,
    ),
    "schema": Command("schema:schema", _LOOK),
    "jobs": Commands(
        "List, show, watch and fetch jobs; cancel, pause, resume, retry and remove them.",
        {
            "list": "jobs:list_jobs",
            "show": "jobs:show",
            "watch": "jobs:watch",
            "results": "jobs:results",
            "plot": "jobs:plot",
            "cancel": "jobs:cancel",
            "pause": "jobs:pause",
            "resume": "jobs:resume",
            "retry": "jobs:retry",
            "rm": "jobs:remove",
        },
        _WORK,
    ),
    "failures": Commands(
        "List and show what failed (dead letters), try it again once it is mended, remove it.",
        {
            "list": "failures:list_failures",
            "show": "failures:show",
            "replay": "failures:replay",
            "purge": "failures:purge",
        },
        _LOOK,
    ),
    "models": Commands(
        "List, show, evaluate and compare models; put versions in service.",
        {
            "list": "models.fleet:list_models",
            "show": "models.fleet:show",
            "evaluate": "models.evaluate:evaluate",
            "compare": "models.compare:compare",
            "params": "models.params:params",
            "place": "models.placing:place",
            "pause": "models.placing:pause",
            "disable": "models.placing:disable",
            "resume": "models.placing:resume",
            "add": "models.adding:add",
            "export": "models.files:export_version",
            "import": "models.files:import_version",
            "rm": "models.files:remove",
            "gc": "models.files:collect",
            "promote": "models.promotion:promote",
            "rollback": "models.promotion:rollback",
            "history": "models.promotion:history",
            "label": "models.promotion:label",
        },
        _LOOK,
    ),
    "plugins": Commands(
        "List, show, write, check and try plugins.",
        {
            "list": "plugins.listing:list_plugins",
            "show": "plugins.listing:show",
            "new": "plugins.new:new_plugin",
            "check": "plugins.check:check",
            "try": "plugins.trying:try_plugin",
            "dev": "plugins.trying:dev",
        },
        _LOOK,
    ),
    "redis": Commands(
        "Rights of users on a Redis server.",
        {
            "acl": "redis_users:acl",
        },
        _LOOK,
    ),
    "settings": Command("settings:settings", _LOOK),
    "tenants": Commands(
        "List and show tenants, set their limits, and tell what they have used.",
        {
            "list": "tenants:list_tenants",
            "show": "tenants:show",
            "set": "tenants:set_tenant",
            "usage": "tenants:usage",
        },
        _RUN,
    ),
    "keys": Commands(
        "Make, list and revoke keys of the gateway, `seqd gateway`.",
        {
            "new": "keys:new",
            "list": "keys:list_keys",
            "revoke": "keys:revoke",
        },
        _RUN,
    ),
    "webhooks": Commands(
        "Have receivers told by HTTP of what happens to jobs, and see what they have taken.",
        {
            "new": "webhooks:new",
            "list": "webhooks:list_webhooks",
            "remove": "webhooks:remove",
            "replay": "webhooks:replay",
        },
        _RUN,
    ),
    "audit": Command("audit:audit", _LOOK),
}


class _Group(LazyGroup):
    """The command `seqd`."""

    tree = _TREE

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


app = typer.Typer(
    name="seqd",
    cls=_Group,
    help="The sequence-model daemon: bulk classification, training and generation.",
    no_args_is_help=True,
    # An unforeseen error shows Python's own traceback, which can be reported as it is.
    pretty_exceptions_enable=False,
    rich_markup_mode=MARKUP,
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

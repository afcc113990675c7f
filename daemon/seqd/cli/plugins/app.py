"""`seqd plugins`: lists plugins, here and on each worker, and shows what they take."""

from typing import TYPE_CHECKING

import typer

from seqd.cli import options
from seqd.cli.plugins.check import check
from seqd.cli.plugins.new import new_plugin
from seqd.cli.plugins.show import show
from seqd.cli.plugins.trying import dev, try_plugin
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen
from seqd.errors import RedisUnreachable

if TYPE_CHECKING:
    from seqd_schemas import WorkerStatus

app = typer.Typer(no_args_is_help=True, help="List, show, write, check and try plugins.")


@app.command("list")
@shown
def list_plugins() -> Found:
    """List the plugins of this machine and of each worker, broken ones with the reason.

    It says from where those here are installed, which workers lack one or have another version of
    it, and what to install there.
    """
    from socket import gethostname

    from seqd.cli.plugins.distribution import differences, sources
    from seqd.cli.ui.plugins import print_fleet, print_plugins

    statuses = options.open_local_models(options.read_settings()).registry.statuses
    workers = _workers()
    editable = sources(statuses)

    def view(screen: Screen) -> None:
        print_plugins(screen, statuses, editable)
        screen.say()
        print_fleet(screen, workers, statuses, editable)

    found = {"here": statuses, "sources": editable, "workers": workers}
    told = differences(statuses, workers or [], editable, gethostname())
    return Found(found | {"differences": told}, view)


app.command()(show)
app.command("new")(new_plugin)
app.command()(check)
app.command("try")(try_plugin)
app.command()(dev)


def _workers() -> "list[WorkerStatus] | None":
    """Return the workers; None where no daemon runs, which this command does not need."""
    try:
        with options.open_client() as client:
            return client.workers()
    except RedisUnreachable:
        return None

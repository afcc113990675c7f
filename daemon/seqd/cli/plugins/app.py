"""`seqd plugins`: lists plugins, here and on each worker, and shows what they take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import completion, options
from seqd.cli.plugins.check import check
from seqd.cli.plugins.new import new_plugin
from seqd.cli.plugins.trying import dev, try_plugin
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen
from seqd.errors import RedisUnreachable, UnknownPlugin

if TYPE_CHECKING:
    from seqd_schemas import CatalogEntry, PluginStatus, WorkerStatus

app = typer.Typer(no_args_is_help=True, help="List, show, write, check and try plugins.")


@dataclass(frozen=True, slots=True)
class _Found:
    """A plugin, and the models of its own."""

    status: "PluginStatus"
    entries: "Sequence[CatalogEntry]"
    #: The workers that have it; none where it is this machine's.
    workers: "Sequence[WorkerStatus]" = ()


@dataclass(frozen=True, slots=True)
class _Fleet:
    """What the fleet publishes, and why that is nothing."""

    catalog: "dict[str, CatalogEntry]"
    workers: "list[WorkerStatus]"
    lacks: str = ""


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


def _workers() -> "list[WorkerStatus] | None":
    """Return the workers; None where no daemon runs, which this command does not need."""
    try:
        with options.open_client() as client:
            return client.workers()
    except RedisUnreachable:
        return None


@app.command()
@shown
def show(
    name: Annotated[
        str,
        typer.Argument(help="A plugin, or a model of one.", autocompletion=completion.models),
    ],
) -> Found:
    """Show what a plugin's models can do: parameters, input and output of each task, limits.

    It is read from the workers, so the plugin need not be installed here. Where none has it, that
    of this machine is shown.
    """
    from seqd.cli.ui.model_tasks import contract_of, print_model
    from seqd.cli.ui.plugins import print_plugin

    found = _found(name)

    def view(screen: Screen) -> None:
        print_plugin(screen, found.status, found.workers)
        for entry in found.entries:
            print_model(screen, entry)

    contract = {entry.model: contract_of(entry) for entry in found.entries}
    told = {"plugin": found.status, "models": found.entries, "contract": contract}
    return Found(told | {"workers": [worker.worker for worker in found.workers]}, view)


def _found(name: str) -> _Found:
    """Return a plugin of the fleet, else of this machine. Raises UnknownPlugin."""
    fleet = _read_fleet()
    there = _on_workers(name, fleet)
    if there is not None:
        return there
    here, known = _here(name)
    if here is None:
        raise UnknownPlugin(_unknown(name, known, fleet))
    why = fleet.lacks or f"No worker that is up has {name}."
    Screen(to_stderr=True).say(f"{why} This is the plugin of this machine.", "dim")
    return here


def _read_fleet() -> _Fleet:
    try:
        with options.open_client() as client:
            catalog, workers = client.catalog(), client.workers()
    except RedisUnreachable:
        return _Fleet({}, [], "No daemon runs: `seqd up` starts one.")
    return _Fleet(catalog, workers, "" if workers else "No worker is up.")


def _on_workers(name: str, fleet: _Fleet) -> _Found | None:
    """Return the plugin as workers have it: one where it is ready, if there is such a one."""
    from seqd_schemas import PluginState

    held = [
        (worker, plugin)
        for worker in fleet.workers
        for plugin in worker.plugins
        if plugin.name == name or name in plugin.models
    ]
    if not held:
        return None
    held.sort(key=lambda pair: pair[1].state is not PluginState.READY)
    status = held[0][1]
    having = [worker for worker, plugin in held if plugin.name == status.name]
    entries = [fleet.catalog[model] for model in status.models if model in fleet.catalog]
    return _Found(status, [one for one in entries if one.plugin == status.name], having)


def _here(name: str) -> tuple[_Found | None, list[str]]:
    """Return the plugin of this machine, and the names of those that there are here."""
    local = options.open_local_models(options.read_settings())
    statuses = local.registry.statuses
    known = [status.name for status in statuses]
    for status in statuses:
        if status.name == name or name in status.models:
            catalog = local.catalog()
            mine = [catalog[model] for model in status.models]
            return _Found(status, [one for one in mine if one.plugin == status.name]), known
    return None, known


def _unknown(name: str, here: list[str], fleet: _Fleet) -> str:
    from seqd.validation import did_you_mean, listed

    there = {plugin.name for worker in fleet.workers for plugin in worker.plugins}
    on_workers = f" Plugins on workers: {listed(there)}." if there else f" {fleet.lacks}"
    return (
        f"no plugin or model named {name!r}. Plugins here: {listed(here)}.{on_workers.rstrip()}"
        f"{did_you_mean(name, [*here, *there])}"
    )


app.command("new")(new_plugin)
app.command()(check)
app.command("try")(try_plugin)
app.command()(dev)

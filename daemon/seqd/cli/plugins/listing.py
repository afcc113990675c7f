"""`seqd plugins list` and `show`: which plugins are here and on each worker, and what they take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from socket import gethostname
from typing import Annotated

import typer

from seqd.cli import completion, options
from seqd.cli.plugins.distribution import differences, sources
from seqd.cli.showing import Found, shown
from seqd.cli.ui.model_tasks import contract_of, print_model
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts, print_table
from seqd.doctor.plugin_places import fleet_of, named, says_what_it_has
from seqd.errors import RedisUnreachable, UnknownPlugin
from seqd.validation import did_you_mean, listed
from seqd.views.plugins import PLUGIN_COLUMNS, holding_columns, holdings
from seqd_schemas import CatalogEntry, PluginState, PluginStatus, WorkerState, WorkerStatus


@dataclass(frozen=True, slots=True)
class _Found:
    """A plugin, and the models of its own."""

    status: PluginStatus
    entries: Sequence[CatalogEntry]
    #: The workers that have it; none where it is this machine's.
    workers: Sequence[WorkerStatus] = ()


@dataclass(frozen=True, slots=True)
class _Fleet:
    """What the fleet publishes, and why that is nothing."""

    catalog: dict[str, CatalogEntry]
    workers: list[WorkerStatus]
    lacks: str = ""


@shown
def list_plugins() -> Found:
    """List the plugins of this machine and of each worker, broken ones with the reason.

    It says from where those here are installed, which workers lack one or have another version of
    it, and what to install there.
    """
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


def _workers() -> list[WorkerStatus] | None:
    """Return the workers; None where no daemon runs, which this command does not need."""
    try:
        with options.open_client() as client:
            return client.workers()
    except RedisUnreachable:
        return None


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
    there = {plugin.name for worker in fleet.workers for plugin in worker.plugins}
    on_workers = f" Plugins on workers: {listed(there)}." if there else f" {fleet.lacks}"
    return (
        f"no plugin or model named {name!r}. Plugins here: {listed(here)}.{on_workers.rstrip()}"
        f"{did_you_mean(name, [*here, *there])}"
    )


def print_plugins(
    screen: Screen, statuses: Sequence[PluginStatus], sources: Mapping[str, str]
) -> None:
    """Print the plugins of this machine; `sources` has the folders of those that are editable."""
    if statuses:
        print_table(screen, PLUGIN_COLUMNS, statuses)
    else:
        screen.say("No plugins here. `pip install 'seqd[serve]'` brings three.")
    for name, source in sources.items():
        screen.say(f"{name} is installed editable, from {source}", "dim")


def print_fleet(
    screen: Screen,
    workers: Sequence[WorkerStatus] | None,
    here: Sequence[PluginStatus],
    sources: Mapping[str, str],
) -> None:
    """Print how workers have each plugin, why one is broken, and what to install where.

    With the plugins of this machine too: workers lack a new one until they are restarted.
    `sources` as in `print_plugins`.
    """
    if not workers:
        screen.say(
            "No daemon runs: `seqd up` starts one." if workers is None else "No worker is up.",
            "dim",
        )
        return
    found = holdings(fleet_of(workers), [one.name for one in here])
    silent = {one.worker: one.state for one in workers if not says_what_it_has(one)}
    if found:
        print_table(screen, holding_columns(len(workers) - len(silent)), found)
    if silent:
        starting = [name for name, state in silent.items() if state is WorkerState.STARTING]
        drained = [name for name in silent if name not in starting]
        for names, why in ((drained, "drained"), (starting, "still starting")):
            if names:
                screen.say(f"What {named(names)} will have is not known: {why}.", "dim")
    for one in found:
        if one.state == PluginState.BROKEN:
            screen.say(f"{one.plugin} on {named(one.workers)}: {one.reason}", "red")
    for line in differences(here, workers, sources, gethostname()):
        screen.say(line, "yellow")


def print_plugin(
    screen: Screen, status: PluginStatus, workers: Sequence[WorkerStatus] = ()
) -> None:
    """Print one plugin's state, and the workers that have it."""
    print_facts(
        screen,
        {
            "plugin": status.name,
            "state": status.state,
            "reason": status.reason,
            "distribution": f"{status.distribution} {status.version}".strip(),
            "import": f"{status.import_seconds * 1000:.0f} ms",
            "workers": named([worker.worker for worker in workers]),
        },
    )

"""Plugins as tables: those of this machine, and how each worker has them."""

from collections.abc import Mapping, Sequence
from socket import gethostname

from seqd.cli.plugins.distribution import differences
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts, print_table
from seqd.doctor.plugin_places import fleet_of, named, says_what_it_has
from seqd.views.plugins import PLUGIN_COLUMNS, holding_columns, holdings
from seqd_schemas import PluginState, PluginStatus, WorkerState, WorkerStatus


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

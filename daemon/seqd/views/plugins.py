"""Which plugins are on which workers: how each has them, and why not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from seqd.views.columns import Cell, Column
from seqd.wording import first_of
from seqd_schemas import PluginStatus

#: Workers that a cell names.
_MOST_WORKERS = 3

_STYLES = {"broken": "red", "absent": "yellow", "disabled": "dim"}


#: What tables say of a plugin, as one machine has it.
PLUGIN_COLUMNS: Final[tuple[Column[PluginStatus], ...]] = (
    Column("plugin", lambda one: one.name),
    Column("state", lambda one: Cell(one.state, _STYLES.get(one.state, ""))),
    Column("distribution", lambda one: f"{one.distribution} {one.version}".strip()),
    Column(
        "models, or the reason",
        lambda one: one.reason or ", ".join(one.models) or "none: it observes jobs",
        wraps=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Holding:
    """A plugin as some of the workers have it."""

    plugin: str
    #: The version of its distribution; '' where there is none, or it is absent.
    version: str
    #: A value of `PluginState`, or `absent`.
    state: str
    workers: tuple[str, ...]
    reason: str = ""


def holdings(
    fleet: Mapping[str, Mapping[str, PluginStatus]], here: Iterable[str] = ()
) -> list[Holding]:
    """Return each plugin of workers, and those called `here`, with who has it how; sorted.

    `fleet` are the plugins of each worker by their names, as `plugin_places.fleet_of` returns them.
    """
    found = dict[tuple[str, str, str, str], list[str]]()
    for name in sorted(set(here).union(*fleet.values())):
        for worker, plugins in fleet.items():
            one = plugins.get(name)
            key = (name, "", "absent", "")
            if one is not None:
                key = (name, one.version, str(one.state), one.reason)
            found.setdefault(key, []).append(worker)
    return [
        Holding(name, version, state, tuple(names), reason)
        for (name, version, state, reason), names in found.items()
    ]


def holding_columns(workers: int) -> tuple[Column[Holding], ...]:
    """Return what tables say of a holding, where so many workers say what they have."""
    return (
        Column("plugin", lambda one: one.plugin),
        Column("version", lambda one: one.version or "-"),
        Column("state there", lambda one: Cell(one.state, _STYLES.get(one.state, ""))),
        Column("workers", lambda one: _who(one, workers)),
    )


def _who(one: Holding, workers: int) -> str:
    if len(one.workers) == workers and workers > 1:
        return f"all {workers}"
    return first_of(one.workers, _MOST_WORKERS)

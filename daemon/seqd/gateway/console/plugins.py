"""Plugins: what each brings, and on which workers it is there, broken or missing."""

from typing import Final

from seqd.doctor import judging
from seqd.doctor.findings import bounded
from seqd.doctor.plugin_places import fleet_of, named, says_what_it_has
from seqd.gateway.console.rendering import Page, table_of
from seqd.gateway.console.visits import ByReader, page
from seqd.views.columns import Column
from seqd.views.plugins import PLUGIN_COLUMNS, Holding, holding_columns, holdings
from seqd_schemas import PluginStatus

#: A plugin by itself, as the first worker has it that loaded it, and what ails it elsewhere.
_COLUMNS: Final = [one for one in PLUGIN_COLUMNS if one.name != "state"]
_REASON: Final = Column[Holding]("reason", lambda one: one.reason or "-", is_left_out_empty=True)


@page("/plugins")
async def plugins(visit: ByReader) -> Page:
    """Show the plugins of the fleet."""
    seen = await visit.seqd.seen_fleet(visit.only_tenant)
    fleet = fleet_of(seen.workers)
    known = dict[str, PluginStatus]()
    for each in fleet.values():
        for name, one in each.items():
            known[name] = max(known.get(name, one), one, key=lambda one: bool(one.models))
    silent = [one.worker for one in seen.workers if not says_what_it_has(one)]
    facts = {
        "findings_now": list(bounded(judging.plugins(seen))),
        "plugins": table_of(_COLUMNS, [known[name] for name in sorted(known)]),
        "held": table_of((*holding_columns(len(fleet)), _REASON), holdings(fleet)),
        "silent": named(silent),
    }
    return Page("plugins.html", "Plugins", facts)

"""Plugins: what each brings, and on which workers it is there, broken or missing."""

from typing import Final

from fastapi import APIRouter, Request

from seqd.doctor import judging
from seqd.doctor.findings import bounded
from seqd.doctor.plugin_places import fleet_of, named, says_what_it_has
from seqd.gateway.callers import Reader, SeqdClient
from seqd.gateway.console.rendering import Page, page, table_of
from seqd.views.columns import Column
from seqd.views.plugins import Holding, holding_columns, holdings
from seqd_schemas import PluginStatus

_REASON: Final = Column[Holding]("reason", lambda one: one.reason or "-", is_left_out_empty=True)

router = APIRouter(include_in_schema=False)

#: What is said of a plugin by itself, as the first worker has it that loaded it.
_COLUMNS: Final[tuple[Column[PluginStatus], ...]] = (
    Column("plugin", lambda one: one.name),
    Column("distribution", lambda one: f"{one.distribution} {one.version}".strip()),
    Column("models", lambda one: ", ".join(one.models) or one.reason or "none: it observes jobs"),
)


@router.get("/plugins")
@page
async def plugins(request: Request, caller: Reader, seqd: SeqdClient) -> Page:
    """Show the plugins of the fleet."""
    seen = await seqd.seen_fleet(caller.only_tenant)
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

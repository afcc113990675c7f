"""Workers: what each does, which is sick and why, and the rules that keep them from claiming.

And plugins: what each brings, and on which workers it is there, broken or missing.
"""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Final, Literal
from urllib.parse import quote

from fastapi import Form, Query
from starlette.responses import Response

from seqd.doctor import judging
from seqd.doctor.findings import Finding, bounded
from seqd.doctor.judging import OF_WORKERS, judged
from seqd.doctor.plugin_places import fleet_of, named, says_what_it_has
from seqd.errors import SeqdError, UnknownWorker
from seqd.gateway.console.rendering import Button, Page, beside, table_of
from seqd.gateway.console.visits import ByAdmin, ByReader, Visit, act, page
from seqd.ledger.overview import FleetOverview
from seqd.local.caller import caller as caller_name
from seqd.targets import meant_by, option_of, standing, target_of
from seqd.views.columns import Column
from seqd.views.plugins import PLUGIN_COLUMNS, Holding, holding_columns, holdings
from seqd.views.workers import (
    DEATH_COLUMNS,
    LOADED_COLUMNS,
    ON_PAGE,
    UNFIT_COLUMNS,
    SeenWorker,
    cordon_line,
    nobody_left_told,
    rule_columns,
    seen_workers,
    worker_facts,
)
from seqd.wording import first_of
from seqd_schemas import CordonAction, CordonRule, KeyRole, PluginStatus, WorkerStatus

#: Workers of one page.
_SHOWN: Final = 200

#: What follows a rule, or its end: workers publish what they do, and tables show it then.
_FOLLOWS: Final = "Workers follow within some seconds."

#: What a rule of a page asks for, and what it does, for whoever is asked.
_ACTS: Final = {
    CordonAction.CORDON: "claims nothing new, finishes what it has in hand, and stays up",
    CordonAction.DRAIN: "claims nothing new, finishes or releases what it has in hand, and ends",
}

#: A plugin by itself, as the first worker has it that loaded it, and what ails it elsewhere.
_COLUMNS: Final = [one for one in PLUGIN_COLUMNS if one.name != "state"]

_REASON: Final = Column[Holding]("reason", lambda one: one.reason or "-", is_left_out_empty=True)


@page("/workers")
async def workers(
    visit: ByReader, text: str = "", state: str = "", offset: Annotated[int, Query(ge=0)] = 0
) -> Page:
    """Show the workers, the sick first, and the rules that stand."""
    fleet = await visit.seqd.seen_fleet(visit.only_tenant)
    every = seen_workers(fleet.workers, fleet.silent, fleet.unheard, fleet.at_ms)
    found = [one for one in every if state in ("", *one.states) and _has(one, text.strip())]
    found.sort(key=lambda one: one.trouble)
    shown = found[offset:][:_SHOWN]
    held = await visit.seqd.ask(visit.seqd.ledger.fleet.in_hand.steps([one.name for one in shown]))
    in_hand = [(one, *held.get(one.name, (0, 0))) for one in shown]
    rows = [replace(one, jobs=jobs, units=units) for one, jobs, units in in_hand]
    states = Counter(state for one in every for state in one.states)
    rules = standing(fleet.rules or ())
    facts = {
        "listed": table_of(ON_PAGE, rows, lambda one: _path(one.name)),
        "beside": beside(
            visit.request,
            before=max(0, offset - _SHOWN) if offset else None,
            after=offset + _SHOWN if offset + _SHOWN < len(found) else None,
        ),
        "text": text,
        "state": state,
        "states": {"": "all"} | {name: f"{name} ({number})" for name, number in states.items()},
        "findings_now": _of_workers(fleet),
        "rules": table_of(rule_columns(fleet.workers, fleet.at_ms), rules),
        "may_do": _ends(visit, rules),
    }
    return Page("workers.html", "Workers", facts)


@act("/workers")
async def end_rule(visit: ByAdmin) -> Response:
    """End a rule, for all whom it means."""
    fleet = await visit.seqd.seen_fleet(visit.only_tenant)
    wanted = visit.field("target")
    ended = [rule for rule in standing(fleet.rules or ()) if rule.target == wanted]
    meant = [one.worker for one in meant_by([wanted], fleet.workers)]
    told = option_of(wanted)
    if not ended:
        why = f"No rule stands for {told} any more."
        return visit.back_to("/workers", why, is_refused=True)
    asked = f"End the {ended[0].action} of {told}? It means {first_of(meant) or 'no worker now'}."
    visit.ask(asked, f"Uncordon {told}")
    change = visit.seqd.ledger.cordons.change.steps(remove=ended)
    await visit.seqd.act(change, "workers.uncordon", wanted, {"reason": ""})
    return visit.back_to("/workers", f"Uncordoned {told}.", _FOLLOWS)


@page("/workers/{name:path}")
async def worker(visit: ByReader, name: str) -> Page:
    """Show one worker: what it does, what it cannot do and why, and what it died of."""
    fleet, one = await _found(visit, name)
    status, known = one.status, one.known
    rules, up = standing(fleet.rules or ()), [] if known is None else [known]
    facts = {
        "one": one,
        "job": await _job_in_hand(visit, status),
        "findings_now": _of_workers(_alone(fleet, name)),
        "facts": worker_facts(one),
        "cordon": status and status.cordon and cordon_line(status, status.cordon, one.now_ms),
        "unfit": table_of(UNFIT_COLUMNS, status.unfit if status else ()),
        "loaded": table_of(LOADED_COLUMNS, sorted(status.loaded_bytes.items()) if status else ()),
        "plugins": table_of(PLUGIN_COLUMNS, status.plugins if status else ()),
        "deaths": table_of(DEATH_COLUMNS, reversed(known.deaths if known else ())),
        "may_do": _ends(visit, [one for one in rules if meant_by([one.target], up)]),
        "meant": status and option_of(target_of(status)),
        "is_held": status and target_of(status) in [one.target for one in rules],
    }
    return Page("worker.html", name, facts)


@act("/workers/{name:path}")
async def hold(
    visit: ByAdmin,
    name: str,
    action: Annotated[Literal[CordonAction.CORDON, CordonAction.DRAIN], Form()],
) -> Response:
    """Cordon or drain a worker, and the ones that are started in its place."""
    fleet, one = await _found(visit, name)
    if one.status is None:
        raise UnknownWorker(f"{name} is not up.")
    target = target_of(one.status)
    meant = [each.worker for each in meant_by([target], fleet.workers)]
    what = f"{action.capitalize()} {option_of(target)}"
    asked = (
        f"{what}? Whoever works there {_ACTS[action]}, until you end the rule. It means "
        f"{first_of(meant)} now."
    )
    risks = [f"It means {len(meant)} workers, not {name} alone."] if len(meant) > 1 else []
    risks.append(nobody_left_told(fleet.workers, meant, fleet.catalog))
    visit.ask(asked, what, " ".join(risks).strip())
    rule = CordonRule(
        target=target,
        action=action,
        reason=visit.field("reason").strip()[:500],
        by=caller_name(),
        at_ms=fleet.at_ms,
    )
    change = visit.seqd.ledger.cordons.change.steps(add=[rule])
    await visit.seqd.act(change, f"workers.{action}", rule.target, {"reason": rule.reason})
    told = f"The rule stands: {action} {option_of(rule.target)}."
    return visit.back_to(_path(name), told, _FOLLOWS)


async def _found(visit: Visit, name: str) -> tuple[FleetOverview, SeenWorker]:
    """Return the fleet and a worker of it, with what it said last where it is silent."""
    fleet = await visit.seqd.seen_fleet(visit.only_tenant)
    parts, alone = visit.seqd.ledger.fleet, _alone(fleet, name)
    seen = seen_workers(
        alone.workers,
        alone.silent,
        alone.unheard,
        alone.at_ms,
        in_hand=await visit.seqd.ask(parts.in_hand.steps([name])),
        last=await visit.seqd.ask(parts.last_records.steps([name])),
    )
    if not seen:
        raise UnknownWorker(
            f"There is no worker {name}, nor was there within the last day; one that is started "
            "again has another name."
        )
    return fleet, seen[0]


async def _job_in_hand(visit: Visit, status: WorkerStatus | None) -> str:
    """Return the job that a worker computes for; '' for none, and for another tenant's."""
    if status is None or status.claim is None:
        return ""
    with suppress(SeqdError):
        job, _ = await visit.seqd.found_job(status.claim.job_id, visit.only_tenant)
        return job.job_id
    return ""


def _of_workers(fleet: FleetOverview) -> list[Finding]:
    return [one for one in judged(fleet) if one.id in OF_WORKERS]


def _alone(fleet: FleetOverview, name: str) -> FleetOverview:
    """Return a fleet of one worker, for what is wrong with it."""
    workers = [one for one in fleet.workers if one.worker == name]
    silent = {one: at_ms for one, at_ms in fleet.silent.items() if one == name}
    return replace(fleet, workers=workers, silent=silent)


def _ends(visit: Visit, rules: Iterable[CordonRule]) -> list[Button]:
    """Return what ends rules, for who may."""
    ends = [
        Button(f"Uncordon {option_of(rule.target)}", "/workers", hidden=[("target", rule.target)])
        for rule in rules
    ]
    return ends if visit.caller.role.may(KeyRole.ADMIN) else []


def _has(one: SeenWorker, text: str) -> bool:
    """Return whether a worker has a text in its name, its host or its labels."""
    labels = {} if one.status is None else one.status.labels
    told = [one.name, *one.slot_and_host, *(f"{key}={value}" for key, value in labels.items())]
    return not text or any(text.lower() in part.lower() for part in told)


def _path(name: str) -> str:
    return f"/workers/{quote(name, safe='')}"


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

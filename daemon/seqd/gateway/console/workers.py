"""Workers: what each does, which is sick and why, and the rules that keep them from claiming."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response

from seqd.doctor.findings import Finding
from seqd.doctor.judging import OF_WORKERS, judged
from seqd.errors import InvalidRequest, SeqdError, UnknownWorker
from seqd.gateway.callers import Admin, Caller, Reader, SeqdClient
from seqd.gateway.console.rendering import Page, back_to, page, table_of
from seqd.gateway.console.visits import Form, field_of, question
from seqd.gateway.ledger_client import GatewayClient
from seqd.ledger.overview import FleetOverview
from seqd.local.caller import caller as caller_name
from seqd.targets import Place, is_meant, option_of, target_of
from seqd.views.columns import Cell, Column
from seqd.views.numbers import age, clock, size
from seqd.views.workers import (
    ON_PAGE,
    SeenWorker,
    cordon_line,
    device_line,
    nobody_left_told,
    rule_columns,
    seen_workers,
)
from seqd.wording import counted, first_of
from seqd_schemas import (
    ChildDeath,
    CordonAction,
    CordonRule,
    ModelReference,
    PluginState,
    PluginStatus,
    UnfitVersion,
    WorkerStatus,
)

router = APIRouter(include_in_schema=False)

#: Workers of one page.
_SHOWN: Final = 200

#: States of workers that nothing is wrong with; the others come first.
_WELL: Final = frozenset({"ready", "busy", "starting", "cordoned", "draining", "drained"})

#: What a rule of a page asks for, and what it does, for whoever is asked.
_ACTS: Final = {
    CordonAction.CORDON: "claims nothing new, finishes what it has in hand, and stays up",
    CordonAction.DRAIN: "claims nothing new, finishes or releases what it has in hand, and ends",
}

#: What tables say of one worker: its plugins, its models in memory, what it cannot run, its deaths.
_PLUGINS: Final[tuple[Column[PluginStatus], ...]] = (
    Column("plugin", lambda one: one.name),
    Column("distribution", lambda one: f"{one.distribution} {one.version}".strip()),
    Column("state", lambda one: Cell(one.state, "red" if one.state is PluginState.BROKEN else "")),
    Column("models, or the reason", lambda one: one.reason or ", ".join(one.models) or "-"),
)
_LOADED: Final[tuple[Column[tuple[str, int]], ...]] = (
    Column("model", lambda one: one[0]),
    Column("memory", lambda one: size(one[1]), is_number=True),
)
_UNFIT: Final[tuple[Column[UnfitVersion], ...]] = (
    Column("what", lambda one: _unfit_named(one)),
    Column("code", lambda one: Cell(one.code, "red")),
    Column("why", lambda one: one.message or "-"),
    Column("since", lambda one: clock(one.since_ms)),
)
_DEATHS: Final[tuple[Column[ChildDeath], ...]] = (
    Column("when", lambda one: clock(one.at_ms)),
    Column("cause", lambda one: Cell(one.cause, "red")),
    Column("how", lambda one: one.message),
    Column("process", lambda one: str(one.pid)),
)


@router.get("/workers")
@page
async def workers(request: Request, caller: Reader, seqd: SeqdClient) -> Page:
    """Show the workers, the sick first, and the rules that stand."""
    query = request.query_params
    text, state = query.get("text", "").strip(), query.get("state", "")
    asked = query.get("page", "")[:6]
    number = max(1, int(asked)) if asked.isdecimal() else 1
    fleet = await seqd.seen_fleet(caller.only_tenant)
    every = seen_workers(fleet.workers, fleet.silent, fleet.unheard, fleet.at_ms)
    found = [one for one in every if state in ("", *_states(one)) and _has(one, text)]
    found.sort(key=lambda one: not _is_sick(one))
    shown = found[(number - 1) * _SHOWN :][:_SHOWN]
    held = await seqd.ask(seqd.ledger.fleet.in_hand.steps([one.name for one in shown]))
    rows = [
        replace(one, jobs=jobs, units=units)
        for one in shown
        for jobs, units in [held.get(one.name, (0, 0))]
    ]
    facts = {
        "counts": Counter(state for one in every for state in _states(one)),
        "listed": table_of(ON_PAGE, rows, lambda one: _path(one.name)),
        "found": len(found),
        "number": number,
        "pages": -(-len(found) // _SHOWN),
        "text": text,
        "state": state,
        "findings_now": _of_workers(fleet),
        "rules": table_of(rule_columns(fleet.workers, fleet.at_ms), _standing(fleet)),
        "targets": [(rule.target, option_of(rule.target)) for rule in _standing(fleet)],
    }
    return Page("workers.html", "Workers", facts)


@router.post("/workers")
async def end_rule(request: Request, form: Form, caller: Admin, seqd: SeqdClient) -> Response:
    """End a rule, for all whom it means."""
    fleet = await seqd.seen_fleet(caller.only_tenant)
    wanted = field_of(form, "target")
    ended = [rule for rule in _standing(fleet) if rule.target == wanted]
    meant = [one.worker for one in fleet.workers if is_meant(Place.of(one), wanted)]
    told = option_of(wanted)
    if not ended:
        why = f"No rule stands for {told} any more."
        return back_to(request, "/workers", why, is_refused=True)
    asked = f"End the {ended[0].action} of {told}? It means {first_of(meant) or 'no worker now'}."
    unsure = question(request, form, asked, f"Uncordon {told}")
    if unsure is not None:
        return unsure
    change = seqd.ledger.cordons.change.steps(remove=ended)
    await seqd.act(change, "workers.uncordon", wanted, {"reason": ""})
    return back_to(request, "/workers", f"Uncordoned {told}.")


@router.get("/workers/{name:path}")
@page
async def worker(request: Request, name: str, caller: Reader, seqd: SeqdClient) -> Page:
    """Show one worker: what it does, what it cannot do and why, and what it died of."""
    fleet, one = await _found(name, caller, seqd)
    status, known, now_ms = one.status, one.known, one.now_ms
    rules = _standing(fleet) if known is not None else []
    facts = {
        "one": one,
        "job": await _job_in_hand(status, caller, seqd),
        "findings_now": _of_workers(_alone(fleet, one)),
        "facts": _facts(one),
        "cordon": cordon_line(status, status.cordon, now_ms) if status and status.cordon else "",
        "unfit": table_of(_UNFIT, status.unfit if status else ()),
        "loaded": table_of(_LOADED, sorted(status.loaded_bytes.items()) if status else ()),
        "plugins": table_of(_PLUGINS, status.plugins if status else ()),
        "deaths": table_of(_DEATHS, reversed(known.deaths if known else ())),
        "rules": [
            (rule.target, f"{rule.action} of {option_of(rule.target)}")
            for rule in rules
            if known is not None and is_meant(Place.of(known), rule.target)
        ],
    }
    return Page("worker.html", name, facts)


@router.post("/workers/{name:path}")
async def hold(
    request: Request, name: str, form: Form, caller: Admin, seqd: SeqdClient
) -> Response:
    """Cordon or drain a worker, and the ones that are started in its place."""
    fleet, one = await _found(name, caller, seqd)
    action = next((one for one in _ACTS if one == field_of(form, "action")), None)
    if action is None:
        raise InvalidRequest(f"The action is not one of these: {', '.join(_ACTS)}.")
    if one.status is None:
        raise UnknownWorker(f"{name} is not up.")
    target = target_of(one.status)
    meant = [each.worker for each in fleet.workers if is_meant(Place.of(each), target)]
    left = nobody_left_told(fleet.workers, meant, fleet.catalog)
    asked = (
        f"{action.capitalize()} {option_of(target)}? Whoever works there {_ACTS[action]}, until "
        f"you end the rule. It means {first_of(meant)} now."
    )
    button = f"{action.capitalize()} {option_of(target)}"
    unsure = question(request, form, asked, button, risk=left)
    if unsure is not None:
        return unsure
    rule = CordonRule(
        target=target,
        action=action,
        reason=field_of(form, "reason").strip()[:500],
        by=caller_name(),
        at_ms=fleet.at_ms,
    )
    change = seqd.ledger.cordons.change.steps(add=[rule])
    await seqd.act(change, f"workers.{action}", rule.target, {"reason": rule.reason})
    return back_to(request, _path(name), f"The rule stands: {action} {option_of(rule.target)}.")


async def _found(
    name: str, caller: Caller, seqd: GatewayClient
) -> tuple[FleetOverview, SeenWorker]:
    """Return the fleet and a worker of it, with what it said last where it is silent."""
    fleet = await seqd.seen_fleet(caller.only_tenant)
    parts = seqd.ledger.fleet
    seen = seen_workers(
        [one for one in fleet.workers if one.worker == name],
        {one: at_ms for one, at_ms in fleet.silent.items() if one == name},
        fleet.unheard,
        fleet.at_ms,
        in_hand=await seqd.ask(parts.in_hand.steps([name])),
        last=await seqd.ask(parts.last_records.steps([name])),
    )
    if not seen:
        raise UnknownWorker(
            f"There is no worker {name}, nor was there within the last day; one that is started "
            "again has another name."
        )
    return fleet, seen[0]


async def _job_in_hand(status: WorkerStatus | None, caller: Caller, seqd: GatewayClient) -> str:
    """Return the job that a worker computes for; '' for none, and for another tenant's."""
    if status is None or status.claim is None:
        return ""
    with suppress(SeqdError):
        job, _ = await seqd.found_job(status.claim.job_id, caller.only_tenant)
        return job.job_id
    return ""


def _of_workers(fleet: FleetOverview) -> list[Finding]:
    return [one for one in judged(fleet) if one.id in OF_WORKERS]


def _alone(fleet: FleetOverview, one: SeenWorker) -> FleetOverview:
    """Return a fleet of one worker, for what is wrong with it."""
    workers = [] if one.status is None else [one.status]
    silent = {} if one.status is not None else {one.name: one.seen_at_ms}
    return replace(fleet, workers=workers, silent=silent)


def _standing(fleet: FleetOverview) -> list[CordonRule]:
    """Return the rules that keep workers from claiming."""
    return [rule for rule in fleet.rules or () if rule.action is not CordonAction.RESTART]


def _has(one: SeenWorker, text: str) -> bool:
    """Return whether a worker has a text in its name, its host or its labels."""
    labels = {} if one.status is None else one.status.labels
    told = [one.name, *one.slot_and_host, *(f"{key}={value}" for key, value in labels.items())]
    return not text or any(text.lower() in part.lower() for part in told)


def _states(one: SeenWorker) -> list[str]:
    """Return what a worker's cell in the table calls it, such as ready, and unfit for something."""
    is_unfit = one.status is not None and bool(one.status.unfit)
    return list(dict.fromkeys([one.state, *(["unfit"] if is_unfit else [])]))


def _is_sick(one: SeenWorker) -> bool:
    return not _WELL.issuperset(_states(one)) or bool(one.recent_deaths)


def _path(name: str) -> str:
    return f"/workers/{quote(name, safe='')}"


def _unfit_named(one: UnfitVersion) -> str:
    if one.version is None:
        return f"train {one.model}"
    return f"run {ModelReference(one.model, one.version)}"


def _facts(one: SeenWorker) -> dict[str, object]:
    """Return what is known of a worker, by name, in order."""
    slot, host = one.slot_and_host
    facts: dict[str, object] = {"state": one.state, "host": host, "slot": slot}
    facts["heard of"] = f"{age(one.seen_at_ms, one.now_ms)} ago"
    if one.known is None:
        return facts
    known = one.known
    facts |= {
        "in hand": f"{counted(one.units, 'unit')} of {counted(one.jobs, 'job')}",
        "takes": ", ".join(
            [*known.tasks, *sorted({t for ts in known.run_tasks.values() for t in ts})]
        ),
        "device": device_line("It", known.device) if known.device else slot.rpartition("@")[2],
        "memory": _memory(known),
        "labels": ", ".join(f"{key}={value}" for key, value in known.labels.items()),
        "process": f"{known.pid}, up since {clock(known.started_at_ms)}",
        "done since then": f"{known.work.items:,} items in {known.work.units:,} units",
        "leaves to others": first_of(known.left_out, 16),
        "deaths": ", ".join(f"{times:,} by {cause}" for cause, times in known.death_counts.items()),
        "started by": "seqd up" if known.supervised else "others",
        "seqd": known.seqd_version,
    }
    return facts


def _memory(status: WorkerStatus) -> str:
    """Return how much the models in memory take, and may take."""
    held, budget = sum(status.loaded_bytes.values()), status.memory_budget_bytes
    return f"{size(held)} of models{'' if budget is None else f', of {size(budget)} that they may'}"

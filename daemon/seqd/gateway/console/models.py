"""Models: which there are, their versions side by side, and which is in service."""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Final, Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from seqd.admission import resolve_version
from seqd.analysis.sweeps import best_of, better_of, deciding_figure
from seqd.client import AsyncModelHandle
from seqd.errors import SeqdError
from seqd.gateway.callers import Caller, Operator, Reader, SeqdClient
from seqd.gateway.console.rendering import Page, Table, back_to, page, table_of
from seqd.gateway.console.visits import Form, field_of, question
from seqd.gateway.ledger_client import GatewayClient
from seqd.ledger.model_pauses import pause_in_words
from seqd.models.model_records import version_before
from seqd.serving import workers_of_model
from seqd.views.columns import Cell, Column
from seqd.views.models import (
    MODEL_COLUMNS,
    SERVING_COLUMNS,
    counts_of_both,
    model_facts,
    rollout_columns,
    rollout_title,
    rollout_told,
    version_columns,
    workers_told,
)
from seqd.views.numbers import clock, counted, metric, metrics_line, size
from seqd_schemas import CatalogEntry, ModelManifest, ServiceChange, VersionSummary

router = APIRouter(include_in_schema=False)

#: How long the visitor waits for a change of the version in service.
_ONCE_LOADED: Final = "once the workers have loaded it: some seconds, a minute at most"

#: Workers that cannot run a version, of which a question tells.
_MOST_TOLD: Final = 3

#: What tables say of a change of the version in service.
_CHANGES: Final[tuple[Column[ServiceChange], ...]] = (
    Column("when", lambda one: clock(one.at_ms)),
    Column("what", lambda one: _what_changed(one)),
    Column("by", lambda one: one.by or "-"),
    Column("why", lambda one: one.why or "-"),
    Column("figures", lambda one: metrics_line(one.gate) or "-", is_left_out_empty=True),
)


@router.get("/models")
@page
async def models(request: Request, caller: Reader, seqd: SeqdClient) -> Page:
    """Show the models that there are for the visitor."""
    found = await seqd.seen_models(caller.only_tenant)
    workers, pauses = await seqd.workers(), await seqd.paused_models()
    told = Column[CatalogEntry](
        "can run it",
        lambda one: workers_told(one, workers_of_model(workers, one.model), pauses.get(one.model)),
    )
    *first, last = MODEL_COLUMNS
    entries = sorted(found.values(), key=attrgetter("model"))
    table = table_of([*first, told, last], entries, lambda one: f"/models/{one.model}")
    return Page("models.html", "Models", {"models": table})


@router.get("/models/{name}")
@page
async def model(
    request: Request,
    name: str,
    caller: Reader,
    seqd: SeqdClient,
    first: int | None = None,
    second: int | None = None,
) -> Page:
    """Show a model: its versions, two of them side by side, its workers and its roll-out."""
    handle = await _seen(name, caller, seqd)
    entry, in_service = handle.entry, handle.in_service
    rollout, pause = entry.rollout, (await seqd.paused_models()).get(name)
    counts = [] if rollout is None else await handle.rollout_counts()
    chosen = [resolve_version(entry, one) for one in (first, second) if one is not None]
    shown = next((one for one in entry.versions if one.version == in_service), None)
    facts = {
        "entry": entry,
        "in_service": in_service,
        "may_change": await _may_change(name, caller, seqd),
        "pause": pause and pause_in_words(pause),
        "facts": model_facts(entry, shown, is_brief=False),
        "may_roll_back": in_service is not None
        and (rollout is not None or version_before(entry.history, in_service) is not None),
        "best": best_of(None, _figures_by_version(entry)),
        "versions": _versions(entry, await seqd.ask(seqd.ledger.fleet.now_ms.steps())),
        "chosen": chosen,
        "side_by_side": _side_by_side(entry, chosen) if len(chosen) == 2 else None,
        "rollout": rollout,
        "serving": table_of(SERVING_COLUMNS, workers_of_model(await seqd.workers(), name)),
        "history": table_of(_CHANGES, list(reversed(entry.history))),
    }
    if rollout is not None:
        facts |= {
            "rollout_title": rollout_title(name, rollout),
            "rollout_told": rollout_told(name, rollout),
            "tried": table_of(rollout_columns(name, rollout), counts_of_both(rollout, counts)),
        }
    return Page("model.html", f"Model {name}", facts)


@router.post("/models/{name}/promote")
async def promote(
    request: Request, name: str, caller: Operator, seqd: SeqdClient, form: Form
) -> Response:
    """Put a version in service, once the visitor has seen its figures beside those of the other."""
    handle = await _own(name, caller, seqd)
    told, now = field_of(form, "version"), handle.in_service
    version = resolve_version(handle.entry, int(told) if told.isdecimal() else told)
    instead = "" if now is None else f", in the place of {name}@{now}"
    asked = (
        f"{name}@{version} will answer all who name {name} alone{instead}, {_ONCE_LOADED}. "
        f"{_figures(handle.entry, [version, now])}{await _done_by_both(handle)}"
    )
    button, risk = f"Put {name}@{version} in service", await _risk(handle, version, seqd)
    page_first = _asked_first(request, handle, form, asked, button, risk)
    if page_first is not None:
        return page_first
    answer = await handle.promote(version, reason=field_of(form, "reason"))
    return _done(request, name, f"{name}@{version} is in service.", answer.notes)


@router.post("/models/{name}/rollback")
async def rollback(
    request: Request, name: str, caller: Operator, seqd: SeqdClient, form: Form
) -> Response:
    """End the roll-out that goes on, or put the version in service that was there before."""
    handle = await _own(name, caller, seqd)
    entry, in_service = handle.entry, handle.in_service
    now, button, risk = f"{name}@{in_service}", "Roll back", ""
    if entry.rollout is not None:
        kind, tried = entry.rollout.kind, entry.rollout.version
        asked, button = (
            f"The {kind} of {name}@{tried} ends; {now} answers all items."
            f"{await _done_by_both(handle)}",
            f"End the {kind}",
        )
    else:
        before = None if in_service is None else version_before(entry.history, in_service)
        known = "the version before it" if before is None else f"{name}@{before}"
        figures = _figures(entry, [before, in_service])
        asked = f"{now} goes out of service, {known} comes back {_ONCE_LOADED}. {figures}"
        risk = await _risk(handle, before, seqd)
    page_first = _asked_first(request, handle, form, asked, button, risk)
    if page_first is not None:
        return page_first
    answer = await handle.rollback(reason=field_of(form, "reason"))
    return _done(request, name, f"{name}@{answer.in_service} is in service.", answer.notes)


@router.post("/models/{name}/{action}")
async def hold(
    request: Request,
    name: str,
    action: Literal["pause", "resume"],
    caller: Operator,
    seqd: SeqdClient,
    form: Form,
) -> Response:
    """Pause a model, or let it go on."""
    await _own(name, caller, seqd)
    if action == "resume":
        await seqd.resume_model(name)
        return back_to(request, f"/models/{name}", f"{name} goes on.")
    asked = (
        "No further unit of its jobs begins, on any worker, until it is resumed. Units in hand are "
        "finished, new jobs wait, trainings go on."
    )
    page_first = question(request, form, asked, f"Pause {name}")
    if page_first is None:
        await seqd.pause_model(name, reason=field_of(form, "reason"))
    return page_first or back_to(request, f"/models/{name}", f"{name} is paused.")


async def _seen(name: str, caller: Caller, seqd: GatewayClient) -> AsyncModelHandle:
    """Return a model that is there for a caller; raises UnknownModel."""
    await seqd.check_model(name, caller.only_tenant)
    return await seqd.model(name)


async def _own(name: str, caller: Caller, seqd: GatewayClient) -> AsyncModelHandle:
    """Return a model that a caller may change; raises UnknownModel and NotAllowed."""
    handle = await _seen(name, caller, seqd)
    await seqd.check_own_model(name, caller.only_tenant)
    return handle


async def _may_change(name: str, caller: Caller, seqd: GatewayClient) -> bool:
    try:
        await seqd.check_own_model(name, caller.only_tenant)
    except SeqdError:
        return False
    return True


def _asked_first(
    request: Request, handle: AsyncModelHandle, form: Form, asked: str, button: str, risk: str
) -> Response | None:
    """Return the page of a question; None once the visitor is sure of what is still so."""
    name, now = handle.name, str(handle.in_service)
    if field_of(form, "in_service") != now:
        told = f"Nothing was changed: {name}@{now} has come into service meanwhile."
        return back_to(request, f"/models/{name}", told, is_refused=True)
    return question(request, form, asked, button, risk)


async def _risk(handle: AsyncModelHandle, version: int | None, seqd: GatewayClient) -> str:
    """Return why a version would not be put in service now; '' of nothing."""
    ref = f"{handle.name}@{version}"
    told = [
        f"{one.worker} cannot run {ref}: {unfit.code}: {unfit.message.rstrip('.')}."
        for one in await seqd.workers()
        for unfit in one.unfit
        if one.cordon is None and (unfit.model, unfit.version) == (handle.name, version)
    ]
    refused = "This is refused until each can run it, or is cordoned."
    return " ".join([*told[:_MOST_TOLD], refused]) if told else ""


async def _done_by_both(handle: AsyncModelHandle) -> str:
    """Return what the versions of a roll-out did by now, as sentences; '' without one."""
    rollout = handle.entry.rollout
    if rollout is None:
        return ""
    both = counts_of_both(rollout, await handle.rollout_counts())
    return "".join(
        f" {handle.name}@{one.version} has had {counted(one.items, 'item')}, of which "
        f"{one.errors:,} failed."
        for one in both
    )


def _done(request: Request, name: str, told: str, notes: Sequence[str]) -> Response:
    return back_to(request, f"/models/{name}", " ".join((told, *notes)))


def _versions(entry: CatalogEntry, now_ms: int) -> Table:
    """Return a table of versions, the newest first, which says which is best, and by what."""
    figures = _figures_by_version(entry)
    name, best = deciding_figure(None, list(figures.values())), best_of(None, figures)
    columns: list[Column[ModelManifest | VersionSummary]] = [
        *version_columns(entry.labels, now_ms),
        Column("size", lambda one: size(one.size_bytes or 0) if one.size_bytes else "-"),
    ]
    if name is not None and len(figures) > 1:
        label = f"by {name.replace('_', ' ')}"
        columns.append(Column(label, lambda one: _best(one.version == best)))
    return table_of(columns, list(reversed(entry.versions)))


def _figures_by_version(entry: CatalogEntry) -> dict[int, Mapping[str, float]]:
    return {one.version: one.metrics for one in entry.versions if one.metrics}


def _best(is_best: bool) -> Cell:
    return Cell("best", "bold green") if is_best else Cell("")


def _side_by_side(entry: CatalogEntry, chosen: Sequence[int]) -> Table:
    """Return the figures of two versions, a row each, and which is better where that is known."""
    refs = [f"{entry.model}@{one}" for one in chosen]
    first, second = both = [_metrics_of(entry, one) for one in chosen]
    names = [*first, *(name for name in second if name not in first)]
    better = {
        name: refs[better_one]
        for name in first.keys() & second.keys()
        if (better_one := better_of(name, first[name], second[name])) is not None
    }
    columns: list[Column[str]] = [
        Column("figure", lambda name: name.replace("_", " ")),
        *(_figure_column(ref, metrics, better) for ref, metrics in zip(refs, both, strict=True)),
        Column("better", lambda name: Cell(better.get(name, "-"), "bold"), is_left_out_empty=True),
    ]
    return table_of(columns, names)


def _figure_column(
    ref: str, metrics: Mapping[str, float], better: Mapping[str, str]
) -> Column[str]:
    return Column(
        ref,
        lambda name: Cell(
            metric(metrics[name]) if name in metrics else "-",
            "bold" if better.get(name) == ref else "",
        ),
        is_number=True,
    )


def _figures(entry: CatalogEntry, versions: Sequence[int | None]) -> str:
    """Return the figures of versions in a line."""
    told = [
        f"{entry.model}@{one}: {metrics_line(_metrics_of(entry, one)) or 'no figures'}."
        for one in versions
        if one is not None
    ]
    return " ".join(told)


def _metrics_of(entry: CatalogEntry, version: int) -> dict[str, float]:
    found = next((one for one in entry.versions if one.version == version), None)
    return {} if found is None else dict(found.metrics)


def _what_changed(change: ServiceChange) -> str:
    if change.from_version == change.to_version:
        kind = "roll-out" if change.rollout is None else change.rollout.kind
        return f"a {kind} began or ended; {change.to_version} stayed in service"
    before = "none" if change.from_version is None else change.from_version
    after = "none" if change.to_version is None else change.to_version
    return f"{before} → {after}{', rolled back' if change.is_rollback else ''}"

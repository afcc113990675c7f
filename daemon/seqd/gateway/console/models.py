"""Models: which there are, their versions side by side, and which is in service."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from operator import attrgetter
from typing import Annotated, Final, Literal

from fastapi import Form
from starlette.responses import Response

from seqd.admission import resolve_version
from seqd.analysis.curves import spoken
from seqd.analysis.sweeps import best_of, better_of, deciding_figure
from seqd.client import AsyncModelHandle
from seqd.errors import ModelNameTaken, NotAllowed, ServiceChanged
from seqd.gateway.callers import check_role
from seqd.gateway.console.rendering import Button, Page, Table, table_of
from seqd.gateway.console.visits import ByOperator, ByReader, Visit, act, page
from seqd.ledger.model_pauses import pause_in_words
from seqd.models.model_records import version_before
from seqd.serving import workers_of_model
from seqd.views.columns import Cell, Column
from seqd.views.models import (
    CHANGE_COLUMNS,
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
from seqd.views.numbers import counted, metric, metrics_line, size
from seqd_schemas import CatalogEntry, KeyRole, ModelManifest, ModelPause, VersionSummary

#: How long the visitor waits for a change of the version in service.
_ONCE_LOADED: Final = "once the workers have loaded it: some seconds, a minute at most"

#: Workers that cannot run a version, of which a question tells.
_MOST_TOLD: Final = 3


@page("/models")
async def models(visit: ByReader) -> Page:
    """Show the models that there are for the visitor."""
    found = await visit.seqd.seen_models(visit.only_tenant)
    workers, pauses = await visit.seqd.workers(), await visit.seqd.paused_models()
    told = Column[CatalogEntry](
        "can run it",
        lambda one: workers_told(one, workers_of_model(workers, one.model), pauses.get(one.model)),
    )
    *first, last = MODEL_COLUMNS
    entries = sorted(found.values(), key=attrgetter("model"))
    table = table_of([*first, told, last], entries, lambda one: f"/models/{one.model}")
    return Page("models.html", "Models", {"models": table})


@page("/models/{name}")
async def model(
    visit: ByReader, name: str, first: int | None = None, second: int | None = None
) -> Page:
    """Show a model: its versions, two of them side by side, its workers and its roll-out."""
    handle = await _seen(visit, name)
    entry, in_service = handle.entry, handle.in_service
    may_change = await _may_change(visit, name)
    rollout, pause = entry.rollout, (await visit.seqd.paused_models()).get(name)
    counts = [] if rollout is None else await handle.rollout_counts()
    chosen = [resolve_version(entry, one) for one in (first, second) if one is not None]
    numbers = {one.version: one.version for one in reversed(entry.versions)}
    shown = next((one for one in entry.versions if one.version == in_service), None)
    facts = {
        "entry": entry,
        "in_service": in_service,
        "may_change": may_change,
        "pause": pause and pause_in_words(pause),
        "facts": model_facts(entry, shown, is_brief=False),
        "may_do": _acts(entry, in_service, pause) if may_change else [],
        "best": best_of(None, _figures_by_version(entry)),
        "versions": _versions(entry, await visit.now_ms()),
        "numbers": numbers,
        "others": {one: one for one in numbers if one != in_service},
        "chosen": chosen if len(chosen) == 2 else [in_service, next(iter(numbers), None)],
        "side_by_side": _side_by_side(entry, chosen) if len(chosen) == 2 else None,
        "rollout": rollout,
        "serving": table_of(SERVING_COLUMNS, workers_of_model(await visit.seqd.workers(), name)),
        "history": table_of(CHANGE_COLUMNS, reversed(entry.history)),
    }
    if rollout is not None:
        facts |= {
            "rollout_title": rollout_title(name, rollout),
            "rollout_told": rollout_told(name, rollout),
            "tried": table_of(rollout_columns(name, rollout), counts_of_both(rollout, counts)),
        }
    return Page("model.html", f"Model {name}", facts)


@act("/models/{name}/promote")
async def promote(visit: ByOperator, name: str, version: Annotated[int, Form()]) -> Response:
    """Put a version in service, once the visitor has seen its figures beside those of the other."""
    handle = await _own(visit, name)
    version, now = resolve_version(handle.entry, version), handle.in_service
    instead = "" if now is None else f", in the place of {name}@{now}"
    asked = (
        f"{name}@{version} will answer all who name {name} alone{instead}, {_ONCE_LOADED}. "
        f"{_figures(handle.entry, [version, now])}{await _done_by_both(handle)}"
    )
    visit.ask(asked, f"Put {name}@{version} in service", await _risk(visit, handle, version))
    answer = await handle.promote(version, reason=visit.field("reason"))
    told = f"{name}@{version} is in service."
    return visit.back_to(f"/models/{name}", told, *answer.notes)


@act("/models/{name}/rollback")
async def rollback(visit: ByOperator, name: str) -> Response:
    """End the roll-out that goes on, or put the version in service that was there before."""
    handle = await _own(visit, name)
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
        risk = await _risk(visit, handle, before)
    visit.ask(asked, button, risk)
    answer = await handle.rollback()
    told = f"{name}@{answer.in_service} is in service."
    return visit.back_to(f"/models/{name}", told, *answer.notes)


@act("/models/{name}/{action}")
async def hold(visit: ByOperator, name: str, action: Literal["pause", "resume"]) -> Response:
    """Pause a model, or let it go on."""
    await _own(visit, name)
    if action == "resume":
        await visit.seqd.resume_model(name)
        return visit.back_to(f"/models/{name}", f"{name} goes on.")
    asked = (
        "No further unit of its jobs begins, on any worker, until it is resumed. Units in hand are "
        "finished, new jobs wait, trainings go on."
    )
    visit.ask(asked, f"Pause {name}")
    await visit.seqd.pause_model(name)
    return visit.back_to(f"/models/{name}", f"{name} is paused.")


async def _seen(visit: Visit, name: str) -> AsyncModelHandle:
    """Return a model that is there for a caller; raises UnknownModel."""
    await visit.seqd.check_model(name, visit.only_tenant)
    return await visit.seqd.model(name)


async def _own(visit: Visit, name: str) -> AsyncModelHandle:
    """Return a model that a caller may change, and that is as it was on the form's page.

    Raises UnknownModel, NotAllowed and ServiceChanged.
    """
    handle = await _seen(visit, name)
    await visit.seqd.check_own_model(name, visit.only_tenant)
    now = str(handle.in_service)
    if visit.form.get("in_service", now) != now:
        raise ServiceChanged(f"Nothing was changed: {name}@{now} has come into service meanwhile.")
    return handle


async def _may_change(visit: Visit, name: str) -> bool:
    with suppress(ModelNameTaken, NotAllowed):
        check_role(visit.caller, KeyRole.OPERATE)
        await visit.seqd.check_own_model(name, visit.only_tenant)
        return True
    return False


async def _risk(visit: Visit, handle: AsyncModelHandle, version: int | None) -> str:
    """Return why a version would not be put in service now; '' of nothing."""
    ref = f"{handle.name}@{version}"
    told = [
        f"{one.worker} cannot run {ref}: {unfit.code}: {unfit.message.rstrip('.')}."
        for one in await visit.seqd.workers()
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


def _acts(entry: CatalogEntry, in_service: int | None, pause: ModelPause | None) -> list[Button]:
    """Return what can be done to a model as a whole."""
    path, rollout = f"/models/{entry.model}", entry.rollout
    acts = [Button("Pause", f"{path}/pause")]
    if pause is not None:
        acts = [Button("Resume", f"{path}/resume", "primary")]
    if in_service is not None and (
        rollout or version_before(entry.history, in_service) is not None
    ):
        name = "Roll back" if rollout is None else f"End the {rollout.kind}"
        acts.append(Button(name, f"{path}/rollback", hidden=[("in_service", str(in_service))]))
    return acts


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
        mark = Cell("best", "bold green")
        columns.append(Column(label, lambda one: mark if one.version == best else ""))
    return table_of(columns, list(reversed(entry.versions)))


def _figures_by_version(entry: CatalogEntry) -> dict[int, Mapping[str, float]]:
    return {one.version: one.metrics for one in entry.versions if one.metrics}


def _side_by_side(entry: CatalogEntry, chosen: Sequence[int]) -> Table:
    """Return the figures of two versions, a row each, and which is better where that is known."""
    known = _figures_by_version(entry)
    refs = [f"{entry.model}@{one}" for one in chosen]
    first, second = both = [known.get(one, {}) for one in chosen]

    def better(name: str) -> str:
        shared = name in first and name in second
        found = better_of(name, first[name], second[name]) if shared else None
        return "-" if found is None else refs[found]

    def figure(number: int, name: str) -> Cell:
        told = metric(both[number][name]) if name in both[number] else "-"
        return Cell(told, "bold" if better(name) == refs[number] else "")

    columns: list[Column[str]] = [
        Column("figure", spoken),
        *(Column(ref, partial(figure, one), is_number=True) for one, ref in enumerate(refs)),
        Column("better", better, is_left_out_empty=True),
    ]
    return table_of(columns, dict.fromkeys([*first, *second]))


def _figures(entry: CatalogEntry, versions: Sequence[int | None]) -> str:
    """Return the figures of versions in a line."""
    known = _figures_by_version(entry)
    told = [
        f"{entry.model}@{one}: {metrics_line(known.get(one, {})) or 'no figures'}."
        for one in versions
        if one is not None
    ]
    return " ".join(told)

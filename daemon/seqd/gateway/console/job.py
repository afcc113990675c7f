"""The page of a job: how far it is, what it waits for, what failed of it, and what comes out.

Its results are pages, the one of an item, and all of them to keep.
"""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Query
from starlette.responses import Response, StreamingResponse

from seqd.analysis.curves import LearningCurve, curves_of, spoken
from seqd.client import AsyncJob
from seqd.client.explaining.records import Explanation
from seqd.client.failures import FailureGroup, FailureGroups
from seqd.client.job import writes_texts
from seqd.client.requests import has_its_input
from seqd.client.results import Result
from seqd.errors import InvalidInput, InvalidRequest, StoreUnreachable, UnknownItem
from seqd.gateway.console.charts import Chart, chart_of
from seqd.gateway.console.jobs import ACTS
from seqd.gateway.console.rendering import Button, Page, Table, beside, table_of
from seqd.gateway.console.visits import ByReader, Visit, page, router
from seqd.gateway.jobs import RESULTS, result_lines
from seqd.kinds import KINDS
from seqd.views.columns import Column
from seqd.views.events import EVENT_COLUMNS, standing_events
from seqd.views.explanation import item_facts, item_told, sections_of, units_told
from seqd.views.failures import group_columns, names_of
from seqd.views.jobs import job_facts, may_retry
from seqd.views.numbers import count, duration, metric, rate
from seqd.views.results import RESULT_COLUMNS, output_text
from seqd_schemas import (
    Epoch,
    Event,
    FailureRecord,
    JobAction,
    JobRecord,
    Sample,
    Step,
    TrainJob,
)

#: Results, and events, that the page shows.
_SHOWN_RESULTS: Final = 10
_SHOWN_EVENTS: Final = 50
#: Texts that are shown while they are written, and epochs of which samples are.
_SHOWN_TEXTS: Final = 5
_SHOWN_EPOCHS: Final = 3

#: What is called otherwise on this page, or said by its headline.
_SAID: Final = ("job", "waits", "failure", "rate", "made", "continues", "continued by")

_PAGE: Final = 50

#: Results among which a page looks for those that failed: tenths of a second of work.
_SEARCHED: Final = 20_000


@page("/jobs/{job_id}")
async def job(visit: ByReader, job_id: str) -> Page:
    """Show a job as it is now."""
    handle, record = await visit.seqd.found_job(job_id, visit.only_tenant)
    activity = await handle.activity()
    found = await visit.seqd.explained_to(visit.only_tenant, job_id)
    events = await visit.seqd.events_by_now(job_id)
    failed, texts = list[FailureRecord](), dict[tuple[str, int], str]()
    if record.counts.errored:
        asked = visit.seqd.ledger.failures.of_job.steps(job_id, record.created_at_ms)
        failed = await visit.seqd.ask(asked)
    if writes_texts(record) and not record.state.is_terminal:
        texts = await visit.seqd.texts_by_now(job_id)
    results, _, why_not = await results_table(handle, record, limit=_SHOWN_RESULTS)
    told = job_facts(record, activity)
    happened = standing_events(events)
    last: dict[str, Event] = {one.event: one for one in events}
    facts = {
        "record": record,
        "has_items": KINDS[record.kind].has_items,
        "headline": found.headline,
        "may_do": _acts(visit, record, found),
        "done": _done(record, last),
        "figures": _figures(record, found, activity.rate_per_s, last),
        "sections": sections_of(found),
        "texts": [one for one in texts.items() if one[1]][-_SHOWN_TEXTS:],
        "charts": _charts(events),
        "samples": _samples(events),
        "errors": _errors(failed, record),
        "results": results,
        "unread": why_not,
        "earlier": len(happened[:-_SHOWN_EVENTS]),
        "events": table_of(EVENT_COLUMNS, happened[-_SHOWN_EVENTS:]),
        "facts": {name: one for name, one in told.items() if name not in _SAID}
        | {"units": units_told(found)},
    }
    return Page("job.html", f"Job {job_id}", facts, is_final=record.state.is_terminal)


def _acts(visit: Visit, record: JobRecord, found: Explanation) -> list[Button]:
    """Return what a caller can do to a job now."""
    names = {one: one.value.capitalize() for one in JobAction if record.state.may(one)}
    names.pop(JobAction.RETRY, None)
    if may_retry(record, found.errors):
        names[JobAction.RETRY] = "Retry what failed"
    if (
        isinstance(record.job, TrainJob)
        and record.state.is_terminal
        and (record.training, record.continued_by) == (None, None)
        and has_its_input(record)
    ):
        names[JobAction.RESUME] = "Continue by a new job"
    return [
        Button(name, f"/jobs/{record.job_id}/{action}", ACTS[action][1])
        for action, name in names.items()
        if visit.caller.role.may(ACTS[action][0])
    ]


def _done(record: JobRecord, last: Mapping[str, Event]) -> tuple[float, str]:
    """Return how much of a job is done, as a share and in words."""
    if KINDS[record.kind].has_items:
        done, total = record.counts.done, record.counts.total
        more = "" if record.sealed else " known so far"
        things = KINDS[record.kind].items
        return _share(done, total), f"{count(done)} of {count(total)} {things} done{more}"
    step, epoch, told, share = last.get("step"), last.get("epoch"), list[str](), 0.0
    if isinstance(epoch, Epoch):
        told.append(f"{count(epoch.epoch)} of {count(epoch.epochs)} epochs")
        share = _share(epoch.epoch, epoch.epochs)
    if isinstance(step, Step) and _share(step.done, step.total) > share:  # not all are told of
        told.append(f"{count(step.done)} of {count(step.total)} steps")
        share = _share(step.done, step.total)
    return share, f"{', '.join(told) or 'No step'} done"


def _share(done: int, total: int) -> float:
    return round(done / total, 4) if total else 0.0


def _figures(
    record: JobRecord, found: Explanation, per_s: float | None, last: Mapping[str, Event]
) -> list[tuple[str, str]]:
    """Return the figures at the top, each with its name."""
    step, left_s = last.get("step"), found.left_s
    figures = [(str(record.state), "state")]
    if per_s:
        pace = (rate(per_s), "items a second") if per_s >= 1 else (duration(1 / per_s), "an item")
        figures.append(pace)
    if record.counts.errored:
        figures.append((count(record.counts.errored), "errors"))
    if left_s is not None:
        figures.append((duration(left_s), "left, about"))
    if isinstance(step, Step) and not record.state.is_terminal:
        figures += [(metric(one), spoken(name)) for name, one in step.metrics.items()]
    return figures


def _charts(events: Sequence[Event]) -> list[Chart]:
    """Return the learning curves of a training by now."""
    curve = LearningCurve()
    for one in events:
        if isinstance(one, Epoch) and one.run is None:
            curve.add(one.epoch, one.seconds, one.metrics)
    if not curve.epochs:
        return []
    ends = f"epoch {curve.epochs[0].epoch}", f"epoch {curve.epochs[-1].epoch}"
    return [
        chart_of(spoken(one.figure), [("training", one.training), ("held out", one.held_out)], ends)
        for one in curves_of(curve.epochs)
    ]


def _samples(events: Sequence[Event]) -> list[tuple[int, list[Sample]]]:
    """Return the samples of the last epochs that have some, the last first."""
    of_epoch = dict[int, list[Sample]]()
    for one in events:
        if isinstance(one, Sample):
            of_epoch.setdefault(one.epoch, []).append(one)
    return sorted(of_epoch.items(), reverse=True)[:_SHOWN_EPOCHS]


def _errors(failed: Sequence[FailureRecord], record: JobRecord) -> Table:
    """Return what failed of a job, by cause, each with some of its items."""
    groups, by_id = FailureGroups(records=failed), {one.id: one for one in failed}
    columns = {column.name: column for column in group_columns(record.created_at_ms)}
    such_as = Column[FailureGroup]("such as", lambda group: names_of(by_id[group.example_id]))
    shown = (columns["code"], columns["items"], such_as, columns["message"])
    return table_of(shown, groups.listed(), lambda group: f"/failures/{group.example_id}")


async def results_table(
    job: AsyncJob,
    record: JobRecord,
    offset: int = 0,
    limit: int = _PAGE,
    *,
    has_failed: bool = False,
) -> tuple[Table, int, str]:
    """Return results that are there, in input order, where the next are, and why none can be read.

    `has_failed` leaves out those that succeeded. A training has none.
    """
    found, behind, why_not = list[Result](), offset, ""
    most = _SEARCHED if has_failed else limit
    try:
        if KINDS[record.kind].has_items:
            async with aclosing(job.results(wait=False, offset=offset, limit=most)) as results:
                async for result in results:
                    behind += 1
                    if not (has_failed and result.ok):
                        found.append(result)
                    if len(found) == limit:
                        break
    except (InvalidInput, StoreUnreachable) as error:  # of results in a folder of elsewhere
        why_not = str(error)
    to = f"/jobs/{record.job_id}/results?item="
    table = table_of(RESULT_COLUMNS, found, lambda result: to + quote(result.custom_id, safe=""))
    return table, behind, why_not


@page("/jobs/{job_id}/results")
async def results(
    visit: ByReader,
    job_id: str,
    offset: Annotated[int, Query(ge=0)] = 0,
    item: Annotated[str, Query(max_length=128)] = "",
    failed: bool = False,
) -> Page:
    """Show results in input order, all or those that failed, or where an item stands."""
    job, record = await visit.seqd.found_job(job_id, visit.only_tenant)
    title = f"Results of job {job_id}"
    if not item:
        shown, behind, why_not = await results_table(job, record, offset, has_failed=failed)
        before = max(0, offset - _PAGE) if offset and not failed else None
        after = behind if offset < behind < record.counts.total else None
        links = beside(visit.request, before=before, after=after)
        facts = {"record": record, "item": "", "failed": failed, "beside": links}
        facts |= {"results": shown, "unread": why_not}
        return Page("job_results.html", title, facts, is_final=record.state.is_terminal)
    facts = {"record": record, "item": item, "facts": {}, "text": ""}
    try:
        found = (await visit.seqd.explained_to(visit.only_tenant, job_id, item)).item
        assert found is not None
    except (UnknownItem, InvalidRequest) as error:
        facts["said"] = str(error)
    else:
        facts |= {"said": item_told(found), "facts": item_facts(found)}
        if found.result is not None and found.result.ok:
            facts["text"] = output_text(found.result.output)
    return Page("job_item.html", title, facts, is_final=True)


@router.get("/jobs/{job_id}/results.jsonl")
async def download(visit: ByReader, job_id: str) -> Response:
    """Return all results that are there, as a file of JSON Lines."""
    job, _ = await visit.seqd.found_job(job_id, visit.only_tenant)
    headers = {
        "content-disposition": f'attachment; filename="{job_id}.jsonl"',
        "x-content-type-options": "nosniff",
    }
    return StreamingResponse(result_lines(job, wait=False), media_type=RESULTS, headers=headers)

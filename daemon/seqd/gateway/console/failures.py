"""Dead letters: what failed by its cause, one of them in full, and trying them again."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from seqd.client.failures import FailureGroups
from seqd.errors import InvalidRequest
from seqd.escaping import printable
from seqd.gateway.callers import Caller, Operator, Reader, SeqdClient
from seqd.gateway.console.rendering import Page, back_to, page, table_of
from seqd.gateway.console.visits import Form, field_of, question
from seqd.gateway.ledger_client import GatewayClient
from seqd.ledger.job_filter import FailureFilters
from seqd.views.failures import (
    MAX_INPUT_CHARS,
    code_of,
    failure_columns,
    failure_facts,
    group_columns,
    plan_told,
    replay_told,
    what_to_do,
    why_no_input,
)
from seqd.views.numbers import count, counted
from seqd_schemas import FailureRecord, FailureScope

router = APIRouter(include_in_schema=False)

#: What says which dead letters are meant: filters; one of those with one cause; one; and before
#: when they have failed, which is fixed while somebody is asked.
_FILTERS: Final = ("code", "model", "tenant")
_NAMES: Final = (*_FILTERS, "like", "id", "until")
_UNTIL: Final = re.compile(r"[0-9]{1,14}")

#: Lines that are shown of one cause, and dead letters of which the causes are: more take longer
#: than a page may.
_MOST: Final = 200
_MOST_READ: Final = 2_000
_MOST_TOLD: Final = 5

_NONE: Final = "No dead letter matches."


@router.get("/failures")
@page
async def failures(request: Request, caller: Reader, seqd: SeqdClient) -> Page:
    """List what failed: dead letters with one cause together; those of one cause one by one."""
    asked, why, title = _asked(request.query_params), "", "Dead letters"
    now_ms = await seqd.ask(seqd.ledger.fleet.now_ms.steps())
    meant, records = FailureFilters(), list[FailureRecord]()
    try:
        meant = await _meant(seqd, caller, asked)
        records = await seqd.failures(_MOST if asked["like"] else _MOST_READ, **meant)
    except InvalidRequest as error:
        why = str(error)
    if asked["like"]:
        found = table_of(failure_columns(now_ms), records, lambda one: f"/failures/{one.id}")
        alike = len(tuple(meant.get("ids") or ()))
        summary = f"{counted(alike, 'dead letter')} with one cause."
        if alike > _MOST:
            summary += f" The newest {_MOST} are shown."
        if records:
            title += f": {code_of(records[0])}"
    else:
        groups = FailureGroups()
        for record in records:
            groups.add(record)
        last, code, *others = group_columns(now_ms)
        columns = (code, last, *others)
        found = table_of(columns, groups.listed(), lambda one: f"/failures?like={one.example_id}")
        summary = _summary(groups)
        if len(records) == _MOST_READ:
            summary += f" Older than the newest {count(_MOST_READ)} are not looked at here."
    facts = {
        "asked": asked,
        "given": {name: value for name, value in asked.items() if value},
        "summary": summary if records else "",
        "found": found,
        "why": why,
    }
    status = 400 if why else 200
    return Page("failures.html", title, facts, status, is_final=bool(asked["like"]))


@router.get("/failures/{failure_id}")
@page
async def failure(request: Request, failure_id: str, caller: Reader, seqd: SeqdClient) -> Page:
    """Show one dead letter: what failed and why, its input, and what to do."""
    record = await seqd.ask(seqd.ledger.failures.get.steps(failure_id, caller.only_tenant))
    items = await seqd.failure_items(failure_id)
    is_kept = await seqd.ask(seqd.ledger.jobs.exists.steps(record.job_id))
    facts = {
        "record": record,
        "facts": failure_facts(record),
        "items": [(one.custom_id, printable(one.text[:MAX_INPUT_CHARS])) for one in items],
        "why_no_input": why_no_input(record, is_kept=is_kept),
        "has_items": record.scope is FailureScope.ITEMS,
        "traceback": printable(record.traceback),
        "is_kept": is_kept,
        "to_do": what_to_do(record, is_kept=is_kept),
    }
    return Page("failure.html", f"Dead letter {record.id}", facts)


@router.post("/failures/replay")
async def replay(request: Request, form: Form, caller: Operator, seqd: SeqdClient) -> Response:
    """Try failed items again."""
    meant, form = await _fixed(seqd, caller, form)
    current_version = field_of(form, "current_version") == "yes"
    path = _path(_asked(form))
    if "until" not in meant:
        return back_to(request, path, _NONE, is_refused=True)
    planned = await seqd.replay(dry_run=True, current_version=current_version, **meant)
    ready = [one for one in planned if not one.left_because]
    left = [one for one in planned if one.left_because]
    if not ready:
        why = " ".join(line.text for line in replay_told(planned))
        return back_to(request, path, why, is_refused=True)
    told = [line.text for line in replay_told(left)][:_MOST_TOLD] if left else []
    plan = " ".join([plan_told(ready, current_version=current_version), *told])
    if (sure := question(request, form, plan, "Try them again")) is not None:
        return sure
    done = await seqd.replay(current_version=current_version, **meant)
    return back_to(request, path, " ".join(line.text for line in replay_told(done)))


@router.post("/failures/purge")
async def purge(request: Request, form: Form, caller: Operator, seqd: SeqdClient) -> Response:
    """Remove dead letters; jobs and results stay."""
    meant, form = await _fixed(seqd, caller, form)
    if "until" not in meant:
        return back_to(request, "/failures", _NONE, is_refused=True)
    found = counted(await seqd.purge_failures(dry_run=True, **meant), "dead letter")
    asked = f"{found} will be removed; jobs and results stay."
    if (sure := question(request, form, asked, f"Remove {found}")) is not None:
        return sure
    removed = await seqd.purge_failures(**meant)
    return back_to(request, "/failures", f"{counted(removed, 'dead letter')} removed.")


def _summary(groups: FailureGroups) -> str:
    """Return how many dead letters there are."""
    counts = (
        counted(groups.entries, "dead letter"),
        counted(groups.items, "failed item"),
        counted(groups.jobs, "job"),
    )
    return f"{', '.join(counts)}; {counted(len(groups.listed()), 'cause')}."


def _asked(given: Mapping[str, object]) -> dict[str, str]:
    """Return what a form or an address says of which dead letters are meant."""
    return {name: str(given.get(name, "")).strip() for name in _NAMES}


def _path(asked: Mapping[str, str]) -> str:
    """Return the page of the dead letters that are meant."""
    if asked["id"]:
        return f"/failures/{asked['id']}"
    named = {name: asked[name] for name in (*_FILTERS, "like") if asked[name]}
    return f"/failures?{urlencode(named)}"


async def _meant(seqd: GatewayClient, caller: Caller, asked: Mapping[str, str]) -> FailureFilters:
    """Return filters for what is asked, of what the caller sees. Raises InvalidRequest."""
    meant: FailureFilters = {}
    if asked["code"]:
        meant["code"] = asked["code"]
    if asked["model"]:
        meant["model"] = asked["model"]
    if tenant := caller.only_tenant or asked["tenant"]:
        meant["tenant"] = tenant
    if _UNTIL.fullmatch(asked["until"]):
        meant["until"] = datetime.fromtimestamp(int(asked["until"]) / 1000, UTC)
    if asked["id"]:
        meant["ids"] = [asked["id"]]
    elif asked["like"]:
        groups = (await seqd.failure_groups(**meant)).listed()
        meant["ids"] = next((one.ids for one in groups if asked["like"] in one.ids), ())
    return meant


async def _fixed(
    seqd: GatewayClient, caller: Caller, form: FormData
) -> tuple[FailureFilters, FormData]:
    """Return filters for what a form means, and the form, which both leave out what fails now on.

    Without `until` where no dead letter matches.
    """
    meant = await _meant(seqd, caller, _asked(form))
    newest = [] if "until" in meant else await seqd.failures(1, **meant)
    if newest:
        until = str(newest[0].at_ms + 1)
        form = FormData([*form.multi_items(), ("until", until)])
        meant = await _meant(seqd, caller, _asked(form))
    return meant, form

"""Dead letters: what failed by its cause, one of them in full, and trying them again."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response

from seqd.client.failures import FailureGroups, ReplayedJob, end_at_the_newest
from seqd.errors import InvalidRequest
from seqd.escaping import printable
from seqd.gateway.console.rendering import Page, table_of
from seqd.gateway.console.visits import ByOperator, ByReader, Visit, act, page
from seqd.ledger.job_filter import FailureFilters
from seqd.views.failures import (
    MAX_INPUT_CHARS,
    code_of,
    failure_columns,
    failure_facts,
    group_columns,
    groups_told,
    plan_told,
    replay_told,
    what_to_do,
    why_no_input,
)
from seqd.views.numbers import count, counted
from seqd_schemas import FailureRecord, FailureScope

#: What says which dead letters are meant: filters; one of those with one cause; one; and before
#: when they have failed, in milliseconds, which is fixed while somebody is asked.
_LISTED_BY: Final = ("code", "model", "tenant", "like")
_NAMES: Final = (*_LISTED_BY, "id", "until")

#: Lines that are shown of one cause, and dead letters of which the causes are: more take longer
#: than a page may.
_MOST: Final = 200
_MOST_READ: Final = 2_000
_MOST_TOLD: Final = 5

_NONE: Final = "No dead letter matches."


@page("/failures")
async def failures(visit: ByReader) -> Page:
    """List what failed: dead letters with one cause together; those of one cause one by one."""
    asked, why, title = _asked(visit.request.query_params), "", "Dead letters"
    now_ms = await visit.now_ms()
    meant, records = FailureFilters(), list[FailureRecord]()
    try:
        meant = await _meant(visit, asked)
        records = await visit.seqd.failures(_MOST if asked["like"] else _MOST_READ, **meant)
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
        groups = FailureGroups(records=records)
        last, code, *others = group_columns(now_ms)
        columns = (code, last, *others)
        found = table_of(columns, groups.listed(), lambda one: f"/failures?like={one.example_id}")
        summary = f"{counted(groups.entries, 'dead letter')}: {groups_told(groups)}."
        if len(records) == _MOST_READ:
            summary += f" Older than the newest {count(_MOST_READ)} are not looked at here."
    facts = {
        "asked": asked,
        "given": {name: value for name, value in asked.items() if value},
        "can_replay": True,
        "summary": summary if records else "",
        "found": found,
        "why": why,
    }
    status = 400 if why else 200
    return Page("failures.html", title, facts, status, is_final=bool(asked["like"]))


@page("/failures/{failure_id}")
async def failure(visit: ByReader, failure_id: str) -> Page:
    """Show one dead letter: what failed and why, its input, and what to do."""
    record = await visit.seqd.ask(
        visit.seqd.ledger.failures.get.steps(failure_id, visit.only_tenant)
    )
    items = await visit.seqd.failure_items(failure_id)
    is_kept = await visit.seqd.ask(visit.seqd.ledger.jobs.exists.steps(record.job_id))
    facts = {
        "record": record,
        "facts": failure_facts(record),
        "items": [(one.custom_id, printable(one.text[:MAX_INPUT_CHARS])) for one in items],
        "why_no_input": why_no_input(record, is_kept=is_kept),
        "has_items": record.scope is FailureScope.ITEMS,
        "traceback": printable(record.traceback),
        "given": {"id": record.id},
        "can_replay": is_kept and not record.replayed_by,
        "to_do": what_to_do(record, is_kept=is_kept),
    }
    return Page("failure.html", f"Dead letter {record.id}", facts)


@act("/failures/replay")
async def replay(visit: ByOperator) -> Response:
    """Try failed items again."""
    path, meant, until = await _fixed(visit)
    if until is None:
        return visit.back_to(path, _NONE, is_refused=True)
    current_version = visit.field("current_version") == "yes"
    planned = await visit.seqd.replay(dry_run=True, current_version=current_version, **meant)
    ready = [one for one in planned if not one.left_because]
    left = [one for one in planned if one.left_because]
    if not ready:
        return visit.back_to(path, *_lines(planned), is_refused=True)
    told = _lines(left)[:_MOST_TOLD] if left else []
    plan = " ".join([plan_told(ready, current_version=current_version), *told])
    visit.ask(plan, "Try them again", until=until)
    done = await visit.seqd.replay(current_version=current_version, **meant)
    return visit.back_to(path, *_lines(done))


@act("/failures/purge")
async def purge(visit: ByOperator) -> Response:
    """Remove dead letters; jobs and results stay."""
    _, meant, until = await _fixed(visit)
    if until is None:
        return visit.back_to("/failures", _NONE, is_refused=True)
    found = counted(await visit.seqd.purge_failures(dry_run=True, **meant), "dead letter")
    visit.ask(f"{found} will be removed; jobs and results stay.", f"Remove {found}", until=until)
    removed = await visit.seqd.purge_failures(**meant)
    return visit.back_to("/failures", f"{counted(removed, 'dead letter')} removed.")


def _lines(jobs: Sequence[ReplayedJob]) -> list[str]:
    return [line.text for line in replay_told(jobs)]


def _asked(given: Mapping[str, object]) -> dict[str, str]:
    """Return what a form or an address says of which dead letters are meant."""
    return {name: str(given.get(name, "")).strip() for name in _NAMES}


async def _meant(visit: Visit, asked: Mapping[str, str]) -> FailureFilters:
    """Return filters for what is asked, of what the caller sees. Raises InvalidRequest."""
    meant: FailureFilters = {
        "code": asked["code"] or None,
        "model": asked["model"] or None,
        "tenant": visit.only_tenant or asked["tenant"] or None,
    }
    if asked["until"].isdecimal():
        meant["until"] = datetime.fromtimestamp(int(asked["until"][:14]) / 1000, UTC)
    if asked["id"]:
        meant["ids"] = [asked["id"]]
    elif asked["like"]:
        groups = (await visit.seqd.failure_groups(**meant)).listed()
        meant["ids"] = next((one.ids for one in groups if asked["like"] in one.ids), ())
    return meant


async def _fixed(visit: Visit) -> tuple[str, FailureFilters, int | None]:
    """Return the page of the dead letters that a form means, filters for them, and their end.

    The end leaves out what fails from now on, in milliseconds; None where no dead letter matches.
    """
    asked = _asked(visit.form)
    meant = await _meant(visit, asked)
    end_at_the_newest(meant, await visit.seqd.failures(1, **meant))
    named = {name: asked[name] for name in _LISTED_BY if asked[name]}
    path = f"/failures/{asked['id']}" if asked["id"] else f"/failures?{urlencode(named)}"
    until = meant.get("until")
    return path, meant, None if until is None else round(until.timestamp() * 1000)

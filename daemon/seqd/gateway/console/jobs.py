"""Jobs, the newest first, by what they have in common; acts on one of them, or on all of these."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from time import monotonic, time
from typing import Annotated, Final, TypeVar, get_args
from urllib.parse import urlencode

from fastapi import Form
from starlette.datastructures import FormData, QueryParams
from starlette.responses import Response

from seqd.client.many_jobs import JobCount, JobsActedOn, past_of
from seqd.errors import InvalidRequest, UnknownJob
from seqd.gateway.callers import check_role
from seqd.gateway.console.rendering import Page, table_of
from seqd.gateway.console.visits import ByReader, BySubmitter, act, page
from seqd.ledger.job_filter import ANY_JOB, FoundJobs, JobFilters, job_filter
from seqd.validation import shown
from seqd.views.jobs import job_columns, may_retry
from seqd.views.many_jobs import done_told, refused_told, states_told
from seqd.views.numbers import counted
from seqd_schemas import JobAction, JobKind, JobState, KeyRole, WaitingCode

T = TypeVar("T")

#: Jobs of one page.
_SHOWN: Final = 50

#: Others that one page looks at, about 50 ms of work; of a beginning of an id that takes less.
_SEARCHED: Final = 1_000
_SEARCHED_BY_ID: Final = 5_000

#: Seconds after which a count, and an act, stops where it is.
_LONGEST_COUNT_S: Final = 5.0
_LONGEST_ACT_S: Final = 20.0

#: The fields of the filter.
_FIELDS: Final = ("state", "kind", "model", "tenant", "since", "from", "text")

#: Spans of time that the filter offers, by their values.
_SPANS: Final = {
    "1h": ("the last hour", timedelta(hours=1)),
    "1d": ("the last day", timedelta(days=1)),
    "7d": ("the last week", timedelta(days=7)),
}

#: Why a job waits that somebody will go on with.
_PASSING: Final = (WaitingCode.STARTING, WaitingCode.MODEL_PAUSED, WaitingCode.NO_WRITES)

#: Who may do what, as by the routes of `/v1`, how it is drawn, what it is called, and what becomes
#: of the jobs. One job is asked about, too, where that is a danger.
ACTS: Final = {
    JobAction.CANCEL: (KeyRole.SUBMIT, "danger", "Cancel", "What is done by then stays readable."),
    JobAction.PAUSE: (
        KeyRole.OPERATE,
        "",
        "Pause",
        "What is in hand is finished; nothing else is begun until they are resumed.",
    ),
    JobAction.RESUME: (KeyRole.OPERATE, "primary", "Resume", "They go on where they were."),
    JobAction.RETRY: (
        KeyRole.OPERATE,
        "",
        "Retry failed items of",
        "What failed of each is handed in again, as a new job.",
    ),
    JobAction.REMOVE: (KeyRole.SUBMIT, "danger", "Remove", "With all results, for good."),
}


@page("/jobs")
async def jobs(visit: ByReader) -> Page | Response:
    """Show the jobs that match; a whole identifier leads to its job."""
    asked, found, fault = visit.request.query_params, FoundJobs(), ""
    try:
        filters = _filters(asked, visit.only_tenant)
        begins = filters["id_begins"]
        if begins is not None:
            with suppress(UnknownJob):
                await visit.seqd.found_job(begins, visit.only_tenant)
                return visit.back_to(f"/jobs/{begins}")
        found = await visit.seqd.jobs(
            _SHOWN,
            before=asked.get("before"),
            most_searched=_SEARCHED if begins is None else _SEARCHED_BY_ID,
            **filters,
        )
    except InvalidRequest as error:
        fault = str(error)
    now_ms = found.at_ms or round(time() * 1000)
    unserved = {
        f"{getattr(one.job, 'task', None) or one.kind} {one.model}"
        for one in found
        if one.waiting is not None and one.waiting.code not in _PASSING
    }
    columns = job_columns(now_ms, {one.tenant for one in found}, unserved)
    kept = [(name, value) for name, value in asked.multi_items() if name in _FIELDS and value]
    states = asked.getlist("state")
    beside = {"Newest": f"/jobs?{urlencode(kept)}"} if "before" in asked else {}
    if found.older:
        name = "Search on" if found.stopped_at_ms else "Older"
        beside[name] = f"/jobs?{urlencode([*kept, ('before', found.older)])}"
    facts = {
        "jobs": table_of(columns, found, lambda one: f"/jobs/{one.job_id}"),
        "fault": fault,
        "found": found,
        "asked": {name: asked.get(name, "") for name in _FIELDS},
        "states": [one.value for one in JobState],
        "asked_states": states,
        "kinds": {"": "any"} | {one: one for one in get_args(JobKind)},
        "spans": {"": "any time"} | {value: told for value, (told, _) in _SPANS.items()},
        "kept": kept,
        "beside": beside,
        "acts": [
            (action.value, name, kind)
            for action, (role, kind, name, _) in ACTS.items()
            if visit.caller.role.may(role) and _may_any(action, found, asked)
        ],
    }
    return Page("jobs.html", "Jobs", facts)


@act("/jobs")
async def act_on_all(
    visit: BySubmitter,
    action: Annotated[JobAction, Form()],
    at_ms: Annotated[int | None, Form()] = None,
    until_ms: Annotated[int | None, Form()] = None,
) -> Response:
    """Count the jobs that match, ask, and act on each that was there when they were counted."""
    role, _, name, outcome = ACTS[action]
    check_role(visit.caller, role)
    now_ms = round(time() * 1000) if at_ms is None else at_ms
    filters = _filters(visit.form, visit.only_tenant, now_ms)
    every = job_filter(filters) == ANY_JOB
    kept = [(one, value) for one, value in visit.form.multi_items() if one in _FIELDS and value]
    back = f"/jobs?{urlencode(kept)}"
    if until_ms is not None:
        count = JobCount(action, until_ms=until_ms)
    else:
        count, is_all = await _walked(
            lambda step: visit.seqd.count_jobs(action, every=every, on_step=step, **filters),
            _LONGEST_COUNT_S,
        )
        if not count.jobs:
            oldest = "" if is_all else f" of the oldest {counted(count.looked_at, 'job')}"
            why = f"None{oldest} matches that could be {past_of(action)}."
            return visit.back_to(back, why, is_refused=True)
        number = counted(count.jobs, "job") if is_all else f"{counted(count.jobs, 'job')} or more"
        asked = f"{name} {number} ({states_told(count)})? {outcome} Later jobs are left alone."
        visit.ask(asked, f"{name} {number}", at_ms=now_ms, until_ms=count.until_ms)
    all_acted_on = getattr(visit.seqd, f"{action}_jobs")  # such as `cancel_jobs`
    done: JobsActedOn
    done, is_all = await _walked(
        lambda step: all_acted_on(every=every, counted=count, on_step=step, **filters),
        _LONGEST_ACT_S,
    )
    rest = [] if is_all else ["There may be more: it took long, and was stopped. Do it again."]
    told = [done_told(done), *rest, *refused_told(done)]
    return visit.back_to(back, *told, is_refused=not done.acted_on)


@act("/jobs/{job_id}/{action}")
async def act_on_one(visit: BySubmitter, job_id: str, action: JobAction) -> Response:
    """Act on a job, from its page; cancel and remove it once the visitor is sure."""
    role, kind, name, outcome = ACTS[action]
    check_role(visit.caller, role)
    job, _ = await visit.seqd.found_job(job_id, visit.only_tenant)
    if kind == "danger":
        visit.ask(f"{name} job {job_id}? {outcome}", f"{name} the job")
    match action:
        case JobAction.REMOVE:
            await job.remove()
            return visit.back_to("/jobs", f"Job {job_id} was removed.")
        case JobAction.RETRY:
            job = await visit.seqd.retry(job_id)
            told = f"This job has what failed of {job_id}."
        case JobAction.RESUME:
            job = await visit.seqd.resume(job_id)
            told = "The job goes on." if job.job_id == job_id else f"This job continues {job_id}."
        case _:
            state = await (job.cancel() if action is JobAction.CANCEL else job.pause())
            told = f"The job is {state}."
    return visit.back_to(f"/jobs/{job.job_id}", told)


def _may_any(action: JobAction, found: FoundJobs, asked: QueryParams) -> bool:
    """Return whether an act may do something to jobs that match: to these, or to others."""
    if found and (found.older or "before" in asked):
        states = asked.getlist("state")
        return any(one.may(action) for one in JobState if not states or one in states)
    if action is JobAction.RETRY:
        return any(may_retry(one, {}) for one in found)
    return any(one.state.may(action) for one in found)


def _filters(
    fields: QueryParams | FormData, tenant: str | None, now_ms: int | None = None
) -> JobFilters:
    """Return the filters of a form, for a caller of a tenant. Raises InvalidRequest."""
    given = {name: str(fields.get(name, "")).strip() for name in _FIELDS}
    name, equals, value = given["text"].partition("=")
    return {
        "states": [str(one) for one in fields.getlist("state")],
        "kind": given["kind"] or None,
        "model": given["model"] or None,
        "tenant": tenant or given["tenant"] or None,
        "since": _since(given["since"], given["from"], now_ms),
        "metadata": {name.strip(): value.strip()} if equals else None,
        "id_begins": None if equals else given["text"] or None,
    }


def _since(span: str, moment: str, now_ms: int | None) -> datetime | None:
    """Return the later one of a span back from now and a moment; None of neither."""
    sinces = list[datetime]()
    if span:
        if span not in _SPANS:
            raise InvalidRequest(f"since is {shown(span)}; allowed: {', '.join(_SPANS)}.")
        now_s = time() if now_ms is None else now_ms / 1000
        sinces.append(datetime.fromtimestamp(now_s) - _SPANS[span][1])
    if moment:
        try:
            sinces.append(datetime.fromisoformat(moment).replace(tzinfo=None))
        except ValueError:
            raise InvalidRequest(
                f"from is {shown(moment)}; allowed: a moment, such as 2026-11-26T10:00."
            ) from None
    return max(sinces, default=None)


class _Enough(Exception):
    """Stops a walk over jobs, with what it has come to."""


async def _walked(
    walk: Callable[[Callable[[T], None]], Awaitable[T]], longest_s: float
) -> tuple[T, bool]:
    """Return what a walk over jobs has come to after some time at most, and whether that is all.

    What was done by then stays done.
    """
    until_s = monotonic() + longest_s

    def step(so_far: T) -> None:
        if monotonic() > until_s:
            raise _Enough(so_far)

    try:
        return await walk(step), True
    except _Enough as stopped:
        so_far: T = stopped.args[0]
        return so_far, False

"""Jobs, the newest first, by what they have in common; acts on one of them, or on all of these."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from time import monotonic, time
from typing import Final, TypeVar, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.datastructures import FormData, QueryParams
from starlette.responses import Response

from seqd.client.many_jobs import JobCount, past_of
from seqd.errors import InvalidRequest, UnknownJob
from seqd.gateway.callers import Reader, SeqdClient, Submitter, check_role
from seqd.gateway.console.rendering import Page, back_to, page, table_of
from seqd.gateway.console.visits import Form, field_of, question
from seqd.ledger.job_filter import ANY_JOB, FoundJobs, JobFilters, job_filter
from seqd.validation import shown
from seqd.views.jobs import job_columns, may_retry
from seqd.views.many_jobs import done_told, refused_told, states_told
from seqd.views.numbers import counted
from seqd_schemas import JobAction, JobKind, JobState, KeyRole, WaitingCode

T = TypeVar("T")

router = APIRouter(include_in_schema=False)

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

#: Who may do what, as by the routes of `/v1`, what it is called, and what becomes of the jobs.
_ACTS: Final = {
    JobAction.CANCEL: (KeyRole.SUBMIT, "Cancel", "What is done by then stays readable."),
    JobAction.PAUSE: (
        KeyRole.OPERATE,
        "Pause",
        "What is in hand is finished; nothing else is begun until they are resumed.",
    ),
    JobAction.RESUME: (KeyRole.OPERATE, "Resume", "They go on where they were."),
    JobAction.RETRY: (
        KeyRole.OPERATE,
        "Retry failed items of",
        "What failed of each is handed in again, as a new job.",
    ),
    JobAction.REMOVE: (
        KeyRole.SUBMIT,
        "Remove",
        "With all results, for good.",
    ),
}


@router.get("/jobs")
@page
async def jobs(request: Request, caller: Reader, seqd: SeqdClient) -> Page | Response:
    """Show the jobs that match; a whole identifier leads to its job."""
    asked, found, fault = request.query_params, FoundJobs(), ""
    try:
        filters = _filters(asked, caller.only_tenant)
        begins = filters["id_begins"]
        if begins is not None:
            with suppress(UnknownJob):
                await seqd.found_job(begins, caller.only_tenant)
                return back_to(request, f"/jobs/{begins}")
        found = await seqd.jobs(
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
    facts = {
        "jobs": table_of(columns, found, lambda one: f"/jobs/{one.job_id}"),
        "fault": fault,
        "found": found,
        "asked": {name: asked.get(name, "") for name in _FIELDS},
        "states": [(one.value, one.value in states) for one in JobState],
        "kinds": get_args(JobKind),
        "spans": {value: told for value, (told, _) in _SPANS.items()},
        "kept": kept,
        "newest": f"/jobs?{urlencode(kept)}" if "before" in asked else "",
        "older": f"/jobs?{urlencode([*kept, ('before', found.older)])}" if found.older else "",
        "acts": [
            (action.value, name)
            for action, (role, name, _) in _ACTS.items()
            if caller.role.may(role) and _may_any(action, found, asked)
        ],
    }
    return Page("jobs.html", "Jobs", facts)


@router.post("/jobs")
async def act_on_all(request: Request, form: Form, caller: Submitter, seqd: SeqdClient) -> Response:
    """Count the jobs that match, ask, and act on each that was there when they were counted."""
    if field_of(form, "action") not in tuple(JobAction):
        known = ", ".join(JobAction)
        raise InvalidRequest(f"action is {shown(field_of(form, 'action'))}; allowed: {known}.")
    action = JobAction(field_of(form, "action"))
    role, name, outcome = _ACTS[action]
    check_role(caller, role)
    at_ms, until_ms = field_of(form, "at_ms"), field_of(form, "until_ms")
    now_ms = int(at_ms) if at_ms.isdecimal() else round(time() * 1000)
    filters = _filters(form, caller.only_tenant, now_ms)
    every = job_filter(filters) == ANY_JOB
    kept = [(one, value) for one, value in form.multi_items() if one in _FIELDS and value]
    back = f"/jobs?{urlencode(kept)}"
    if until_ms.isdecimal():
        count = JobCount(action, until_ms=int(until_ms))
    else:
        count, is_all = await _walked(
            lambda step: seqd.count_jobs(action, every=every, on_step=step, **filters),
            _LONGEST_COUNT_S,
        )
        if not count.jobs:
            oldest = "" if is_all else f" of the oldest {counted(count.looked_at, 'job')}"
            why = f"None{oldest} matches that could be {past_of(action)}."
            return back_to(request, back, why, is_refused=True)
        fields = [*form.multi_items(), ("at_ms", str(now_ms)), ("until_ms", str(count.until_ms))]
        number = counted(count.jobs, "job") if is_all else f"{counted(count.jobs, 'job')} or more"
        asked = f"{name} {number} ({states_told(count)})? {outcome} Later jobs are left alone."
        asking = question(request, FormData(fields), asked, f"{name} {number}")
        if asking is not None:
            return asking
    acts = {
        JobAction.CANCEL: seqd.cancel_jobs,
        JobAction.PAUSE: seqd.pause_jobs,
        JobAction.RESUME: seqd.resume_jobs,
        JobAction.RETRY: seqd.retry_jobs,
        JobAction.REMOVE: seqd.remove_jobs,
    }
    done, is_all = await _walked(
        lambda step: acts[action](every=every, counted=count, on_step=step, **filters),
        _LONGEST_ACT_S,
    )
    rest = [] if is_all else ["There may be more: it took long, and was stopped. Do it again."]
    told = " ".join([done_told(done), *rest, *refused_told(done)])
    return back_to(request, back, told, is_refused=not done.acted_on)


@router.post("/jobs/{job_id}/{action}")
async def act_on_one(
    request: Request,
    job_id: str,
    action: JobAction,
    form: Form,
    caller: Submitter,
    seqd: SeqdClient,
) -> Response:
    """Act on a job, from its page; cancel and remove it once the visitor is sure."""
    role, name, outcome = _ACTS[action]
    check_role(caller, role)
    job, _ = await seqd.found_job(job_id, caller.only_tenant)
    if action in (JobAction.CANCEL, JobAction.REMOVE):
        asking = question(request, form, f"{name} job {job_id}? {outcome}", f"{name} the job")
        if asking is not None:
            return asking
    match action:
        case JobAction.REMOVE:
            await job.remove()
            return back_to(request, "/jobs", f"Job {job_id} was removed.")
        case JobAction.RETRY:
            job = await seqd.retry(job_id)
            told = f"This job has what failed of {job_id}."
        case JobAction.RESUME:
            job = await seqd.resume(job_id)
            told = "The job goes on." if job.job_id == job_id else f"This job continues {job_id}."
        case _:
            state = await (job.cancel() if action is JobAction.CANCEL else job.pause())
            told = f"The job is {state}."
    return back_to(request, f"/jobs/{job.job_id}", told)


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

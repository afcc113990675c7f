"""The first page: what is in hand and what waits, how fast it goes, what is wrong."""

from fastapi import APIRouter, Request

from seqd.doctor.judging import judged
from seqd.gateway.callers import Reader, SeqdClient
from seqd.gateway.console.rendering import Page, page, table_of
from seqd.views.jobs import job_columns
from seqd.views.queues import queue_columns

router = APIRouter(include_in_schema=False)

#: Open jobs that are shown, the newest.
_SHOWN_JOBS = 10


@router.get("/")
@page
async def now(request: Request, caller: Reader, seqd: SeqdClient) -> Page:
    """Show the daemon as it is now."""
    fleet = await seqd.overview()
    tenant = caller.only_tenant
    jobs = [one for one in fleet.jobs if tenant in (None, one.tenant)][:_SHOWN_JOBS]
    tenants = {one.tenant for one in jobs}
    queues = [one for one in fleet.queues if one.state != "idle"]
    unserved = {f"{one.task} {one.model}" for one in queues if one.state == "unserved"}
    facts = {
        "fleet": fleet,
        "findings_now": judged(fleet),
        "waiting": sum(one.waiting_items for one in queues),
        "in_hand": sum(one.items_in_hand for one in queues),
        "work_left_s": sum(one.work_left_s for one in queues),
        "busy": sum(bool(units) for units in fleet.units_in_hand.values()),
        "jobs": table_of(
            job_columns(fleet.at_ms, tenants, unserved), jobs, lambda one: f"/jobs/{one.job_id}"
        ),
        "queues": table_of(queue_columns(is_wide=True), queues),
    }
    return Page("now.html", "Now", facts)

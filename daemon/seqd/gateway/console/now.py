"""The first page: what is in hand and what waits, how fast it goes, what is wrong."""

from collections.abc import Callable, Iterator, Sequence

from seqd.doctor.findings import Finding
from seqd.doctor.judging import judged, pauses, routes, workers_up
from seqd.gateway.console.charts import Chart, chart_of
from seqd.gateway.console.rendering import Page, table_of
from seqd.gateway.console.visits import ByReader, page
from seqd.gateway.ledger_client import fleet_seen
from seqd.ledger.minutes import Figures
from seqd.ledger.overview import FleetOverview
from seqd.views.jobs import job_columns
from seqd.views.numbers import age, count, rate
from seqd.views.queues import queue_columns
from seqd_schemas import JobState

#: Open jobs that are shown, the newest.
_SHOWN_JOBS = 10

_OPEN = [state for state in JobState if not state.is_terminal]


def _whole(number: float) -> str:
    return count(round(number))


#: Lines of the last hour: what each is of, and how its numbers are said.
_LINES: Sequence[tuple[str, Callable[[Figures], float], Callable[[float], str]]] = (
    ("Items a second", lambda one: one.items_per_s, rate),
    ("Errors a minute", lambda one: one.errors_per_min, rate),
    ("Items waiting", lambda one: one.waiting_items, _whole),
    ("Busy workers", lambda one: one.busy_workers, _whole),
)


@page("/")
async def now(visit: ByReader) -> Page:
    """Show the daemon as it is now."""
    fleet = await visit.seqd.recent_overview()
    hour = await visit.seqd.ask(visit.seqd.ledger.minutes.last_hour.steps(fleet.at_ms))
    tenant, jobs, found = visit.only_tenant, fleet.jobs[:_SHOWN_JOBS], judged(fleet)
    open_jobs, queues = fleet.open_jobs, fleet.queues
    if tenant is not None:
        jobs = await visit.seqd.jobs(_SHOWN_JOBS, states=_OPEN, tenant=tenant)
        open_jobs = (await visit.seqd.ask(visit.seqd.ledger.tenants.record.steps(tenant))).open_jobs
        seen = fleet_seen(fleet, tenant)
        queues, found = seen.queues, list(_told_tenants(seen))
    queues = [one for one in queues if one.state != "idle"]
    unserved = {f"{one.task} {one.model}" for one in queues if one.state == "unserved"}
    columns = job_columns(fleet.at_ms, {one.tenant for one in jobs}, unserved)
    facts = {
        "fleet": fleet,
        "figures": fleet.figures,
        "open_jobs": open_jobs,
        "findings_now": found,
        "paused": sum(one.paused_items for one in fleet.queues),
        "in_hand": sum(one.items_in_hand for one in fleet.queues),
        "work_left_s": sum(one.work_left_s for one in fleet.queues),
        "charts": _charts_of(hour, fleet.at_ms),
        "jobs": table_of(columns, jobs, lambda one: f"/jobs/{one.job_id}"),
        "queues": table_of(queue_columns(is_wide=True), queues),
    }
    return Page("now.html", "Now", facts)


def _told_tenants(seen: FleetOverview) -> Iterator[Finding]:
    """Yield why a tenant's work stands; what else is wrong names what others run and hand in."""
    if seen.no_writes is None:
        yield from workers_up(seen)
        yield from routes(seen)
    yield from pauses(seen)


def _charts_of(hour: Sequence[tuple[int, Figures]], now_ms: int) -> list[Chart]:
    """Return the last hour as lines; none before there are two points."""
    if len(hour) < 2:
        return []
    ends = f"{age(hour[0][0], now_ms)} ago", "now"
    return [
        chart_of(title, [("last", [(at_ms, value(one)) for at_ms, one in hour])], ends, said=said)
        for title, value, said in _LINES
    ]

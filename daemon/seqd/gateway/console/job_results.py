"""The results of a job: pages of them, the one of an item, and all of them to keep."""

from contextlib import aclosing
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Query
from starlette.responses import Response, StreamingResponse

from seqd.client import AsyncJob
from seqd.client.results import Result
from seqd.errors import InvalidInput, InvalidRequest, StoreUnreachable, UnknownItem
from seqd.gateway.console.rendering import Page, Table, beside, table_of
from seqd.gateway.console.visits import ByReader, page, router
from seqd.gateway.jobs import RESULTS, result_lines
from seqd.kinds import KINDS
from seqd.views.explanation import item_facts, item_told
from seqd.views.results import RESULT_COLUMNS, output_text
from seqd_schemas import JobRecord

_PAGE: Final = 50

#: Results among which a page looks for those that failed: tenths of a second of work.
_SEARCHED: Final = 20_000


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

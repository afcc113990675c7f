"""Jobs as a table, and one job in full."""

from collections.abc import Mapping, Sequence

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts, print_table
from seqd.ledger.activity import JobActivity
from seqd.ledger.job_filter import MAX_SEARCHED, FoundJobs
from seqd.views.jobs import job_columns, job_facts, next_line, why_line
from seqd.views.numbers import clock, count
from seqd_schemas import JobRecord


def print_jobs(screen: Screen, records: Sequence[JobRecord], now_ms: int) -> None:
    """Print a table of jobs, or that there are none; with tenants where there are several."""
    if not records:
        screen.say("No jobs.")
        return
    tenants = {record.tenant for record in records}
    print_table(screen, job_columns(now_ms, tenants), records)


def say_where_it_stopped(screen: Screen, found: FoundJobs) -> None:
    """Say how far a search of jobs came, where it did not look at all of them."""
    if found.stopped_at_ms is not None:
        screen.say(
            f"The search stopped at jobs of {clock(found.stopped_at_ms)}: it has looked at "
            f"{count(MAX_SEARCHED)} others. There may be older ones that match.",
            "yellow",
        )


def print_job(
    screen: Screen, record: JobRecord, activity: JobActivity, errors: Mapping[str, int]
) -> None:
    """Print one job in full, and how to go on with it; `errors` are its failed items by code."""
    print_facts(screen, job_facts(record, activity))
    for line in filter(None, (next_line(record, errors), why_line(record))):
        screen.say()
        screen.say(line, "dim")

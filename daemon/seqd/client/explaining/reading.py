"""Reads what explains a job, as an exchange: the job, its units, the fleet, and one of its items.

A job may go between two reads. Then what was read is of no use, and whoever asked is told that.
"""

from collections.abc import Sequence
from typing import cast

from seqd.client.explaining.items import item_explained
from seqd.client.explaining.reasons import Facts
from seqd.client.explaining.records import Explanation
from seqd.client.explaining.sentences import explanation
from seqd.client.job import JobSteps
from seqd.client.requests import checked_id
from seqd.errors import UnknownJob
from seqd.ledger import LedgerParts
from seqd.ledger.exchange import Command, Exchange, command, pipeline
from seqd.ledger.jobs import items_left
from seqd.ledger.unit_states import (
    UnitStates,
    accounts_of,
    holdings_of,
    tenants_waiting,
    unit_states_of,
)
from seqd.validation import did_you_mean
from seqd_schemas import JobRecord

#: Newest jobs among which the one is looked for that an unknown identifier may have meant.
NEWEST_JOBS = 200


def explained(ledger: LedgerParts, job_id: str, item: str | None = None) -> Exchange[Explanation]:
    """Return why a job stands where it does; see `Client.explain`."""
    job_id = checked_id(job_id)
    while True:
        record = yield from _record(ledger, job_id)
        states = yield from unit_states_of(ledger.keys, job_id)
        if states.state in (record.state, None):
            break  # it has not begun, ended or been paused between the two
    facts = yield from _facts(ledger, record, states)
    found = None
    if item is not None:
        found = yield from item_explained(ledger, facts, item)
    if (yield from _was_removed(ledger, record)):
        raise UnknownJob(
            f"Job {job_id} was removed while it was read: its time to live has passed, or "
            "somebody has removed it."
        )
    return explanation(facts, found)


def _record(ledger: LedgerParts, job_id: str) -> Exchange[JobRecord]:
    """Return a job's record. Raises UnknownJob, with the job that may have been meant."""
    try:
        return (yield from JobSteps[object](ledger, job_id).record())
    except UnknownJob as error:
        newest = yield from ledger.jobs.newest.steps(NEWEST_JOBS)
        names = [record.job_id for record in newest]
        raise UnknownJob(f"{error}{_meant(job_id, names)}") from None


def _meant(job_id: str, newest: Sequence[str]) -> str:
    meant = did_you_mean(job_id, newest)
    if meant or not newest:
        return meant
    return f" The newest jobs: {', '.join(newest[:3])}."


def _facts(ledger: LedgerParts, record: JobRecord, states: UnitStates) -> Exchange[Facts]:
    errors: dict[str, int] = {}
    if record.counts.errored:
        errors = yield from ledger.failures.codes_of.steps(record.job_id, record.created_at_ms)
    if record.state.is_terminal:
        return Facts(record, states, errors=errors)
    pauses = yield from ledger.model_pauses.all.steps()
    workers = yield from ledger.fleet.workers.steps()
    names = [status.worker for status in workers]
    holdings = yield from holdings_of(ledger.keys, ledger.fleet, names)
    rates = yield from ledger.backlog.rates.steps()
    left = yield from command("HGETALL", ledger.keys.work_left())
    no_writes = yield from ledger.writing.refusal.steps()
    tenants, accounts = list[str](), dict[str, tuple[int, int]]()
    if states.queue is not None:
        priority = record.priority.value
        tenants = yield from tenants_waiting(ledger.keys, states.queue, priority)
        accounts = yield from accounts_of(ledger.keys, tenants)
    return Facts(
        record,
        states,
        workers,
        holdings,
        rates,
        work_left=items_left(left),
        tenants=tenants,
        accounts=accounts,
        errors=errors,
        pauses=pauses,
        no_writes=no_writes,
        unheard=(yield from ledger.fleet.unheard.steps(workers)),
    )


def _was_removed(ledger: LedgerParts, record: JobRecord) -> Exchange[bool]:
    """Return True where a job has gone since it was read, or another has its identifier now."""
    asked = Command(("HGET", ledger.keys.job(record.job_id), "created"))
    (created,) = yield from pipeline((asked,))
    return created is None or cast(bytes, created) != str(record.created_at_ms).encode()

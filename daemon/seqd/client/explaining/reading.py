"""Reads what explains a job, as an exchange: the job, its units, the fleet, and one of its items.

A job may go between two reads. Then what was read is of no use, and whoever asked is told that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, cast

from pydantic import ValidationError

from seqd.client.explaining.reasons import Facts
from seqd.client.explaining.records import Explanation, ItemExplanation
from seqd.client.explaining.sentences import explanation
from seqd.client.job import ROW, JobSteps
from seqd.client.requests import checked_id
from seqd.client.results import lines_of
from seqd.errors import InvalidInput, InvalidRequest, UnknownItem, UnknownJob
from seqd.kinds import KINDS
from seqd.ledger import LedgerParts
from seqd.ledger.blobs import (
    PartReference,
    may_hold,
    reference_in,
    results_named,
    unpack_items,
)
from seqd.ledger.exchange import Command, Exchange, command, pipeline
from seqd.ledger.jobs import items_left
from seqd.ledger.unit_states import (
    TriedUnit,
    UnitStates,
    accounts_of,
    first_blobs,
    holdings_of,
    tenants_waiting,
    tried_unit,
    unit_states_of,
)
from seqd.validation import did_you_mean, shown
from seqd.wording import counted, span
from seqd_schemas import Item, ItemFailure, ItemSuccess, JobRecord

#: Newest jobs among which the one is looked for that an unknown identifier may have meant.
_NEWEST_JOBS = 200

#: Units that are read at most: 2 million items of a model with units of 512.
_MAX_UNITS: Final = 4_096

#: Units around the place of `row-N` that are tried first.
_AROUND = 3


def explained(
    ledger: LedgerParts, job_id: str, item: str | None = None, only_tenant: str | None = None
) -> Exchange[Explanation]:
    """Return why a job stands where it does; see `Client.explain`.

    A tenant whose job it is, `only_tenant`, learns no names of others and of their jobs.
    """
    job_id = checked_id(job_id)
    while True:
        record = yield from _record(ledger, job_id)
        states = yield from unit_states_of(ledger.keys, job_id)
        if states.state in (record.state, None):
            break  # it has not begun, ended or been paused between the two
    facts = replace((yield from _facts(ledger, record, states)), only_tenant=only_tenant)
    found = None
    if item is not None:
        found = yield from _item_explained(ledger, facts, item)
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
        newest = yield from ledger.jobs.newest.steps(_NEWEST_JOBS)
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


@dataclass(frozen=True, slots=True)
class _Found:
    """An item in a unit."""

    unit: str
    #: Its result, where its unit is done.
    result: ItemSuccess | ItemFailure | None
    #: Counted from 1; None where a result does not tell.
    number: int | None = None
    #: Why it was refused, of an entry that is none.
    refused: str | None = None


def _item_explained(ledger: LedgerParts, facts: Facts, custom_id: str) -> Exchange[ItemExplanation]:
    """Return where an item stands. Raises UnknownItem, and InvalidRequest for a training.

    Nothing in the ledger leads from an item's name to its unit, so units are read until it is
    found: for `row-N` the unit first that has the item of that place, unit by unit otherwise.
    """
    record = facts.record
    if not isinstance(custom_id, str) or not custom_id:
        raise InvalidRequest(f"item is {shown(custom_id)}; allowed: the name of an item.")
    if not KINDS[record.kind].has_items:
        raise InvalidRequest(f"Job {record.job_id} is a training: it has no items.")
    units_read = 0
    for unit in _order_of(facts, custom_id):
        if units_read >= _MAX_UNITS:
            break
        units_read += 1
        found = yield from _in_unit(ledger, facts, unit, custom_id)
        if found is not None:
            return (yield from _explained(ledger, facts, custom_id, found, units_read))
    raise UnknownItem(_not_found(facts, custom_id, units_read))


def _order_of(facts: Facts, custom_id: str) -> Iterator[int]:
    """Yield the units of a job, those first in which the item is most likely."""
    units, size = facts.record.units, max(1, facts.record.unit_items)
    numbered = ROW.fullmatch(custom_id)
    if numbered is None:
        yield from range(units)
        return
    at = min((int(numbered[1]) - 1) // size, max(0, units - 1))
    # Long texts close units early: the item is then in a later one.
    near = [unit for unit in range(at, at + _AROUND) if unit < units]
    yield from near
    yield from (unit for unit in chain(range(at, units), range(at)) if unit not in near)


def _in_unit(
    ledger: LedgerParts, facts: Facts, unit: int, custom_id: str
) -> Exchange[_Found | None]:
    """Return an item where a unit, or a part of it, has it."""
    job_id, jobs = facts.record.job_id, ledger.jobs
    parts, row, blob = yield from first_blobs(ledger.keys, job_id, unit)
    for name in parts:
        if len(parts) > 1 or unit == 0:  # the results of a small job stand in another place
            row = yield from jobs.row.steps(job_id, name, 0)
        number = 0
        while row is not None:
            result = yield from _result(row, facts.record, custom_id)
            if result is not None:
                return _Found(name, result)
            number += 1
            row = yield from jobs.row.steps(job_id, name, number)
        if number:
            continue
        if len(parts) > 1:
            (blob,) = yield from jobs.inputs.steps(job_id, [name])
        found = None if blob is None else _in_input(blob, name, custom_id)
        if found is not None:
            return found
    return None


def _result(
    row: bytes, record: JobRecord, custom_id: str
) -> Exchange[ItemSuccess | ItemFailure | None]:
    """Return the result of an item in a row; none of a row that somebody has written over."""
    try:
        if reference_in(row, PartReference) is None:
            return next(results_named(row, custom_id), None)
        results = (line.result for line in (yield from lines_of(row, record)))
        return next((result for result in results if result.custom_id == custom_id), None)
    except (InvalidInput, ValidationError):
        return None


def _in_input(blob: bytes, unit: str, custom_id: str) -> _Found | None:
    try:
        if not may_hold(blob, custom_id):
            return None
        chunk = unpack_items(blob)
    except (InvalidInput, ValidationError):
        return None
    for place, entry in enumerate(chunk.items, chunk.first_index + 1):
        if entry.custom_id == custom_id:
            refused = None if isinstance(entry, Item) else entry.refused.message
            return _Found(unit, None, place, refused)
    return None


def _explained(
    ledger: LedgerParts, facts: Facts, custom_id: str, found: _Found, units_read: int
) -> Exchange[ItemExplanation]:
    """Return what is known of an item that was found."""
    job_id, now_ms = facts.record.job_id, facts.states.now_ms
    tried = yield from tried_unit(ledger.keys, job_id, found.unit, now_ms)
    numbered = ROW.fullmatch(custom_id)
    number = found.number or (int(numbered[1]) if numbered else None)
    state, message, worker = _standing(facts, found, tried)
    result = found.result
    error = result.error if isinstance(result, ItemFailure) else None
    return ItemExplanation(
        custom_id=custom_id,
        number=number,
        unit=found.unit,
        state=state,
        message=message,
        worker=worker,
        attempts=max(tried.attempts, getattr(result, "attempts", 0)),
        crashes=tried.crashes,
        death_cause=None if tried.death is None else tried.death.cause.value,
        death_message=None if tried.death is None else tried.death.message,
        error_code=None if error is None else error.code.value,
        error_message=None if error is None else error.message,
        result=result,
        versions=_versions(facts, result),
        units_read=units_read,
    )


def _standing(facts: Facts, found: _Found, tried: TriedUnit) -> tuple[str, str, str | None]:
    """Return the state of an item, a sentence, and who has it."""
    record, result = facts.record, found.result
    if isinstance(result, ItemSuccess):
        return "succeeded", "It has its result.", None
    if isinstance(result, ItemFailure):
        return "errored", f"It has an error, {result.error.code}: {result.error.message}", None
    if found.refused is not None:
        return "errored", f"It was refused, and is counted with its unit: {found.refused}", None
    if record.state.is_terminal:
        return str(record.state), f"It was not done when the job {record.state}.", None
    if tried.held_by is not None:
        attempt = f", attempt {tried.attempts}" if tried.attempts else ""
        return "in_hand", f"{tried.held_by} has it in hand{attempt}.", tried.held_by
    if tried.due_in_s is not None:
        return "backing_off", f"Its unit is tried again in {span(tried.due_in_s)}.", None
    return "waiting", f"Its unit waits, as the job does: {record.state}.", None


def _versions(facts: Facts, result: ItemSuccess | ItemFailure | None) -> tuple[int, ...]:
    own = getattr(result, "version", None)
    return (own,) if own is not None else facts.record.versions


def _not_found(facts: Facts, custom_id: str, units_read: int) -> str:
    record = facts.record
    where = f"Job {record.job_id} has no item {shown(custom_id)}"
    if units_read < record.units:
        return (
            f"{where} in the {units_read:,} units that were looked at, of {record.units:,}: a "
            f"search reads {_MAX_UNITS:,} at most. Read the results in its place, or name the item "
            "by its position: row-1, row-2 …"
        )
    more = "" if record.sealed else " Its input is not complete yet."
    return (
        f"{where} in its {counted(units_read, 'unit')}.{more} An item that was given no custom_id "
        "is named by its position: row-1, row-2 …"
    )

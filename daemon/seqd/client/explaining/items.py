"""Finds one item of a job, done or not, and says where it stands.

Nothing in the ledger leads from an item's name to its unit, so units are read until it is found:
for `row-N` the unit is tried first that has the item of that place, unit by unit otherwise.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from pydantic import ValidationError

from seqd.client.explaining.reasons import Facts
from seqd.client.explaining.records import ItemExplanation
from seqd.client.results import lines_of
from seqd.errors import InvalidInput, InvalidRequest, UnknownItem
from seqd.kinds import KINDS
from seqd.ledger import LedgerParts
from seqd.ledger.blobs import (
    PartReference,
    may_hold,
    reference_in,
    results_named,
    unpack_items,
)
from seqd.ledger.exchange import Exchange
from seqd.ledger.unit_states import TriedUnit, first_blobs, tried_unit
from seqd.validation import shown
from seqd.wording import counted, span
from seqd_schemas import Item, ItemFailure, ItemSuccess, JobRecord

#: Units that are read at most: 2 million items of a model with units of 512.
MAX_UNITS: Final = 4_096

_ROW = re.compile(r"row-([1-9][0-9]{0,15})")

#: Units around the place of `row-N` that are tried first.
_AROUND = 3


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


def item_explained(ledger: LedgerParts, facts: Facts, custom_id: str) -> Exchange[ItemExplanation]:
    """Return where an item stands. Raises UnknownItem, and InvalidRequest for a training."""
    record = facts.record
    if not isinstance(custom_id, str) or not custom_id:
        raise InvalidRequest(f"item is {shown(custom_id)}; allowed: the name of an item.")
    if not KINDS[record.kind].has_items:
        raise InvalidRequest(f"Job {record.job_id} is a training: it has no items.")
    units_read = 0
    for unit in _order_of(facts, custom_id):
        if units_read >= MAX_UNITS:
            break
        units_read += 1
        found = yield from _in_unit(ledger, facts, unit, custom_id)
        if found is not None:
            return (yield from _explained(ledger, facts, custom_id, found, units_read))
    raise UnknownItem(_not_found(facts, custom_id, units_read))


def _order_of(facts: Facts, custom_id: str) -> Iterator[int]:
    """Yield the units of a job, those first in which the item is most likely."""
    units, size = facts.record.units, max(1, facts.record.unit_items)
    numbered = _ROW.fullmatch(custom_id)
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
            result = _result(row, facts.record, custom_id)
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


def _result(row: bytes, record: JobRecord, custom_id: str) -> ItemSuccess | ItemFailure | None:
    """Return the result of an item in a row; none of a row that somebody has written over."""
    try:
        if reference_in(row, PartReference) is None:
            return next(results_named(row, custom_id), None)
        results = (line.result for line in lines_of(row, record))
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
    numbered = _ROW.fullmatch(custom_id)
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
            f"search reads {MAX_UNITS:,} at most. Read the results in its place, or name the item "
            "by its position: row-1, row-2 …"
        )
    more = "" if record.sealed else " Its input is not complete yet."
    return (
        f"{where} in its {counted(units_read, 'unit')}.{more} An item that was given no custom_id "
        "is named by its position: row-1, row-2 …"
    )

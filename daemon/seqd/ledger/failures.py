"""The dead letters: a bounded stream of what has failed, for operators.

An entry is written in the step that commits the items, or ends the job, that failed; see
`lua/shared/failures.lua`. Reading goes page by page, the newest first, so however many there are a
reader holds one page. Purging removes entries, and changes no job.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final, cast

from pydantic import ValidationError

from seqd.errors import UnknownFailure
from seqd.escaping import one_line
from seqd.ledger.exchange import (
    Command,
    Exchange,
    Give,
    Part,
    Reading,
    StreamEntry,
    Taken,
    command,
    entry_ms,
    exchange,
    pipeline,
    script,
    stream_order,
)
from seqd.ledger.job_filter import ANY_FAILURE, FailureFilter, checked_failure_id
from seqd.validation import fault_sentence
from seqd_schemas import (
    MAX_FAILURE_MESSAGE_CHARS,
    MAX_NAMED_ITEMS,
    MAX_TRACEBACK_BYTES,
    FailureRecord,
    FailureScope,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    from_stored,
)

if TYPE_CHECKING:
    from seqd.ledger.units import Unit

log = logging.getLogger(__name__)

#: Entries that one read fetches, and that one call of a script removes or notes.
PAGE_ENTRIES: Final = 200

#: Dead letters among which those of one job are counted.
MAX_COUNTED: Final = 1_000

#: Codes that are no failure: nobody tried the item.
_NOT_TRIED = frozenset({ItemErrorCode.CANCELLED, ItemErrorCode.EXPIRED})


class Failures(Part):
    """Reads, purges and marks the dead letters."""

    @exchange
    def count(self) -> Exchange[int]:
        """Return how many there are, whatever they are."""
        return cast(int, (yield from command("XLEN", self._keys.failures())))

    @exchange
    def get(self, failure_id: str, tenant: str | None = None) -> Exchange[FailureRecord]:
        """Return one, where it is of a tenant if one is named. Raises UnknownFailure."""
        one = checked_failure_id(failure_id)
        found = yield from command("XRANGE", self._keys.failures(), one, one)
        records = yield from self._read(cast(list[StreamEntry], found))
        if not records or tenant not in (None, records[0].tenant):
            raise UnknownFailure(
                f"There is no dead letter {one}. `seqd failures list` lists those that are kept; "
                "they go when they are purged, with their age (SEQD_FAILURES_TTL_S), or when there "
                "are more than SEQD_MAX_FAILURES."
            )
        return records[0]

    @exchange
    def newest(self, limit: int) -> Exchange[list[FailureRecord]]:
        """Return the newest, newest first, by one command."""
        asked = ("XREVRANGE", self._keys.failures(), "+", "-", "COUNT", limit)
        entries = cast(list[StreamEntry], (yield from command(*asked)))
        return (yield from self._read(entries))

    @exchange
    def codes_of(self, job_id: str, since_ms: int) -> Exchange[dict[str, int]]:
        """Return how many items of a job failed by code, the most first, of those of `of_job`."""
        found = Counter[str]()
        for record in (yield from self.of_job.steps(job_id, since_ms)):
            found[record.code] += record.items
        return dict(found.most_common())

    @exchange
    def of_job(self, job_id: str, since_ms: int) -> Exchange[list[FailureRecord]]:
        """Return the dead letters of a job's items, since then, the newest first.

        Looked for among the newest `MAX_COUNTED` of all jobs.
        """
        found = list[FailureRecord]()
        pages = Taken(self.pages(FailureFilter(job=job_id, since_ms=since_ms)))
        for _ in range(MAX_COUNTED // PAGE_ENTRIES):
            records = (yield from pages.take_some()) or ()
            found += [record for record in records if record.scope is FailureScope.ITEMS]
        return found

    def pages(self, wanted: FailureFilter = ANY_FAILURE) -> Reading[FailureRecord]:
        """Give those that match, the newest first, a page at a time."""
        if wanted.ids is not None:
            yield from self._pages_of(wanted)
            return
        last = "+" if wanted.until_ms is None else f"({max(wanted.until_ms, 1)}-0"
        first = "-" if wanted.since_ms is None else f"{max(wanted.since_ms, 0)}-0"
        while True:
            asked = ("XREVRANGE", self._keys.failures(), last, first, "COUNT", PAGE_ENTRIES)
            entries = cast(list[StreamEntry], (yield from command(*asked)))
            if not entries:
                return
            records = yield from self._read(entries)
            yield Give([record for record in records if wanted.matches(record)])
            last = f"({entries[-1][0].decode()}"

    def _pages_of(self, wanted: FailureFilter) -> Reading[FailureRecord]:
        """Give those of some ids that match."""
        ids, key = sorted(wanted.ids or (), key=stream_order, reverse=True), self._keys.failures()
        for first in range(0, len(ids), PAGE_ENTRIES):
            some = ids[first : first + PAGE_ENTRIES]
            found = yield from pipeline(Command(("XRANGE", key, one, one)) for one in some)
            entries = chain.from_iterable(cast(list[list[StreamEntry]], found))
            records = yield from self._read(list(entries))
            yield Give([record for record in records if wanted.matches(record)])

    @exchange
    def purge(self, ids: Sequence[str]) -> Exchange[int]:
        """Remove some; return how many there were. Jobs and results stay."""
        removed = 0
        for first in range(0, len(ids), PAGE_ENTRIES):
            some = ids[first : first + PAGE_ENTRIES]
            # In this order: one that lost its replay alone would be tried again once more.
            records = Command(("XDEL", self._keys.failures(), *some))
            replayed = Command(("HDEL", self._keys.failures_replayed(), *some))
            count, _ = yield from pipeline((records, replayed))
            removed += cast(int, count)
        return removed

    @exchange
    def note_replayed(self, ids: Sequence[str], job_id: str) -> Exchange[None]:
        """Note which job tries some of them again."""
        for first in range(0, len(ids), PAGE_ENTRIES):
            yield from script("note_replayed", job_id, *ids[first : first + PAGE_ENTRIES])

    def _read(self, entries: Sequence[StreamEntry]) -> Exchange[list[FailureRecord]]:
        """Return the records of entries, each with the job that replays it."""
        if not entries:
            return []
        ids = [entry_id.decode() for entry_id, _ in entries]
        replayed = yield from command("HMGET", self._keys.failures_replayed(), *ids)
        jobs = cast(list[bytes | None], replayed)
        return list(_records(entries, dict(zip(ids, jobs, strict=True))))


def failure_lines(
    unit: "Unit",
    results: Sequence[ItemSuccess | ItemFailure],
    tracebacks: Mapping[str, str],
) -> str:
    """Return the records of a unit's failed items, one for each code, '' where none failed.

    JSON, a line each, without what the job's hash tells. `tracebacks` are by message.
    """
    found: dict[tuple[str, int | None], list[ItemFailure]] = {}
    for result in results:
        if isinstance(result, ItemFailure) and result.error.code not in _NOT_TRIED:
            found.setdefault((result.error.code.value, result.version), []).append(result)
    return "\n".join(
        json.dumps(_line(unit, code, version, failed, tracebacks), ensure_ascii=False)
        for (code, version), failed in found.items()
    )


def cut_traceback(text: str) -> str:
    """Return the last part of a traceback, which has the innermost calls, as long as is kept."""
    content = text.encode(errors="replace")
    if len(content) <= MAX_TRACEBACK_BYTES:
        return content.decode()
    kept = content[-(MAX_TRACEBACK_BYTES - 10) :].decode(errors="ignore")
    _, _, whole_lines = kept.partition("\n")
    return f"…\n{whole_lines or kept}"


def _line(
    unit: "Unit",
    code: str,
    version: int | None,
    failed: Sequence[ItemFailure],
    tracebacks: Mapping[str, str],
) -> dict[str, object]:
    message = failed[0].error.message
    # Lua tells by the first name whether the version is given.
    line: dict[str, object] = {} if version is None else {"version": version}
    line |= {"unit": unit.name, "code": code, "items": len(failed), "worker": unit.worker}
    line["custom_ids"] = [one.custom_id for one in failed[:MAX_NAMED_ITEMS]]
    line["message"] = message[:MAX_FAILURE_MESSAGE_CHARS]
    line["attempts"] = unit.attempt
    if code == ItemErrorCode.WORKER_CRASHED and unit.death is not None:
        line["cause"] = unit.death.cause.value
    if traceback := tracebacks.get(message):
        line["traceback"] = cut_traceback(traceback)
    return line


def _records(
    entries: Sequence[StreamEntry], replayed: Mapping[str, bytes | None]
) -> Iterator[FailureRecord]:
    """Yield the records of entries; what cannot be read is left out with a warning."""
    for entry_id, fields in entries:
        name = entry_id.decode()
        text = fields.get(b"f", b"")
        try:
            head = b'{"id":"%b","at_ms":%d,' % (entry_id, entry_ms(entry_id))
            record = from_stored(FailureRecord, head + text[1:])
        except ValidationError as error:
            why = one_line(fault_sentence(error), 200)
            log.warning("the dead letter %s was left out: %s", name, why)
            continue
        job = replayed.get(name)
        yield (
            record
            if job is None
            else record.model_copy(update={"replayed_by": job.decode(errors="replace")})
        )

"""Several workers read one large file side by side, in ranges of whole units.

The worker that holds the unit `ingest` finds where units end by newlines alone, offers ranges, and
adds the units in the order of the file, those that others have read and its own. Others read a
range when they have nothing to compute. Where a unit really ends is known by whoever reads it:
each is added only where the one in front of it has ended, so a wrong guess costs time and no entry.

Only of plain files of lines, where any newline ends an entry; `DigestGuard` has the identifiers.
"""

import logging
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Literal

from seqd.errors import REDIS_ERRORS, InvalidInput, Stopped, UserError
from seqd.inputs.duplicates import DigestGuard, digests_of, refuse_suspects
from seqd.inputs.file_state import changed
from seqd.inputs.items import ItemRules
from seqd.inputs.paths import require_root
from seqd.inputs.reading import FileItems
from seqd.inputs.streams import FilePosition
from seqd.ledger.blobs import UNIT_CHARS, PackedChunk
from seqd.ledger.ingests import IngestPosition
from seqd.ledger.jobs import JOB
from seqd.ledger.ledger import Ledger
from seqd.ledger.ranges import Range, ReadUnit, TakenRange
from seqd.ledger.submissions import AppendOutcome
from seqd.ledger.units import Unit
from seqd.settings import Settings
from seqd.worker.context import WorkerContext
from seqd.worker.faults import sentence_of
from seqd.worker.ingest_reading import FileReading, rules_of, take_slice
from seqd_schemas import FileSource, Job, from_stored

log = logging.getLogger(__name__)

#: Units, and bytes of the file, of one range: about 70 ms of reading for units of 512 reviews.
RANGE_UNITS = 8
RANGE_BYTES = 8 * 1024 * 1024

#: Ranges, and bytes of the file, that are offered ahead of the unit that is next: so much is read
#: ahead and waits in Redis at most, compressed, and counts as the job's waiting input.
RANGES_AHEAD = 16
BYTES_AHEAD = 64 * 1024 * 1024

#: Times in a row that nothing can be guessed, after which the ingest reads alone.
MOST_BLIND_PLANS = 3

#: Units that are read alone from one opening of the file.
_ALL_UNITS = 2**62

#: Seconds for which the ingest waits at most for a unit that another worker reads.
LONGEST_WAIT_S = 5.0

#: Seconds for which a worker asks for no range of a job of whose file it could not read one.
AWAY_S = 30.0

AddOutcome = AppendOutcome | Literal["waits", "end"]


class _CustomIds:
    """Keeps the identifiers of the unit that is being read."""

    def __init__(self) -> None:
        self.custom_ids = list[str]()

    def add(self, custom_id: str) -> None:
        """Take one more."""
        self.custom_ids.append(custom_id)

    def finish(self) -> None:
        """Do nothing: whoever adds the unit looks for duplicates."""

    def go_back(self) -> None:
        """Do nothing."""


class RangeReading:
    """A part of a file, from a place on, unit by unit with the digests of its identifiers."""

    def __init__(
        self,
        source: FileSource,
        roots: tuple[Path, ...],
        rules: ItemRules,
        unit_items: int,
        place: IngestPosition,
    ) -> None:
        self._ids = _CustomIds()
        self._reading = FileReading(
            source,
            roots=roots,
            rules=rules,
            unit_items=unit_items,
            start=place,
            guard=self._ids,
        )
        self._has_unique_ids = self._reading.has_unique_ids

    @property
    def next_unit(self) -> int:
        """Number of the unit that `unit` returns."""
        return self._reading.next_unit

    def is_at(self, place: IngestPosition) -> bool:
        """Return True where the file is the one that `place` is of."""
        now = self._reading.place
        return (now.file_bytes, now.modified_ns) == (place.file_bytes, place.modified_ns)

    def unit(self) -> tuple[PackedChunk, ReadUnit, bytes] | None:
        """Return the next unit, the same until `advance`; None at the end of the file."""
        packed = self._reading.unit()
        if packed is None:
            return None
        digests = b"" if self._has_unique_ids else digests_of(self._ids.custom_ids)
        return packed, self._reading.read_unit(), digests

    def has_changed(self) -> bool:
        """Return True when the file was written to since it was opened."""
        return self._reading.has_changed()

    def advance(self) -> None:
        """Go on to the unit behind."""
        self._reading.advance()
        self._ids.custom_ids.clear()

    def close(self) -> None:
        """Close the file."""
        self._reading.close()


class RangePlan:
    """Guesses where units end, from newlines alone, and cuts the file into ranges of them."""

    def __init__(self, items: FileItems, place: IngestPosition, unit_items: int) -> None:
        """`items` begins at `place`."""
        self._ends = items.ends()
        self._place = place
        self._unit_items = unit_items
        #: True where no more can be told: at the end, or in front of lines so long that units end
        #: before they are full.
        self.is_over = False

    def range(self) -> Range | None:
        """Return the next range; None where there is none."""
        begins, count = self._place, 0
        while count < RANGE_UNITS and self._place.offset - begins.offset < RANGE_BYTES:
            if not self._go_on():
                break
            count += 1
        return Range(replace(begins, checksum=0), count) if count else None

    def close(self) -> None:
        """Close the file."""
        self._ends.close()

    @property
    def offset(self) -> int:
        """Bytes in front of the range that is next."""
        return self._place.offset

    def _go_on(self) -> bool:
        if self.is_over:
            return False
        ends = list(islice(self._ends, self._unit_items))
        if not ends or ends[-1].offset - self._place.offset >= UNIT_CHARS:
            self.is_over = True
            return False
        self._place = replace(
            self._place,
            units=self._place.units + 1,
            entries=self._place.entries + len(ends),
            offset=ends[-1].offset,
            line=ends[-1].line,
        )
        return True


@dataclass(slots=True)
class _Own:
    """What the holder of the ingest reads itself."""

    reading: RangeReading
    #: None for what was not offered.
    taken: TakenRange | None
    #: Units that are left of it.
    units: int


class _Replaced(Exception):
    """Another file has taken the place of the one that is ingested."""


class SharedReading:
    """A file of which others read ranges; the side of the worker that holds its ingest."""

    def __init__(
        self,
        ledger: Ledger,
        worker: str,
        job: Job,
        unit: Unit,
        reading: FileReading,
        *,
        roots: tuple[Path, ...],
        rules: ItemRules,
        unit_items: int,
    ) -> None:
        """Go on where `reading` stands, which has the file open."""
        source = job.source
        assert isinstance(source, FileSource), "others are not shared"
        self._ledger, self._worker, self._job, self._source = ledger, worker, job, source
        self._roots, self._rules, self._unit_items = roots, rules, unit_items
        self._place = self._start = reading.place
        #: Has the file open that was shared, whatever takes its place; none of its units was read
        #: again by it so far.
        self._opened = reading
        #: True once another file has taken its place: others cannot read it any more.
        self._is_replaced = False
        self._guard = DigestGuard()
        self._in_front: Generator[str] | None = None
        self._plan = RangePlan(self._items_at(self._place), self._place, unit_items)
        self._offered = deque[Range]()
        self._own: _Own | None = None
        #: When what is next began to be waited for; None where it is not.
        self._waits_since: float | None = None
        self._blind_plans = 0
        #: True once what was read did not fit together: this worker reads alone.
        self._is_alone = False
        ledger.ranges.offer(unit, (), anew=True)

    @property
    def place(self) -> IngestPosition:
        """Where the next unit begins."""
        return self._place

    @property
    def next_unit(self) -> int:
        """Number of the unit that is added next."""
        return self._place.units

    def add_next(self, unit: Unit) -> AddOutcome:
        """Add units that others have read, or read one on; `waits` where others read what is next.

        `end` at the end of the file. Raises DuplicateCustomId.
        """
        try:
            self._look_at_file()
            return self._add_shared(unit)
        except (_Replaced, InvalidInput):
            if not self._has_been_replaced():
                raise
            self._finish_own()
            return self._add_opened(unit)

    def _add_shared(self, unit: Unit) -> AddOutcome:
        outcome = self._add_ahead(unit)
        if outcome is not None:
            return outcome
        own = self._own = self._own or self._next_own(unit)
        return "waits" if own is None else self._read_on(unit, own)

    def check(self, should_stop: Callable[[], bool]) -> bool:
        """Check all identifiers; False when another slice has to go on.

        Raises DuplicateCustomId.
        """
        try:
            self._look_at_file()
            return self._check_shared(should_stop)
        except (_Replaced, InvalidInput):
            if not self._has_been_replaced():
                raise
            is_at_end = self._opened.next_unit == self.next_unit
            return is_at_end and self._opened.check(should_stop)

    def _check_shared(self, should_stop: Callable[[], bool]) -> bool:
        if self._in_front is None:
            self._in_front = self._items_at(self._start).identifiers_in_front()
        is_last = take_slice(self._in_front, self._take_ids, should_stop)
        if is_last:
            self._guard.finish()
            self._refuse_suspects(should_stop)
            self._look_at_file()  # what was read now was of the same file
        return is_last

    def has_changed(self) -> bool:
        """Return True when the file was written to."""
        return self._opened.has_changed()

    def close(self) -> None:
        """Close the files."""
        self._opened.close()
        self._plan.close()
        if self._own is not None:
            self._own.reading.close()
            self._own = None
        if self._in_front is not None:
            self._in_front.close()

    def _look_at_file(self) -> None:
        """Raise _Replaced where another file has taken the place of this one.

        InvalidInput where it was written to.
        """
        if self._has_been_replaced():
            raise _Replaced
        self._opened.refuse_changed()

    def _has_been_replaced(self) -> bool:
        self._is_replaced = self._is_replaced or self._opened.is_replaced()
        return self._is_replaced

    def _add_opened(self, unit: Unit) -> AddOutcome:
        """Add the next unit from the file that is open; those in front of it are read again."""
        opened = self._opened
        packed = opened.unit()
        if packed is None:
            return "end"
        outcome: AddOutcome = "added"
        if opened.next_unit == self.next_unit:
            outcome = self._ledger.submissions.append(
                self._job,
                unit.job_id,
                self.next_unit,
                packed,
                ingest_attempt=unit.attempt,
                position=opened.position(),
            )
        if outcome == "added":
            opened.advance()
            if opened.next_unit > self.next_unit:
                self._place = opened.place
        return outcome

    def _add_ahead(self, unit: Unit) -> AddOutcome | None:
        """Add the next units that were read ahead; None where the next one was not."""
        if self._is_alone:
            return None
        found = self._ledger.ranges.ahead(unit.job_id, self.next_unit)
        rows, place = list[tuple[int, IngestPosition]](), self._place
        for one, _ in found:
            behind = one.end_behind(place)
            if behind is None:
                break
            rows.append((one.size, behind))
            place = behind
        if not rows:
            if found:
                self._read_alone(unit)
            return None
        outcome, count = self._ledger.ranges.append(unit, self.next_unit, rows)
        for (_, behind), (_, digests) in list(zip(rows, found, strict=False))[:count]:
            self._advance(behind, digests)
        return outcome if count or outcome != "added" else None

    def _next_own(self, unit: Unit) -> _Own | None:
        """Return what this worker reads next itself; None where others read all that is offered."""
        self._offer_more(unit)
        if self._offered and not self._has_waited_long():
            taken = self._ledger.ranges.take_of(unit.job_id, self._worker)
            if taken is None:
                self._waits_since = self._waits_since or monotonic()
                return None
            return _Own(self._reading_at(taken.range.begins), taken, taken.range.units)
        # At the end of the file, or where only reading tells where the unit ends; or what was
        # offered is lost.
        units = _ALL_UNITS if self._is_alone else 1
        return _Own(self._reading_at(self._place), None, units)

    def _has_waited_long(self) -> bool:
        since = self._waits_since
        return since is not None and monotonic() - since > LONGEST_WAIT_S

    def _offer_more(self, unit: Unit) -> None:
        """Offer ranges up to so many ahead, half of them at a time."""
        offered = self._offered
        while offered and offered[0].begins.units + offered[0].units <= self.next_unit:
            offered.popleft()
        if self._is_alone or len(offered) > RANGES_AHEAD // 2:
            return
        if self._plan.is_over and not offered:
            self._plan.close()
            self._plan = RangePlan(self._items_at(self._place), self._place, self._unit_items)
        fresh = list[Range]()
        while (
            len(offered) + len(fresh) < RANGES_AHEAD
            and self._plan.offset - self._place.offset < BYTES_AHEAD
            and (one := self._plan.range())
        ):
            fresh.append(one)
        if fresh:
            self._blind_plans = 0
            self._ledger.ranges.offer(unit, fresh)
            offered += fresh
        elif not offered:
            self._blind_plans += 1
            if self._blind_plans == MOST_BLIND_PLANS:
                self._read_alone(unit)

    def _read_on(self, unit: Unit, own: _Own) -> AddOutcome:
        """Read one unit of the own range: add it if it is the next one, else put it ahead."""
        if own.reading.next_unit < self.next_unit:
            self._finish_own()
            return "added"
        read = own.reading.unit()
        if read is None:
            self._finish_own()
            return "end" if own.taken is None else "waits"
        self._look_at_file()  # what was read now was of the same file
        packed, one, digests = read
        if one.begins.units == self.next_unit:
            behind = one.end_behind(self._place)
            if behind is None:
                self._read_alone(unit)
                return "added"
            outcome: AddOutcome = self._ledger.submissions.append(
                self._job,
                unit.job_id,
                self.next_unit,
                packed,
                ingest_attempt=unit.attempt,
                position=behind.to_stored(),
            )
            if outcome != "added":
                return outcome
            self._advance(behind, digests)
        else:
            assert own.taken is not None, "what is not offered begins at the next unit"
            if (
                self._ledger.ranges.put(own.taken, self._worker, one, packed.blob, digests)
                != "read"
            ):
                self._ledger.ranges.release(own.taken, self._worker)
                self._finish_own()
                return "waits"
        own.reading.advance()
        own.units -= 1
        if not own.units:
            self._finish_own()
        return "added"

    def _advance(self, behind: IngestPosition, digests: bytes) -> None:
        self._place, self._waits_since = behind, None
        self._guard.add(digests)
        if self._guard.suspects:
            self._refuse_suspects(lambda: False)

    def _take_ids(self, custom_ids: list[str]) -> None:
        self._guard.add(digests_of(custom_ids))

    def _refuse_suspects(self, should_stop: Callable[[], bool]) -> None:
        """Look for what came twice by its digest, from the start of the file."""
        suspects = self._guard.suspects
        if not suspects:
            return

        def check() -> None:
            if should_stop():
                raise Stopped("asked to stop while an identifier was looked for")

        refuse_suspects(self._items_at(self._place).identifiers_in_front(), suspects, check)
        self._look_at_file()
        suspects.clear()

    def _read_alone(self, unit: Unit) -> None:
        """Read on without others: the file is not cut where it was expected."""
        log.info("job=%s is read by one worker from unit=%d on", unit.job_id, self.next_unit)
        self._is_alone = True
        self._offered.clear()
        self._finish_own()
        self._ledger.ranges.offer(unit, (), anew=True)

    def _finish_own(self) -> None:
        if self._own is not None:
            self._own.reading.close()
            self._own = None

    def _reading_at(self, place: IngestPosition) -> RangeReading:
        reading = RangeReading(self._source, self._roots, self._rules, self._unit_items, place)
        if not reading.is_at(self._place):
            reading.close()
            self._look_at_file()
            raise changed(self._source.path, "it has another size or time")
        return reading

    def _items_at(self, place: IngestPosition) -> FileItems:
        position = FilePosition(place.offset, place.line)
        return FileItems(
            self._source,
            roots=self._roots,
            rules=self._rules,
            start=position,
        )


class RangeReader:
    """Reads ranges of files whose ingest another worker holds."""

    def __init__(self, context: WorkerContext, settings: Settings) -> None:
        self._context = context
        self._roots = settings.input_roots or ()
        #: Jobs of whose files none could be read here, and until when none is asked for.
        self._away = dict[str, float]()

    def read_one(self) -> bool:
        """Read one range; False when there is none for this worker. Raises nothing."""
        ranges, worker = self._context.ledger.ranges, self._context.identity.name
        now = monotonic()
        self._away = {job: until for job, until in self._away.items() if until > now}
        try:
            taken = ranges.take(worker, self._context.queues(), but_of=self._away)
            if taken is None:
                return False
            if not self._read(taken):
                ranges.release(taken, worker)
        except REDIS_ERRORS as error:
            log.warning("no range is read: %s", error)
            return False
        return True

    def _read(self, taken: TakenRange) -> bool:
        """Put the units of a range where the ingest finds them; False where some are left."""
        try:
            return self._read_units(taken)
        except REDIS_ERRORS:
            raise
        except (UserError, OSError, MemoryError, ValueError, TypeError) as error:
            # The ingest reads it itself, and decides what becomes of the job.
            self._away[taken.job_id] = monotonic() + AWAY_S
            log.warning("a range of job=%s not read here: %s", taken.job_id, sentence_of(error))
            return False

    def _read_units(self, taken: TakenRange) -> bool:
        context, begins = self._context, taken.range.begins
        job = from_stored(JOB, taken.request)
        source = job.source
        if not isinstance(source, FileSource):
            raise TypeError(f"job {taken.job_id} names no file")
        require_root(source.path, self._roots)
        rules = rules_of(job, context.described)
        reading = RangeReading(source, self._roots, rules, taken.unit_items, begins)
        try:
            if not reading.is_at(begins):
                raise InvalidInput("the file is another one here")
            for _ in range(taken.range.units):
                read = None if context.drain.is_raised() else reading.unit()
                if read is None or reading.has_changed():
                    return False
                packed, one, digests = read
                outcome = context.ledger.ranges.put(
                    taken, context.identity.name, one, packed.blob, digests
                )
                if outcome != "read":
                    return False
                reading.advance()
        finally:
            reading.close()
        return True

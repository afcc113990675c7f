"""Reads units of a file, from any place on: for who ingests it, and ahead of who does.

The worker that holds the unit `ingest` finds where units end by newlines alone, and offers ranges
of them (`ingest`). A worker with nothing to compute takes a range, and puts its units where
the ingest finds them. Only of plain files of lines, where any newline ends an entry.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from time import monotonic
from typing import Literal
from zlib import crc32

from seqd.errors import FILE_ERRORS, REDIS_ERRORS, InvalidInput
from seqd.hookspecs import Model
from seqd.inputs.duplicates import digests_of
from seqd.inputs.items import ItemRules, task_rules
from seqd.inputs.many_files import InputFiles, is_pattern
from seqd.inputs.parquet_rows import opened_file
from seqd.inputs.paths import require_root
from seqd.inputs.reading import InputFile
from seqd.inputs.streams import FilePosition
from seqd.kinds import KINDS
from seqd.ledger.blobs import UNIT_CHARS, PackedChunk, UnitReference, chunks_of
from seqd.ledger.jobs import JOB
from seqd.ledger.ranges import IngestPosition, Range, Ranges, ReadOutcome, ReadUnit, TakenRange
from seqd.models.task_schemas import task_schema
from seqd.settings import Settings
from seqd.worker.context import WorkerContext
from seqd.worker.faults import sentence_of
from seqd_schemas import (
    FileSource,
    Job,
    ModelReference,
    RunJob,
    from_stored,
    output_folder_of,
)

log = logging.getLogger(__name__)

#: Units, and bytes of the file, of one range: about 70 ms of reading for units of 512 reviews.
RANGE_UNITS = 8
RANGE_BYTES = 8 * 1024 * 1024

#: Seconds for which a worker asks for no range of a job of whose file it could not read one.
AWAY_S = 30.0


def file_of(job: Job, context: WorkerContext, settings: Settings) -> InputFile:
    """Open the file that a job names, whose records are read by the rules of its kind.

    Raises FileNotFoundError where the folder open to jobs that it is in is away, and of a URL
    StoreUnreachable and LibraryMissing.
    """
    source = job.source
    if not isinstance(source, FileSource):
        raise TypeError("a job is to be ingested and names no file")
    roots = settings.readable_roots
    require_root(source.path, roots)
    rules = _rules_of(job, source, context.described)
    if output_folder_of(job) is None:
        return InputFile(source, roots=roots, rules=rules)
    kind = InputFiles if is_pattern(source.path) else opened_file
    return kind(source, roots=roots, rules=rules)


def _rules_of(job: Job, source: FileSource, described: Callable[[str], Model]) -> ItemRules:
    if isinstance(job, RunJob):
        model = described(ModelReference.parse(job.model).name)
        task = task_schema(model.tasks[job.task])
        return task_rules(task, source.id_field, source.text_field, source.label_field)
    return ItemRules(
        id_field=source.id_field,
        text_field=source.text_field,
        allow_empty=KINDS[job.kind].allows_empty,
    )


@dataclass(frozen=True, slots=True)
class FileUnit:
    """A unit that was read."""

    packed: PackedChunk | UnitReference
    where: ReadUnit
    #: Of its identifiers; empty where none can come twice.
    digests: bytes


class FileUnits:
    """Units of a file from a place on."""

    def __init__(self, file: InputFile, place: IngestPosition, unit_items: int) -> None:
        self._file = file
        #: Where the next unit begins.
        self.place = place
        self._reader = file.reader(FilePosition(place.offset, place.line))
        self._chunks = chunks_of(file.items(self._reader), unit_items, place.entries)
        self._waiting: FileUnit | None = None

    def unit(self) -> FileUnit | None:
        """Return the next unit, the same until `advance`; None at the end of the file.

        Raises InvalidInput where the file was written to.
        """
        if self._waiting is None and (chunk := next(self._chunks, None)) is not None:
            packed = PackedChunk(chunk)
            offset, line = self._reader.position
            ends = replace(
                self.place,
                units=self.place.units + 1,
                entries=self.place.entries + packed.size,
                offset=offset,
                line=line,
                # Of all of it: 0.5 ms for 512 reviews, which take 9 ms to read.
                checksum=crc32(packed.entries),
            )
            custom_ids = () if self._file.has_unique_ids else (one.custom_id for one in chunk.items)
            where = ReadUnit(replace(self.place, checksum=0), ends)
            self._waiting = FileUnit(packed, where, digests_of(custom_ids))
            self._file.refuse_changed()
        return self._waiting

    def advance(self) -> None:
        """Go on to the unit behind."""
        assert self._waiting is not None, "there is a unit"
        behind = self._waiting.where.end_behind(self.place)
        assert behind is not None, "it begins at this place"
        self.place, self._waiting = behind, None


class ReferenceUnits(FileUnits):
    """The same of a job by reference: where each unit is, and nothing of what is in it."""

    def __init__(self, file: InputFile, place: IngestPosition, unit_items: int) -> None:
        super().__init__(file, place, unit_items)
        self._unit_items = unit_items
        self._raws = self._reader.raws()

    def unit(self) -> FileUnit | None:
        """Return the next unit, as `FileUnits.unit` does."""
        begins = self.place
        if self._waiting is not None:
            return self._waiting
        size = 0
        while size < self._unit_items and self._bytes_from(begins) < UNIT_CHARS:
            if next(self._raws, None) is None:
                break
            size += 1
        end, line = self._reader.position
        checksum = self._file.checksum(begins.offset, end)
        self._file.refuse_changed()
        if not size and not begins.entries:
            raise self._file.no_entry()
        if not size:
            return None
        reference = UnitReference(
            first_index=begins.entries,
            size=size,
            offset=begins.offset,
            line=begins.line,
            size_bytes=self._bytes_from(begins),
            checksum=checksum,
        )
        ends = replace(
            begins,
            units=begins.units + 1,
            entries=begins.entries + size,
            offset=end,
            line=line,
            checksum=checksum,
        )
        self._waiting = FileUnit(reference, ReadUnit(replace(begins, checksum=0), ends), b"")
        return self._waiting

    def _bytes_from(self, place: IngestPosition) -> int:
        return self._reader.position.offset - place.offset


class RangePlan:
    """Guesses where units end, from newlines alone, and cuts the file into ranges of them."""

    def __init__(self, file: InputFile, place: IngestPosition, unit_items: int) -> None:
        self._reader = file.reader(FilePosition(place.offset, place.line))
        self._lines = self._reader.raws()
        self._place = place
        self._unit_items = unit_items

    def range(self) -> Range | None:
        """Return the next range; None where no more can be told.

        At the end, or in front of lines so long that units end before they are full.
        """
        begins, count = self._place, 0
        while count < RANGE_UNITS and self._place.offset - begins.offset < RANGE_BYTES:
            if not self._go_on():
                break
            count += 1
        return Range(replace(begins, checksum=0), count) if count else None

    @property
    def offset(self) -> int:
        """Bytes in front of the range that is next."""
        return self._place.offset

    def _go_on(self) -> bool:
        lines = sum(1 for _ in islice(self._lines, self._unit_items))
        offset, line = self._reader.position
        if not lines or offset - self._place.offset >= UNIT_CHARS:
            self._lines = iter(())
            return False
        self._place = replace(
            self._place,
            units=self._place.units + 1,
            entries=self._place.entries + lines,
            offset=offset,
            line=line,
        )
        return True


def read_range(
    ranges: Ranges,
    worker: str,
    units: FileUnits,
    taken: TakenRange,
    should_stop: Callable[[], bool] = lambda: False,
) -> ReadOutcome | Literal["ended"]:
    """Put the units of a range where the ingest finds them; release it where some are left."""
    outcome: ReadOutcome | Literal["ended"] = "read"
    for _ in range(taken.range.units):
        read = None if should_stop() else units.unit()
        if read is None:
            outcome = "ended"
            break
        outcome = ranges.put(taken, worker, read.where, read.packed.blob, read.digests)
        if outcome != "read":
            break
        units.advance()
    if outcome != "read":
        ranges.release(taken, worker)
    return outcome


class RangeReader:
    """Reads ranges of files whose ingest another worker holds."""

    def __init__(self, context: WorkerContext, settings: Settings) -> None:
        self._context = context
        self._settings = settings
        #: Jobs of whose files none could be read here, and until when none is asked for.
        self._away = dict[str, float]()

    def read_one(self) -> bool:
        """Read one range; False when there is none for this worker. Raises nothing."""
        ranges, worker = self._context.ledger.ranges, self._context.identity.name
        now = monotonic()
        self._away = {job: until for job, until in self._away.items() if until > now}
        try:
            taken = ranges.take(worker, self._context.fitness.queues(), but_of=self._away)
            if taken is None:
                return False
            try:
                self._read(taken)
            except (*FILE_ERRORS, MemoryError, ValueError, TypeError) as error:
                if isinstance(error, REDIS_ERRORS):
                    raise
                # The ingest reads it itself, and decides what becomes of the job.
                self._away[taken.job_id] = now + AWAY_S
                log.warning("a range of job=%s not read here: %s", taken.job_id, sentence_of(error))
                ranges.release(taken, worker)
        except REDIS_ERRORS as error:
            log.warning("no range is read: %s", error)
            return False
        return True

    def _read(self, taken: TakenRange) -> None:
        context, begins = self._context, taken.range.begins
        file = file_of(from_stored(JOB, taken.request), context, self._settings)
        try:
            state = file.state
            if (state.size_bytes, state.modified_ns) != (begins.file_bytes, begins.modified_ns):
                raise InvalidInput("the file is another one here")
            units = FileUnits(file, begins, taken.unit_items)
            ranges, worker = context.ledger.ranges, context.identity.name
            read_range(ranges, worker, units, taken, context.drain.is_raised)
        finally:
            file.close()

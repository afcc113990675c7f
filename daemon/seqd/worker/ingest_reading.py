"""What a worker has open of the input that it ingests: units that come, and where the next begins.

A unit is cut from the same entries whoever reads: so reading goes on at the end of any unit.
Whoever begins there has not seen the identifiers in front. They are read at the end, and no more of
their records, before the input is declared complete.
"""

import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Protocol

from seqd.analysis.sweeps import combinations_of
from seqd.hookspecs import Model
from seqd.inputs.duplicates import DuplicateGuard
from seqd.inputs.file_state import REWRITTEN, changed
from seqd.inputs.items import ItemRules, task_rules
from seqd.inputs.reading import FileItems
from seqd.inputs.streams import START, FilePosition
from seqd.kinds import KINDS
from seqd.ledger.blobs import PackedChunk, chunks_of
from seqd.ledger.ingests import IngestPosition
from seqd.ledger.ranges import ReadUnit, joined_checksum
from seqd.models.task_schemas import task_schema
from seqd_schemas import (
    FileSource,
    Item,
    ItemChunk,
    Job,
    ModelReference,
    RefusedItem,
    RunJob,
    SweepJob,
)

#: Identifiers that are read in one slice, in about half a second, and between two looks at whether
#: to stop.
SLICE_IDS = 262_144
_CHECK_IDS = 4_096


def rules_of(job: Job, described: Callable[[str], Model]) -> ItemRules:
    """Return the rules by which the records of a job's file become items.

    `described` returns the description of what a model is made with: of a plugin's own task that
    says what it takes.
    """
    source = job.source
    if not isinstance(source, FileSource):
        return ItemRules(allow_empty=KINDS[job.kind].allows_empty)
    if isinstance(job, RunJob):
        model = described(ModelReference.parse(job.model).name)
        task = task_schema(model.tasks[job.task])
        return task_rules(task, source.id_field, source.text_field, source.label_field)
    return ItemRules(
        id_field=source.id_field,
        text_field=source.text_field,
        allow_empty=KINDS[job.kind].allows_empty,
    )


class Reading(Protocol):
    """Input that is open between two slices."""

    @property
    def next_unit(self) -> int:
        """Number of the unit that `unit` returns."""

    def unit(self) -> PackedChunk | None:
        """Return the next unit, the same until `advance`; None at the end of the input."""

    def position(self) -> str:
        """Return what is stored with the unit: where the one behind it begins; '' for nothing."""

    def advance(self) -> None:
        """Go on to the unit behind: this one was added."""

    def check(self, should_stop: Callable[[], bool]) -> bool:
        """Check at the end what is left to check; False when another slice has to go on."""

    def has_changed(self) -> bool:
        """Return True when the input is not what it was when it was opened."""

    def close(self) -> None:
        """Close the file; nothing more is asked for."""


class IdGuard(Protocol):
    """Takes the identifiers of entries as they are read."""

    def add(self, custom_id: str) -> None:
        """Take one more."""

    def finish(self) -> None:
        """Take note that all were taken."""

    def go_back(self) -> None:
        """Take those in front of the others next."""


class SweepReading:
    """The combinations of a sweep, which are made anew in no time."""

    def __init__(self, job: SweepJob, unit_items: int, next_unit: int) -> None:
        items = (combination.item() for combination in combinations_of(job))
        self._chunks = islice(chunks_of(items, unit_items), next_unit, None)
        self._waiting: PackedChunk | None = None
        self.next_unit = next_unit

    def unit(self) -> PackedChunk | None:
        """Return the next unit."""
        self._waiting = self._waiting or _packed(next(self._chunks, None))
        return self._waiting

    def position(self) -> str:
        """Return '': nothing is stored."""
        return ""

    def advance(self) -> None:
        """Go on to the unit behind."""
        self._waiting, self.next_unit = None, self.next_unit + 1

    def check(self, should_stop: Callable[[], bool]) -> bool:
        """Return True: no two combinations are the same."""
        return True

    def has_changed(self) -> bool:
        """Return False: they are part of the request."""
        return False

    def close(self) -> None:
        """Do nothing: there is no file."""


class FileReading:
    """A file, or a folder, from a position on."""

    def __init__(
        self,
        source: FileSource,
        *,
        roots: tuple[Path, ...],
        rules: ItemRules,
        unit_items: int,
        start: IngestPosition | None = None,
        guard: IdGuard | None = None,
    ) -> None:
        """`start` is what was stored with the unit in front; None for the start of the file.

        `guard` takes the identifiers; by default one that refuses what comes twice.
        """
        position = START if start is None else FilePosition(start.offset, start.line)
        self._source = source
        self._items = FileItems(source, roots=roots, rules=rules, start=position)
        #: What is in front of the next unit.
        self.place = IngestPosition(
            units=0 if start is None else start.units,
            entries=0 if start is None else start.entries,
            offset=position.offset,
            line=position.line,
            file_bytes=self._items.state.size_bytes,
            modified_ns=self._items.state.modified_ns,
            checksum=0 if start is None else start.checksum,
        )
        self._guard = guard or DuplicateGuard(self.place.entries)
        self._in_front: Generator[str] | None = None
        self._begins_inside = position != START
        self._chunks = chunks_of(self._guarded(), unit_items, self.place.entries)
        self._waiting: PackedChunk | None = None
        #: Of the unit that waits.
        self._checksum = 0

    @classmethod
    def opened(
        cls,
        source: FileSource,
        *,
        roots: tuple[Path, ...],
        rules: ItemRules,
        unit_items: int,
        units: int,
        stored: IngestPosition | None,
    ) -> "FileReading":
        """Open a file of which `units` units were added; `stored` is where the last known one ends.

        Raises InvalidInput where it is not the file any more that those came from.
        """

        def at(start: IngestPosition | None) -> FileReading:
            return cls(source, roots=roots, rules=rules, unit_items=unit_items, start=start)

        if stored is None or stored.units > units:
            return at(None)._skip_to(units)
        reading = at(stored)
        if reading.place.file_bytes != stored.file_bytes:
            raise changed(source.path, "it has another size")
        if reading.place.modified_ns == stored.modified_ns:
            return reading._skip_to(units)
        # Perhaps a copy on another machine, with a time of its own: its units tell.
        reading = at(None)._skip_to(stored.units)
        place = reading.place
        if place.checksum != stored.checksum or place.entries != stored.entries:
            raise changed(source.path, "its first units are others")
        return reading._skip_to(units)

    def unit(self) -> PackedChunk | None:
        """Return the next unit."""
        if self._waiting is None and (chunk := next(self._chunks, None)) is not None:
            self._waiting = PackedChunk(chunk)
            # Of all of it: 0.5 ms for 512 reviews, which take 9 ms to read.
            self._checksum = zlib.crc32(self._waiting.entries)
        return self._waiting

    @property
    def next_unit(self) -> int:
        """Number of the next unit."""
        return self.place.units

    @property
    def has_line_entries(self) -> bool:
        """True where any part of the file can be read alone."""
        return self._items.has_line_entries

    @property
    def has_unique_ids(self) -> bool:
        """True where no two entries can have the same identifier."""
        return self._items.has_unique_ids

    @property
    def bytes_left(self) -> int:
        """Bytes of a plain file that are not in units yet."""
        return self.place.file_bytes - self.place.offset

    def read_unit(self) -> ReadUnit:
        """Return where the next unit begins and ends."""
        assert self._waiting is not None, "there is a unit"
        offset, line = self._items.position
        ends = replace(
            self.place,
            units=self.place.units + 1,
            entries=self.place.entries + self._waiting.size,
            offset=offset,
            line=line,
            checksum=self._checksum,
        )
        return ReadUnit(replace(self.place, checksum=0), ends)

    def position(self) -> str:
        """Return where the unit behind the next one begins."""
        return self._end().to_stored()

    def advance(self) -> None:
        """Go on to the unit behind."""
        self.place, self._waiting = self._end(), None

    def check(self, should_stop: Callable[[], bool]) -> bool:
        """Check the identifiers in front, of which others saw the units come.

        Raises DuplicateCustomId.
        """
        if self._in_front is None:
            self._in_front = self._items.identifiers_in_front()
            self._guard.go_back()
        is_last = take_slice(self._in_front, self._take_ids, should_stop)
        if is_last:
            self._guard.finish()
            self.refuse_changed()
        return is_last

    def refuse_changed(self) -> None:
        """Raise InvalidInput where the open file was written to."""
        if self.has_changed():
            raise changed(self._source.path, REWRITTEN)

    def has_changed(self) -> bool:
        """Return True when the open file was written to.

        One that another file has taken the place of is read to its end as it was.
        """
        return self._items.has_changed()

    def is_replaced(self) -> bool:
        """Return True when another file is in the place of the open one, or none."""
        return self._items.is_replaced()

    def close(self) -> None:
        """Close the file, also where the garbage collector takes its time."""
        self._chunks.close()
        if self._in_front is not None:
            self._in_front.close()

    def _take_ids(self, custom_ids: list[str]) -> None:
        for custom_id in custom_ids:
            self._guard.add(custom_id)

    def _end(self) -> IngestPosition:
        ends = self.read_unit().ends
        return replace(ends, checksum=joined_checksum(self.place.checksum, ends.checksum))

    def _skip_to(self, unit: int) -> "FileReading":
        while self.next_unit < unit:
            if self.unit() is None:
                raise changed(self._source.path, "it ends before the units that were read")
            self.advance()
        return self

    def _guarded(self) -> Iterator[Item | RefusedItem]:
        for entry in self._items.entries():
            self._guard.add(entry.custom_id)
            yield entry
        if not self._begins_inside:
            self._guard.finish()


def take_slice(
    custom_ids: Iterator[str],
    take: Callable[[list[str]], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Hand over identifiers, as many as one slice reads; True when those were the last."""
    for _ in range(0, SLICE_IDS, _CHECK_IDS):
        if should_stop():
            return False
        some = list(islice(custom_ids, _CHECK_IDS))
        take(some)
        if len(some) < _CHECK_IDS:
            return True
    return False


def _packed(chunk: ItemChunk | None) -> PackedChunk | None:
    return None if chunk is None else PackedChunk(chunk)

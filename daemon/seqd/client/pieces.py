"""Reads a job's texts while they are written: what is published live, the rest from the results.

Pieces are a feed that may have holes, begin anew, or never come; a result is the truth. So each
sample's pieces are counted: what was given already is left out, and where a piece is missing the
sample waits for its result. Called by `handle` only.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING
from zlib import crc32

from seqd.client.results import WINDOW_UNITS, raise_where_missing, rest_of_unit
from seqd.ledger import Ledger
from seqd.ledger.blobs import unpack_lines
from seqd.ledger.jobs import StreamPosition
from seqd_schemas import (
    GeneratedSample,
    Generation,
    ItemError,
    ItemFailure,
    ItemSuccess,
    JobRecord,
    JobState,
)

if TYPE_CHECKING:
    from seqd_schemas import TextPiece, TextPieces

log = logging.getLogger(__name__)

#: Seconds between two looks at the results while pieces come. An event of the job is a look, too.
LOOK_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Piece:
    """What a text goes on with, the end of a text, or the error that an item has instead."""

    custom_id: str
    #: Its place among the samples of its item, from 0; 0 of an error.
    sample: int
    #: What the sample goes on with; may be empty in its last piece.
    text: str
    #: The whole sample, in its last piece.
    finished: GeneratedSample | None = None
    #: Why the item has no texts; what was given of them before counts for nothing.
    error: ItemError | None = None


@dataclass(slots=True)
class _Told:
    """What was given of a sample: so many characters, and their checksum."""

    chars: int = 0
    checksum: int = 0

    def add(self, text: str) -> None:
        self.chars += len(text)
        self.checksum = crc32(text.encode(), self.checksum)


class PieceReader:
    """One pass over a job's texts. Holds what was given of units that are not done yet."""

    def __init__(self, ledger: Ledger, job_id: str, check_upload: Callable[[], None]) -> None:
        self._jobs = ledger.jobs
        self._job_id = job_id
        self._check_upload = check_upload
        #: Units in front of this one are done, and these behind it.
        self._next = 0
        self._ahead: set[int] = set()
        #: Unit → item and sample → what was given of it.
        self._open: dict[int, dict[tuple[str, int], _Told]] = {}

    def __iter__(self) -> Iterator[Piece]:
        place = StreamPosition("0-0", self._jobs.last_event_id(self._job_id))
        looked_at, block = -LOOK_EVERY_S, False
        while True:
            entries, reached = self._jobs.deltas(self._job_id, place, block=block)
            for entry in entries:
                yield from self._live(entry)
            is_time = monotonic() - looked_at >= LOOK_EVERY_S
            if not entries or is_time or reached.event != place.event:
                # Read before the results: once it is terminal, nothing is committed any more.
                record = self._jobs.get(self._job_id)
                yield from self._done()
                if record.state.is_terminal:
                    yield from self._to_the_end(record, reached)
                    return
                self._check_upload()
                looked_at = monotonic()
            place, block = reached, True

    def _live(self, entry: "TextPieces") -> Iterator[Piece]:
        unit = int(entry.unit.partition(":")[0])
        if self._is_done(unit):
            return
        told_of = self._open.setdefault(unit, {})
        for piece in entry.pieces:
            text = _unseen(piece, told_of.setdefault((piece.custom_id, piece.sample), _Told()))
            if text:
                yield Piece(piece.custom_id, piece.sample, text)

    def _done(self) -> Iterator[Piece]:
        """Give what is left of the units that were committed since the last look."""
        while True:
            first = self._next
            window = range(first, first + WINDOW_UNITS)
            later = [unit for unit in self._open if unit not in window]
            units = [unit for unit in (*window, *later) if not self._is_done(unit)]
            for unit, blob in zip(units, self._jobs.outputs(self._job_id, units), strict=True):
                if blob is not None:
                    for line in unpack_lines(blob):
                        yield from self._rest_of(unit, line.result)
                    self._close(unit)
            if self._next == first:
                return

    def _to_the_end(self, record: JobRecord, place: StreamPosition) -> Iterator[Piece]:
        """Give what a job that has ended still has: last pieces, late results, undone items."""
        if record.state is JobState.COMPLETED:
            raise_where_missing(record, self._next)
            return
        while True:
            entries, place = self._jobs.deltas(self._job_id, place, block=False)
            for entry in entries:
                yield from self._live(entry)
            if not entries:
                break
        for unit in range(self._next, record.units):
            if not self._is_done(unit):
                for line in rest_of_unit(self._jobs, record, unit):
                    yield from self._rest_of(unit, line.result)
                self._close(unit)

    def _rest_of(self, unit: int, result: ItemSuccess | ItemFailure) -> Iterator[Piece]:
        """Give what a result has beyond what was given live."""
        told_of = self._open.get(unit, {})
        if isinstance(result, ItemFailure):
            yield Piece(result.custom_id, 0, "", error=result.error)
        elif isinstance(result.output, Generation):
            for number, sample in enumerate(result.output.samples):
                told = told_of.get((result.custom_id, number), _Told())
                self._warn_if_other(told, sample, f"{result.custom_id} sample={number}")
                rest = sample.text[told.chars :]
                yield Piece(result.custom_id, number, rest, finished=sample)

    def _warn_if_other(self, told: _Told, sample: GeneratedSample, name: str) -> None:
        """Say so when a text was begun otherwise, as by a plugin that breaks clauses B3 or D1."""
        if crc32(sample.text[: told.chars].encode()) != told.checksum:
            log.warning(
                "job=%s item=%s: the text that was streamed is not the one of the result, which "
                "counts; the model does not write the same text twice",
                self._job_id,
                name,
            )

    def _is_done(self, unit: int) -> bool:
        return unit < self._next or unit in self._ahead

    def _close(self, unit: int) -> None:
        """Forget what was given of a unit: all of it was."""
        self._open.pop(unit, None)
        self._ahead.add(unit)
        while self._next in self._ahead:
            self._ahead.remove(self._next)
            self._next += 1


def _unseen(piece: "TextPiece", told: _Told) -> str:
    """Give what a piece adds to a sample; nothing where others are missing in front of it."""
    if piece.offset > told.chars:
        return ""
    text = piece.text[told.chars - piece.offset :]
    told.add(text)
    return text

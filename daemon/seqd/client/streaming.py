"""Texts while they are written, of generations and of plugins' own tasks: deltas, then results.

Text deltas are a feed that may have gaps, begin anew, or never come; a result is the truth. So the
characters of each sample are counted: what was given already is left out, and where a delta is
missing, the sample waits for its result.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from seqd.client.results import lines_of, raise_where_missing, rest_of_unit
from seqd.client.waiting import Watch
from seqd.ledger import LedgerParts
from seqd.ledger.blobs import ResultLine
from seqd.ledger.exchange import Exchange, Give, Reading, flat_mapped
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
    from seqd_schemas import TextDeltas

#: Units that are looked at together.
WINDOW_UNITS = 16

#: Seconds between two reads of the results while deltas come; an event of the job causes one, too.
RESULTS_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class StreamedText:
    """More of a sample's text, its end, or the error that an item has instead."""

    custom_id: str
    #: Index of the sample among those of its item, from 0; 0 of an error.
    sample: int
    #: What the sample goes on with; may be empty in its last delta.
    text: str
    #: The whole sample, in its last delta, of a generation.
    finished: GeneratedSample | None = None
    #: The whole output, in its last delta, of a plugin's own task: of the class that the job is
    #: read with, or else a dictionary.
    output: object = None
    #: Why the item has no texts; discard what was given of them before.
    error: ItemError | None = None


class StreamReader:
    """One pass over a job's texts. Holds the counts of samples whose unit is not done yet."""

    def __init__(
        self,
        ledger: LedgerParts,
        job_id: str,
        check_upload: Callable[[], Exchange[None]],
        watch: Watch,
        read: Callable[[Mapping[str, object], str], object],
    ) -> None:
        """`read` makes what the caller wants of the output of an item of a plugin's own task."""
        self._read = read
        self._jobs = ledger.jobs
        self._job_id = job_id
        self._check_upload = check_upload
        self._watch = watch
        #: Units before this one are done, and of those after it, these.
        self._next = 0
        self._ahead: set[int] = set()
        #: Unit → item and sample → how many characters were given of it.
        self._open: dict[int, dict[tuple[str, int], int]] = {}

    def texts(self) -> Reading[StreamedText]:
        """Give the texts."""
        place = StreamPosition("0-0", (yield from self._jobs.last_event_id.steps(self._job_id)))
        read_at, wait_s = -RESULTS_EVERY_S, 0.0
        while True:
            entries, reached = yield from self._deltas(place, wait_s)
            for entry in entries:
                yield Give(self._live(entry))
            is_time = monotonic() - read_at >= RESULTS_EVERY_S
            if not entries or is_time or reached.event != place.event:
                # Read before the results: once it is terminal, nothing is committed any more.
                record = yield from self._jobs.get.steps(self._job_id)
                yield from self._done(record)
                if record.state.is_terminal:
                    yield from self._to_the_end(record, reached)
                    return
                yield from self._check_upload()
                if wait_s and not entries:
                    yield from self._watch.look(record)
                read_at = monotonic()
            place, wait_s = reached, self._watch.look_s

    def _deltas(
        self, place: StreamPosition, wait_s: float
    ) -> "Exchange[tuple[list[TextDeltas], StreamPosition]]":
        return (yield from self._jobs.deltas.steps(self._job_id, place, longest_wait_s=wait_s))

    def _live(self, entry: "TextDeltas") -> Iterator[StreamedText]:
        unit = int(entry.unit.partition(":")[0])
        if self._is_done(unit):
            return
        given = self._open.setdefault(unit, {})
        for delta in entry.deltas:
            sample = delta.custom_id, delta.sample
            seen = given.setdefault(sample, 0)
            if delta.offset > seen:
                continue  # others are missing in front of it
            if text := delta.text[seen - delta.offset :]:
                given[sample] = seen + len(text)
                yield StreamedText(delta.custom_id, delta.sample, text)

    def _done(self, record: JobRecord) -> Reading[StreamedText]:
        """Give the rest of the units that were committed since the last read."""
        while True:
            first = self._next
            window = range(first, first + WINDOW_UNITS)
            later = [unit for unit in self._open if unit not in window]
            units = [unit for unit in (*window, *later) if not self._is_done(unit)]
            for unit in (yield from self._jobs.committed.steps(self._job_id, units)):
                number = 0
                while row := (yield from self._jobs.row.steps(self._job_id, unit, number)):
                    for line in (yield from lines_of(row, record)):
                        yield Give(self._rest_of(unit, line.result))
                    number += 1
                self._close(unit)
            if self._next == first:
                return

    def _to_the_end(self, record: JobRecord, place: StreamPosition) -> Reading[StreamedText]:
        """Give what a job that has ended still has: last deltas, late results, undone items."""
        if record.state is JobState.COMPLETED:
            raise_where_missing(record, self._next)
            return
        while True:
            entries, place = yield from self._deltas(place, 0)
            for entry in entries:
                yield Give(self._live(entry))
            if not entries:
                break
        for unit in range(self._next, record.units):
            if not self._is_done(unit):
                rest = rest_of_unit(self._jobs, record, unit)
                yield from flat_mapped(rest, partial(self._rest_of_line, unit))
                self._close(unit)

    def _rest_of_line(self, unit: int, line: ResultLine) -> Iterator[StreamedText]:
        return self._rest_of(unit, line.result)

    def _rest_of(self, unit: int, result: ItemSuccess | ItemFailure) -> Iterator[StreamedText]:
        """Yield what a result has beyond what was given live."""
        given = self._open.get(unit, {})
        if isinstance(result, ItemFailure):
            yield StreamedText(result.custom_id, 0, "", error=result.error)
        elif isinstance(result.output, Generation):
            for number, sample in enumerate(result.output.samples):
                rest = sample.text[given.get((result.custom_id, number), 0) :]
                yield StreamedText(result.custom_id, number, rest, finished=sample)
        elif isinstance(result.output, dict):
            name, whole = result.custom_id, result.output.get("text")
            text = whole if isinstance(whole, str) else ""
            rest = text[given.get((name, 0), 0) :]
            yield StreamedText(name, 0, rest, output=self._read(result.output, name))

    def _is_done(self, unit: int) -> bool:
        return unit < self._next or unit in self._ahead

    def _close(self, unit: int) -> None:
        """Forget what was given of a unit: all of it was."""
        self._open.pop(unit, None)
        self._ahead.add(unit)
        while self._next in self._ahead:
            self._ahead.remove(self._next)
            self._next += 1

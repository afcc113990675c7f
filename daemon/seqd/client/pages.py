"""Pages of results: which of them a caller asks for, and where a reader of them begins.

A result's place is its number in the job's input, from 0. Units hold `unit_items` items each, but
for the last one and those that were closed for their characters, so a place leads to a unit.
"""

from dataclasses import dataclass
from itertools import islice
from math import inf

from seqd.client.results import rest_of_unit
from seqd.client.waiting import WaitOptions
from seqd.errors import InvalidRequest
from seqd.ledger.blobs import ResultLine
from seqd.ledger.exchange import Exchange, Give, Reading, Taken
from seqd.ledger.jobs import READ_ROWS, Jobs, ResultPosition
from seqd.validation import shown
from seqd_schemas import JobRecord

#: Units whose sizes are fetched at once.
_SIZES_AT_ONCE = 512


class ReadOptions(WaitOptions, total=False):
    """What all that reads results can be given."""

    #: False reads the results that are there, up to the first that is not; True waits for it.
    wait: bool


class PageOptions(ReadOptions, total=False):
    """Which results to read."""

    #: Results to leave out in front: the place of the first one, counted from 0.
    offset: int
    #: Most results to read; all that follow when left out.
    limit: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """Results in a row."""

    wait: bool = True
    offset: int = 0
    limit: int | None = None

    @classmethod
    def of(cls, options: PageOptions) -> "Page":
        """Return the page that options ask for; raise InvalidRequest where there is no such one."""
        offset, limit = options.get("offset", 0), options.get("limit")
        if not _is_count(offset):
            raise InvalidRequest(f"offset is {shown(offset)}; allowed: a whole number from 0 on.")
        if limit is not None and not _is_count(limit):
            raise InvalidRequest(
                f"limit is {shown(limit)}; allowed: a whole number from 0 on, or None for no limit."
            )
        return cls(options.get("wait", True), offset, limit)

    def rows_at_once(self, unit_items: int) -> int:
        """Return how many rows of results one read fetches."""
        if self.limit is None:
            return READ_ROWS
        return min(READ_ROWS, self.limit // unit_items + 2)

    def rows_of(self, total: int) -> int:
        """Return how many results the page has of so many."""
        rest = max(0, total - self.offset)
        return rest if self.limit is None else min(rest, self.limit)

    def cut(self, lines: Reading[ResultLine], skipped: int) -> Reading[ResultLine]:
        """Give the results of the page out of those from its unit on, of which some are skipped."""
        taken, left = Taken(lines), inf if self.limit is None else self.limit
        while left > 0 and (values := (yield from taken.take_some())) is not None:
            rest = iter(values)
            while skipped and next(rest, None) is not None:
                skipped -= 1
            if self.limit is None:
                yield Give(rest)
            elif held := list(islice(rest, int(left))):
                left -= len(held)
                yield Give(held)


#: All results of a job, waited for.
ALL = Page()


def begin(jobs: Jobs, record: JobRecord, offset: int) -> Exchange[tuple[ResultPosition, int]]:
    """Return where a reader begins that wants the results from a place on, and how many it skips.

    Costs the sizes of the units in front, of a job that has not ended; of one that has, at most the
    results of its last unit. Where long texts have closed units early, the reader of an ended job
    begins at the front.
    """
    size, units = record.unit_items, record.units
    if offset < size:
        return ResultPosition(0), offset
    if not record.state.is_terminal:
        return (yield from _by_sizes(jobs, record, offset))
    if offset >= record.counts.total:
        return ResultPosition(units), 0
    if (yield from _is_evenly_cut(jobs, record)):
        return ResultPosition(offset // size), offset % size
    return ResultPosition(0), offset


def _by_sizes(jobs: Jobs, record: JobRecord, offset: int) -> Exchange[tuple[ResultPosition, int]]:
    """Find the unit by the sizes of those in front, which are kept until the job ends."""
    first = 0
    while True:
        window = range(first, first + _SIZES_AT_ONCE)
        sizes = yield from jobs.sizes.steps(record.job_id, window)
        for unit, size in zip(window, sizes, strict=True):
            # Not there: it is still to come, or the job has ended meanwhile.
            if size is None or offset < size:
                return ResultPosition(unit), offset
            offset -= size
        first += _SIZES_AT_ONCE


def _is_evenly_cut(jobs: Jobs, record: JobRecord) -> Exchange[bool]:
    """True when all units of an ended job but the last have as many items as one may."""
    last = record.units - 1
    in_last = record.counts.total - last * record.unit_items
    if not 0 < in_last <= record.unit_items:
        return False
    # As many items fit into the last unit. It has them if the others are full, and only then.
    return in_last == record.unit_items or in_last == (yield from _size_of_unit(jobs, record, last))


def _size_of_unit(jobs: Jobs, record: JobRecord, unit: int) -> Exchange[int]:
    taken, size = Taken(rest_of_unit(jobs, record, unit)), 0
    while (values := (yield from taken.take_some())) is not None:
        size += sum(1 for _ in values)
    return size


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0

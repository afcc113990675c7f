"""Results of a job: which of them a caller asks for, and how they are read while it runs.

A result's place is its number in the job's input, from 0. Units hold `unit_items` items each, but
for the last one and those that were closed for their characters, so a place leads to a unit. They
are read a few rows at a time, in input order; whoever reads waits on the job's event stream instead
of polling.

Outputs of a plugin's own task are read as the class that the caller names, or as dictionaries. A
service needs no plugin for that: the class may be the plugin's, one of `seqd_schemas` such as
`Embedding`, or the service's own. Fields that the class does not have are left out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from sys import maxsize
from typing import TYPE_CHECKING, Generic, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from seqd.client.sources import OneResult
from seqd.client.waiting import Announced, WaitOptions, Watch
from seqd.errors import InvalidRequest, JobDamaged, OutputMismatch, WrongState
from seqd.inputs.parts import read_part
from seqd.ledger import LedgerParts
from seqd.ledger.blobs import (
    PartReference,
    ResultLine,
    UnitReference,
    lines_in,
    reference_in,
    unpack_items,
    unpack_lines,
    unpack_results,
)
from seqd.ledger.exchange import Aside, Exchange, Give, Reading, Taken
from seqd.ledger.jobs import READ_ROWS, Jobs, ResultPosition
from seqd.validation import fault_sentence, shown
from seqd_schemas import (
    Item,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    JobRecord,
    JobState,
    Output,
    output_folder_of,
    to_stored,
)

if TYPE_CHECKING:
    from seqd.client.upload import Upload

#: A result of a job whose outputs are of one type: `Result[Classification]`.
Result = ItemSuccess[Output] | ItemFailure

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
        taken, left = Taken(lines), maxsize if self.limit is None else min(self.limit, maxsize)
        while left > 0 and (values := (yield from taken.take_some())) is not None:
            rest = iter(values)
            while skipped and next(rest, None) is not None:
                skipped -= 1
            if self.limit is None:
                yield Give(rest)
            elif held := list(islice(rest, left)):
                left -= len(held)
                yield Give(held)


@dataclass(slots=True)
class ResultReader:
    """One reading of a job's results, in input order."""

    ledger: LedgerParts
    job_id: str
    page: Page
    watch: Watch
    #: Sends the job's input, where that is this client; its end may be `announced`.
    upload: "Upload | None"
    announced: Announced | None
    #: The job, once it has ended and all of its results are given.
    ended: JobRecord | None = None

    def lines(self) -> Reading[ResultLine]:
        """Give results; of a job of another sender only those of items known to be the same."""
        upload, page = self.upload, self.page
        if upload is None:
            yield from self._page_lines()
            return
        taken, numbers = Taken(self._page_lines()), count(page.offset + 1)
        while (some := (yield from taken.take_some())) is not None:
            numbered = zip(some, numbers, strict=False)
            if upload.is_clear(None):
                # Counted all the same: an upload that loses its job begins to compare.
                yield Give(line for line, _ in numbered)
                continue
            for line, number in numbered:
                if not upload.is_clear(number):
                    if not page.wait:
                        return
                    yield from upload.wait_until_compared(number)
                yield Give((line,))

    def _page_lines(self) -> Reading[ResultLine]:
        if self.page.offset == 0 and self.page.limit is None:
            yield from self._lines_from(ResultPosition(0), READ_ROWS)
            return
        jobs = self.ledger.jobs
        record = yield from jobs.get.steps(self.job_id)
        position, skipped = yield from begin(jobs, record, self.page.offset)
        lines = self._lines_from(position, self.page.rows_at_once(record.unit_items))
        yield from self.page.cut(lines, skipped)

    def _lines_from(self, position: ResultPosition, rows_at_once: int) -> Reading[ResultLine]:
        """Give the results from a position on, each with its line of JSON.

        Unless the page waits, it ends in front of the first that is not there. Those of a job of
        one unit come at its end, which may be announced.
        """
        jobs, job_id, announced = self.ledger.jobs, self.job_id, self.announced
        while True:
            seen = 0 if announced is None else announced.news
            read = yield from jobs.results.steps(job_id, position, rows_at_once)
            record, position = read.record, read.position
            for row in read.rows:
                yield Give((yield from lines_of(row, record)))
            is_at_end = position.unit >= record.units or not read.rows
            if record.state.is_terminal and is_at_end:
                yield from _rest(jobs, record, position.unit)
                self.ended = record
                return
            if read.rows:
                continue
            if self.upload is not None:
                yield from self.upload.raise_error()
            if not self.page.wait:
                return
            wait_s = self.watch.look_s
            if announced is not None and record.sealed and record.units == 1:
                is_news = yield from announced.wait(seen, wait_s)
            else:
                after = read.last_event_id
                events = yield from jobs.events.steps(job_id, after, longest_wait_s=wait_s)
                is_news = bool(events)
            if not is_news:
                yield from self.watch.look(record)


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


def _rest(jobs: Jobs, record: JobRecord, unit: int) -> Reading[ResultLine]:
    """Give what a job that ended early still has: late results, and the undone items."""
    if record.state is JobState.COMPLETED:
        if unit < record.units:
            yield from jobs.get.steps(record.job_id)  # unless it was removed since
        raise_where_missing(record, unit)
        return
    for number in range(unit, record.units):
        yield from rest_of_unit(jobs, record, number)


def merged_results(
    first: Reading[OneResult], retries: Sequence[Reading[OneResult]], whole: str | None = None
) -> Reading[OneResult]:
    """Put the results of retries in the place of the errors that they answer, by `custom_id`.

    That of the last retry counts. All are in the first job's order, so nothing is held but one
    result of each. Raises JobDamaged for an answer to an item that the first job does not have;
    WrongState where that is a retry of the job `whole` itself, which may have left items out.
    """
    answers = [Taken(retried) for retried in retries]
    #: The next answer of each retry that has more, by its item and the retry's number.
    waiting = dict[str, dict[int, OneResult]]()

    def take(numbers: Iterable[int]) -> Exchange[None]:
        for number in numbers:
            answer = yield from answers[number].take()
            if answer is not None:
                waiting.setdefault(answer.custom_id, {})[number] = answer

    yield from take(range(len(answers)))
    results = Taken(first)
    while (result := (yield from results.take())) is not None:
        answered = waiting.pop(result.custom_id, {})
        yield Give((answered[max(answered)] if answered else result,))
        yield from take(answered)
    if not waiting:
        return
    custom_id = min(waiting, key=lambda name: min(waiting[name]))
    if whole is not None:
        raise WrongState(
            f"A later retry has a result of {custom_id!r}, which this one had left out. "
            f"Read the results of the whole: seqd jobs results {whole} --merged"
        )
    raise JobDamaged(
        f"A retry has a result of {custom_id!r}, and the job that it continues none in that "
        "place: results are missing there. Read the retry's own, and hand in again what is "
        "missing."
    )


def results_by_now(
    ledger: LedgerParts, record: JobRecord
) -> Exchange[dict[str, ItemSuccess | ItemFailure]]:
    """Return the results that a sweep has, by combination, in order, those between them missing."""
    if not record.units:
        return {}
    blobs = yield from ledger.jobs.outputs.steps(record.job_id, range(record.units))
    results = [result for blob in blobs if blob is not None for result in unpack_results(blob)]
    return {result.custom_id: result for result in results}


def raise_where_missing(record: JobRecord, unit: int) -> None:
    """Raise JobDamaged when a completed job has units from `unit` on that have no results."""
    if unit < record.units:
        raise JobDamaged(
            f"Results of job {record.job_id} are missing from unit {unit} of {record.units} "
            "on: somebody has deleted them. Hand the job in again."
        )


def rest_of_unit(jobs: Jobs, record: JobRecord, unit: int) -> Reading[ResultLine]:
    """Give what there is of a unit of a job that ended early; undone items come as errors."""
    job_id = record.job_id
    for name in (yield from jobs.parts.steps(job_id, unit)):
        number = 0
        while (row := (yield from jobs.row.steps(job_id, name, number))) is not None:
            yield Give((yield from lines_of(row, record)))
            number += 1
        if number:
            continue
        (blob,) = yield from jobs.inputs.steps(job_id, [name])
        if blob is None:
            raise (yield from jobs.missing.steps(job_id, f"unit {name} of the results"))
        yield Give(_undone(blob, record))


def lines_of(row: bytes, record: JobRecord) -> Exchange[Iterable[ResultLine]]:
    """Return the results of a row; of a job by reference, those of the part that it names.

    Raises InvalidInput for what is no row, and for a part that is not there, or another.
    """
    part = reference_in(row, PartReference)
    if part is None:
        return unpack_lines(row)
    folder = output_folder_of(record.job) or ""
    read = Aside(partial(read_part, folder, part.name, part.sha256))
    return lines_in(cast(bytes, (yield read)).split(b"\n")[:-1])


def _undone(blob: bytes, record: JobRecord) -> Iterator[ResultLine]:
    if reference_in(blob, UnitReference) is not None:
        return  # nobody has read what they are called
    error = _undone_error(record)
    for entry in unpack_items(blob).items:
        reason = error if isinstance(entry, Item) else entry.refused
        failure = ItemFailure(custom_id=entry.custom_id, error=reason, attempts=0)
        yield ResultLine(failure, to_stored(failure).encode())


def _undone_error(record: JobRecord) -> ItemError:
    """Return why an item was not done of a job that ended early, and whether to send it again."""
    is_late, failure = record.state is JobState.EXPIRED, record.failure
    if is_late:
        ended, advice = "expired", "Send it again, with more time."
    elif failure is None:
        ended, advice = f"ended as {record.state}", "Send it again."
    else:
        ended, advice = f"failed with {failure.code}", "The job's failure says why."
    return ItemError(
        code=ItemErrorCode.EXPIRED if is_late else ItemErrorCode.CANCELLED,
        message=f"The job {ended} before this item had its turn. {advice}",
        retryable=failure is None or failure.retryable,
    )


def check_output_class(output: object) -> None:
    """Raise InvalidRequest for what no output can be read as."""
    if output is not None and not (isinstance(output, type) and issubclass(output, BaseModel)):
        raise InvalidRequest(
            f"output is {output!r:.80}; allowed: a pydantic model, such as "
            "seqd_schemas.Embedding, or nothing, for dictionaries."
        )


class OutputReader(Generic[Output]):
    """How the outputs of a job are read."""

    def __init__(self, output: type[Output] | None) -> None:
        """`output` is the class; without it, outputs stay dictionaries."""
        self.output = output

    def __call__(
        self, result: "ItemSuccess[object] | ItemFailure"
    ) -> "ItemSuccess[Output] | ItemFailure":
        """Return a result with its output as what it is read as; raises OutputMismatch.

        Outputs of other kinds of job stay as they are, where they are of that class.
        """
        if isinstance(result, ItemSuccess):
            if isinstance(result.output, dict):
                made = self.read(result.output, result.custom_id)
                if made is not result.output:
                    result = result.model_copy(update={"output": made})
            elif self.output is not None and not isinstance(result.output, self.output):
                raise OutputMismatch(
                    f"The output of item {result.custom_id!r} is a {type(result.output).__name__} "
                    f"and no {self.output.__name__}. Read the job without `output`."
                )
        return cast("ItemSuccess[Output] | ItemFailure", result)

    def read(self, output: Mapping[str, object], custom_id: str) -> Output:
        """Return the output of an item as what it is read as; raises OutputMismatch."""
        if self.output is None:
            return cast(Output, output)
        named = cast("type[BaseModel]", self.output)
        try:
            # As JSON, which it is: a list there is a tuple to a strict class.
            return cast(Output, named.model_validate_json(to_json(output), extra="ignore"))
        except ValidationError as error:
            raise OutputMismatch(
                f"The output of item {custom_id!r} is no {named.__name__}: "
                f"{fault_sentence(error)}. Read the job without `output`, or with the class that "
                "the task states."
            ) from None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0

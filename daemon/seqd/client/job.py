"""A job in the ledger: follow it, wait for it, read its results, cancel or pause it.

`JobSteps` does it as exchanges; its handles, `JobHandle` and `AsyncJobHandle`, run these. None of
them keeps a state of its own beyond the upload: any number of handles, in any process, can stand
for one job (`Client.job`).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, Unpack, cast

from seqd.client.faces import Awaiting, Blocking, call, reading, told_as
from seqd.client.requests import checked_event_id, refuse_unknown, rest_told
from seqd.client.results import (
    OutputReader,
    Page,
    PageOptions,
    ReadOptions,
    Result,
    ResultReader,
    merged_results,
    results_by_now,
)
from seqd.client.waiting import (
    WaitingNotice,
    WaitOptions,
    Watch,
    check_timeout,
    with_waiting,
)
from seqd.errors import (
    InvalidRequest,
    JobCancelled,
    JobDamaged,
    JobExpired,
    JobFailed,
    JobOutOfReach,
    RedisUnreachable,
    SeqdError,
    Stopped,
    UnknownItem,
    UnknownJob,
    failure_of,
)
from seqd.kinds import KINDS
from seqd.ledger import LedgerParts
from seqd.ledger.activity import JobActivity, activity_of
from seqd.ledger.blobs import ResultLine, unpack_results
from seqd.ledger.exchange import Exchange, Give, Reading, Taken, mapped
from seqd.ledger.jobs import EventsGone
from seqd.ledger.outage import waiting_at_most
from seqd.local.caller import caller
from seqd.validation import shown
from seqd_schemas import (
    GenerateJob,
    ItemFailure,
    JobAction,
    JobRecord,
    JobState,
    Output,
    RunJob,
    SweepJob,
    TrainedVersion,
    TrainJob,
    output_folder_of,
)

if TYPE_CHECKING:
    import numpy
    import pandas
    import pyarrow
    from numpy.typing import NDArray

    from seqd.client.streaming import StreamedText
    from seqd.client.tables import OutputField, Table
    from seqd.client.upload import Upload
    from seqd.client.waiting import Announced
    from seqd.ledger.async_transport import AsyncStream, AsyncTransport
    from seqd.ledger.transport import Transport
    from seqd_schemas import Event, JobKind, Missed, Rejected

T = TypeVar("T")

#: Names of items that were given none.
ROW = re.compile(r"row-([1-9][0-9]{0,15})")


@dataclass(eq=False)
class JobSteps(Generic[Output]):
    """A job in the ledger: what the handles of both clients do, as exchanges and readings."""

    ledger: LedgerParts
    job_id: str
    upload: "Upload | None" = None
    #: Hears of the job's end, where its client sent it and listens for that.
    announced: "Announced | None" = None
    #: What the results are read as, of a plugin's own task.
    output: type[Output] | None = None
    #: That of the job, where its client sent it.
    kind: "JobKind | None" = None

    @cached_property
    def notice(self) -> WaitingNotice:
        """What tells, once for all that wait here, why the job waits."""
        return WaitingNotice(self.ledger)

    def record(self) -> "Exchange[JobRecord]":
        """Read the job as it is now.

        Raises UnknownJob when it is not kept (any more), and JobFailed with the reason when
        the inbox rejected it, so that there is no record.
        """
        with self._in_reach():
            try:
                record = yield from self.ledger.jobs.get.steps(self.job_id)
                return (yield from with_waiting(self.ledger, [record]))[0]
            except UnknownJob:
                rejected = yield from self.rejection()
                if rejected is None:
                    raise
        raise JobFailed(self.job_id, rejected.failure)

    def activity(self) -> "Exchange[JobActivity]":
        """Read who works on the job, how often its units were claimed, and how fast it goes.

        Raises what `record` does.
        """
        record = yield from self.record()
        with self._in_reach():
            return (yield from activity_of(self.ledger.keys, record))

    def _watch(self, options: WaitOptions) -> Watch:
        refuse_unknown(options, WaitOptions)
        return Watch(self.notice, options)

    def events(
        self,
        after: str = "0-0",
        *,
        timeout_s: float | None = None,
        **options: Unpack[WaitOptions],
    ) -> "Reading[Event]":
        """Follow the job: events after the stream id `after`, live, up to the terminal one.

        The stream is bounded: of a long job, steps and progress go once a thousand events have come
        after them; of epochs, samples and all others at least the last thousand stay. Where events
        after `after` are gone, a `missed` event says so first. Raises UnknownJob, TimeoutError
        after `timeout_s` seconds without the end of the job, and NoWorker as `wait` does.
        """
        check_timeout(timeout_s)
        checked_event_id(after)
        return self._events(after, timeout_s, self._watch(options))

    def _events(self, after: str, timeout_s: float | None, watch: Watch) -> "Reading[Event]":
        from seqd_schemas import TERMINAL_EVENTS

        jobs, deadline = self.ledger.jobs, inf if timeout_s is None else monotonic() + timeout_s
        # There may be no event to wait for any more: look before waiting.
        wait_s, is_told = 0.0, False
        with self._in_reach():
            while True:
                events, gone = yield from jobs.follow.steps(
                    self.job_id, after, longest_wait_s=wait_s
                )
                # Of steps and progress once: whoever is so far behind misses some again and again.
                if gone.has_lasting(after) or (gone.has_passing(after) and not is_told):
                    is_told = True
                    yield Give((_missed(self.job_id, after, gone),))
                for event in events:
                    after = event.id
                    yield Give((event,))
                    if event.event in TERMINAL_EVENTS:
                        return
                if not events:
                    yield from self.raise_upload_error()
                    if not wait_s and after == "0-0" and not (yield from self._exists()):
                        # It may be on its way through the inbox.
                        wait_s = max(0.001, min(self.ledger.look_s, deadline - monotonic()))
                        continue
                    record = yield from self.record()
                    yield from watch.look(record)
                    if record.state.is_terminal:
                        # The terminal event came between the two reads, or is behind `after`.
                        last = yield from jobs.events.steps(self.job_id, after, longest_wait_s=0)
                        yield Give(last)
                        return
                    if monotonic() >= deadline:
                        raise TimeoutError(f"Job {self.job_id} is {record.state}, and has no news.")
                wait_s = max(0.001, min(watch.look_s, deadline - monotonic()))

    def _exists(self) -> Exchange[bool]:
        return (yield from self.ledger.jobs.exists.steps(self.job_id))

    def wait(
        self, timeout_s: float | None = None, **options: Unpack[WaitOptions]
    ) -> "Exchange[JobRecord]":
        """Wait for the end of the job, without polling; returns its record.

        Raises JobFailed with the reason, JobCancelled, JobExpired, TimeoutError after `timeout_s`
        seconds, and what the input's own iterable raised. Where no worker that is up can run the
        job, a line in the log says so, with the reason, and `on_waiting` is called with it, once
        each; after `no_worker_timeout_s` seconds without one, NoWorker is raised.
        """
        check_timeout(timeout_s)
        watch = self._watch(options)
        limit_s = inf if timeout_s is None else timeout_s
        deadline = monotonic() + limit_s
        try:
            with waiting_at_most(limit_s):
                return (yield from self._wait(limit_s, deadline, watch))
        except RedisUnreachable as error:
            if monotonic() < deadline and isinstance(error, JobOutOfReach):
                raise
            if monotonic() < deadline:
                raise self.out_of_reach(error) from None
            raise TimeoutError(
                f"Job {self.job_id} could not be looked at after {timeout_s:g} s: {error}"
            ) from None

    def _wait(self, timeout_s: float, deadline: float, watch: Watch) -> Exchange[JobRecord]:
        announced, after = self.announced, ""
        if announced is None:
            after = yield from self.ledger.jobs.last_event_id.steps(self.job_id)
        elif announced.is_heard:  # it cannot have ended unheard
            yield from announced.wait(0, max(0.0, min(timeout_s, watch.look_s)))
        while True:
            seen = 0 if announced is None else announced.news
            record = yield from self.record()
            if record.state.is_terminal:
                break
            yield from self.raise_upload_error()
            waiting = yield from watch.look(record)
            left_s = deadline - monotonic()
            if left_s <= 0:
                why = "" if waiting is None else f" It waits: {waiting.message}"
                raise TimeoutError(
                    f"Job {self.job_id} is {record.state} after {timeout_s:g} s, with "
                    f"{record.counts.done:,} of {record.counts.total:,} {things_of(record)} done."
                    f"{why}"
                )
            wait_s = min(left_s, watch.look_s)
            if announced is None:
                events = self.ledger.jobs.events.steps(self.job_id, after, longest_wait_s=wait_s)
                for event in (yield from events):
                    after = event.id
            else:
                yield from announced.wait(seen, wait_s)
        yield from self._settle(deadline - monotonic(), timeout_s)
        return _ended_well(record)

    def trained_version(
        self, timeout_s: float | None = None, **options: Unpack[WaitOptions]
    ) -> Exchange[TrainedVersion]:
        """Wait for the end of a training; return the version that it made."""
        check_timeout(timeout_s)
        record = yield from self.record()
        if not isinstance(record.job, TrainJob):
            raise InvalidRequest(
                f"Job {self.job_id} is a job of kind {record.kind}, no training. Read `results()`."
            )
        return _version_of((yield from self.wait(timeout_s, **options)))

    def results(self, **options: Unpack[PageOptions]) -> "Reading[Result[Output]]":
        """Read the results in input order, each as soon as it and all before it are there.

        Each is `ok` and has an `output`, or has an `error`; `unwrap()` returns the one, or raises
        the other as ItemFailed. Items that a cancel or a failure of the job left undone come as
        errors with the code `cancelled`, those of a job whose time ran out with `expired`. After
        the last one, raises JobFailed when the job as a whole failed, and what the input's own
        iterable raised.

        `wait=False` gives those that are there, up to the first that is not. `offset` and `limit`
        give a page: it is short where the job has no more results, and empty behind its end, and it
        raises nothing for a job that failed. A page does not read what is in front of it; see
        `seqd.client.results.begin`. NoWorker as `wait` does.
        """
        return mapped(self.result_lines(**options), self._read)

    def _read(self, line: ResultLine) -> "Result[Output]":
        return self.reader(line.result)

    @property
    def reader(self) -> OutputReader[Output]:
        """What reads the outputs as what the caller wants them as."""
        return OutputReader(self.output)

    def result_lines(self, **options: Unpack[PageOptions]) -> "Reading[ResultLine]":
        """Read what `results` gives, each with its JSON: what a file of results holds."""
        return self._to_the_end(self._reader(options))

    def errors(self, **options: Unpack[ReadOptions]) -> "Reading[ItemFailure]":
        """Read the results that are errors, in input order; ends, and raises, as `results` does.

        Of a job that has ended no more is read than up to its last error.
        """
        return self._errors(self._reader(cast(PageOptions, options), ReadOptions))

    def _errors(self, reader: ResultReader) -> Reading[ItemFailure]:
        record = yield from self._record_of_items()
        counts = record.counts
        left = counts.total - counts.succeeded if record.state.is_terminal else inf
        lines = Taken(self._to_the_end(reader))
        while left > 0 and (line := (yield from lines.take())) is not None:
            if isinstance(line.result, ItemFailure):
                left -= 1
                yield Give((line.result,))
        if left == 0:  # no more is read, so it has not raised what there is to raise
            if reader.page.wait:
                yield from self._settle()
            yield from self._raise_if_failed()

    def table(self) -> "Exchange[Table]":
        """Return the columns of the job's results."""
        from seqd.client.tables import result_schema, table_of

        record = yield from self._record_of_items()
        return table_of(record, (yield from result_schema(self.ledger, record)))

    def record_batches(self, **options: Unpack[PageOptions]) -> "Reading[pyarrow.RecordBatch]":
        """Give the results as batches of Arrow."""
        from seqd.client.tables import import_arrow

        import_arrow()  # now, and not when the first batch is asked for
        return self._record_batches(self._as_they_are(options))

    def _record_batches(self, results: Reading[Result]) -> "Reading[pyarrow.RecordBatch]":
        yield from (yield from self.table()).batches(results)

    def _as_they_are(self, options: PageOptions) -> Reading[Result]:
        """Give the results with outputs of a plugin's own task as dictionaries."""
        return mapped(self.result_lines(**options), lambda line: line.result)

    def to_pandas(self, **options: Unpack[PageOptions]) -> "Exchange[pandas.DataFrame]":
        """Return the results as a data frame with the columns of `to_arrow`; holds all of them.

        Raises LibraryMissing without pandas.
        """
        from seqd.client.tables import import_pandas

        import_pandas()
        table = yield from self.table()
        frame = yield from table.frame(self._as_they_are(options))
        with suppress(UnknownJob):  # removed meanwhile: the results are here all the same
            frame.attrs.update((yield from self.table()).facts)
        return frame

    def output_fields(self) -> "Exchange[tuple[OutputField, ...] | None]":
        """Return the fields of a plugin's own output; None of a job of another kind.

        They are the columns of its tables, and those of type `vector` what `to_numpy` takes.
        """
        from seqd.client.tables import fields_of, result_schema

        record = yield from self.record()
        if KINDS[record.kind].task is not None:
            return None
        return fields_of((yield from result_schema(self.ledger, record)))

    def to_numpy(
        self, field: str = "vector", **options: Unpack[PageOptions]
    ) -> "Exchange[NDArray[numpy.float32]]":
        """Return the vectors of a plugin's own task as one matrix of float32: items, dimensions.

        Rows are in input order; `ids()` names their items. The row of an item with an error is NaN
        all over. Allocated once, where the input is complete and the schema has the dimensions.
        Takes, and raises, what `results` does. Raises InvalidRequest for a `field` that is no
        vector, and OutputMismatch where the vectors have different lengths.
        """
        from seqd.client.tables import fields_of, matrix_of, result_schema, vector_field

        page = self._reader(options).page
        record = yield from self._record_of_items()
        if not isinstance(record.job, RunJob):
            raise InvalidRequest(
                f"Job {self.job_id} is a job of kind {record.kind}, whose outputs have no vectors. "
                "Call `to_pandas()`."
            )
        fields = fields_of((yield from result_schema(self.ledger, record)))
        found = vector_field(fields, field, f"Job {self.job_id}")
        rows = page.rows_of(record.counts.total) if record.sealed else None
        return (yield from matrix_of(self._as_they_are(options), found, rows))

    def ids(self, **options: Unpack[PageOptions]) -> "Exchange[list[str]]":
        """Return the `custom_id` of each result in input order: of the rows of `to_numpy`.

        Reads the results, as `results` does.
        """
        lines, names = Taken(self.result_lines(**options)), list[str]()
        while (line := (yield from lines.take())) is not None:
            names.append(line.result.custom_id)
        return names

    def result(self, custom_id: str, **options: Unpack[ReadOptions]) -> "Exchange[Result[Output]]":
        """Return the result of one item, when it is there.

        An item that was given no `custom_id` is found by its place: `row-17` is the seventeenth.
        For any other, all results in front of it are read. Raises UnknownItem when the job has no
        such item, or, with `wait=False`, when its result is not among those that are there.
        """
        if not isinstance(custom_id, str):
            raise InvalidRequest(f"custom_id is {shown(custom_id)}; allowed: the name of an item.")
        asked = cast(PageOptions, options)
        whole = self._reader(asked, ReadOptions)
        yield from self._check_that_it_has_items()
        found: Result | None = None
        with self._in_reach():
            if numbered := ROW.fullmatch(custom_id):  # most likely the item of that place
                place = PageOptions(offset=int(numbered[1]) - 1, limit=1)
                found = yield from _named(custom_id, self._reader({**asked, **place}))
            found = found or (yield from _named(custom_id, whole))
        if found is not None:
            return self.reader(found)
        record = yield from self.record()
        raise _unknown_item(record, custom_id)

    def _reader(self, options: PageOptions, known: type = PageOptions) -> ResultReader:
        """Return what reads a page of results. Raises InvalidRequest for what is no option."""
        refuse_unknown(options, known)
        watch = Watch(self.notice, options)
        page = Page.of(options)
        return ResultReader(self.ledger, self.job_id, page, watch, self.upload, self.announced)

    def _to_the_end(self, reader: ResultReader) -> Reading[ResultLine]:
        """Give the lines; then raise what the input raised, and JobFailed for a job that failed."""
        yield from self._check_that_it_has_items()
        with self._in_reach():
            yield from reader.lines()
            if reader.page.wait and reader.page.limit is None:
                yield from self._settle()
        if reader.page.limit is None:
            yield from self._raise_if_failed(reader.ended)

    def _check_that_it_has_items(self) -> Exchange[None]:
        """Raise InvalidRequest for a training; its client knows the kind that sent it."""
        if self.kind is None or not KINDS[self.kind].has_items:
            yield from self._record_of_items()

    def _record_of_items(self) -> Exchange[JobRecord]:
        record = yield from self.record()
        if not KINDS[record.kind].has_items:
            raise InvalidRequest(
                f"Job {self.job_id} is a training: it has no items. Call `trained_version()`."
            )
        return record

    def stream(self, **options: Unpack[WaitOptions]) -> "Reading[StreamedText]":
        """Yield texts while they are written, those of all items at once.

        The deltas of a sample come in order and have each of its characters once, also when a
        worker was killed half-way; the last one has the whole sample as `finished`, or of a
        plugin's own task the item's output as `output`. An item that failed yields one entry with
        its `error`. Live for a job that was sent with `stream`; texts of any other come when their
        unit is done. Ends, and raises, as `results` does.
        """
        return self._stream(self._watch(options))

    def _stream(self, watch: Watch) -> "Reading[StreamedText]":
        record = yield from self.record()
        if not writes_texts(record):
            raise InvalidRequest(_no_texts_of(record))
        from seqd.client.streaming import StreamReader

        with self._in_reach():
            yield from self._settle()
            yield from StreamReader(
                self.ledger, self.job_id, self.raise_upload_error, watch, self.reader.read
            ).texts()
        yield from self._raise_if_failed()

    def results_by_now(self) -> "Exchange[dict[str, Result[Output]]]":
        """Return a sweep's results that are there, by `custom_id`, in order; waits for none.

        Raises InvalidRequest for a job of another kind: its results may be too many to hold.
        """
        record = yield from self.record()
        if not isinstance(record.job, SweepJob):
            raise InvalidRequest(
                f"Job {self.job_id} is a job of kind {record.kind}, no sweep. What it gave: "
                f"`results()`, or seqd jobs results {self.job_id}"
            )
        with self._in_reach():
            found = yield from results_by_now(self.ledger, record)
        return cast("dict[str, Result[Output]]", found)

    def merged_results(self) -> "Reading[Result[Output]]":
        """Read the results with those of later retries in the place of the errors they answer.

        Waits for a retry that still runs. In input order, as `results`. Call it on the first job: a
        retry has only the items that it was given.
        """
        yield from self._record_of_items()
        chain = [self]
        whole = yield from self.ledger.jobs.continued.steps(self.job_id)
        # A later retry may have items that an earlier one left out.
        while (retry := (yield from chain[-1].continuation())) is not None:
            chain.append(retry)
        if output_folder_of((yield from self.record()).job) is not None:
            chain = yield from _last_whole(chain)
        first, *retries = (one.all_results() for one in chain)
        yield from merged_results(first, retries, whole)

    def all_results(self) -> "Reading[Result[Output]]":
        """Give the results, also those of a job that failed as a whole."""
        with self._in_reach():
            yield from mapped(self._reader({}).lines(), self._read)

    def continuation(self) -> "Exchange[JobSteps[Output] | None]":
        """Return the job that continues this one; None without one, or when it was removed."""
        other = (yield from self.record()).continued_by
        if other is None:
            return None
        if not (yield from self.ledger.jobs.exists.steps(other)):
            raise _half_of_a_whole(gone=other, kept=self.job_id, verb="continues")
        return JobSteps(self.ledger, other, output=self.output)

    def origin(self) -> "Exchange[JobSteps[Output]]":
        """Return the first job of those that this one continues; of no others, this one."""
        found = self
        while (earlier := (yield from found._continued())) is not None:
            found = earlier
        return found

    def has_checkpoint(self) -> "Exchange[bool]":
        """True when a training, or one of those that it continues, has saved a checkpoint."""
        found: JobSteps[Output] | None = self
        with suppress(UnknownJob):  # of a job that is not kept, nothing is
            while found is not None:
                if (yield from self.ledger.checkpoints.of.steps(found.job_id)):
                    return True
                found = yield from found._continued()
        return False

    def pause(self) -> "Exchange[JobState]":
        """Let no further unit be begun, with or without a worker up; returns the state afterwards.

        Units that are being worked on are finished; a training stops at a checkpoint. Input
        may still be sent, and the job may still expire. A job that had ended stays as it is.
        """
        act = self.ledger.control.pause.steps(self.job_id, caller())
        return (yield from self._steered(JobAction.PAUSE, act))

    def resume(self) -> "Exchange[JobState]":
        """Let the paused job go on; returns its state afterwards.

        A job that is not paused stays as it is, also one that has ended: its state says so,
        where the client's `resume` raises WrongState for what cannot be resumed.
        """
        act = self.ledger.control.resume.steps(self.job_id)
        return (yield from self._steered(JobAction.RESUME, act))

    def remove(self) -> "Exchange[None]":
        """Forget the ended job with its results and events.

        Raises UnknownJob, and WrongState while it, or a job that continues it, has not ended.
        """
        yield from self._audited("remove", self.ledger.control.remove.steps(self.job_id))

    def cancel(self) -> "Exchange[JobState]":
        """Cancel the job, with or without a worker up; returns its state afterwards.

        Units that are being worked on are not committed any more; what was stays readable. A
        job that had ended keeps its state.
        """
        if self.upload is not None:
            yield from self.upload.give_up()
        act = self.ledger.control.cancel.steps(self.job_id)
        return (yield from self._steered(JobAction.CANCEL, act))

    def _steered(self, action: JobAction, act: Exchange[JobState]) -> Exchange[JobState]:
        """Do an act and write it down; neither where the job's state is none that it changes."""
        state = yield from self.ledger.control.state.steps(self.job_id)
        if state is not None and not state.may(action):
            return state
        return (yield from self._audited(action, act))

    def _audited(self, action: str, act: Exchange[T]) -> Exchange[T]:
        from seqd.ledger.audit import audited

        return (yield from audited(self.ledger.audit, act, f"jobs.{action}", self.job_id))

    def let_go(self, wait_s: float = 0.0) -> "Exchange[None]":
        """Send no more of the input after `wait_s` seconds, and leave the job as it is.

        One that lacks input waits for a client that sends the same input again, with the job's
        identifier or idempotency key: SEQD_ABANDONED_UPLOAD_S seconds, after which it fails.
        """
        if self.upload is not None:
            yield from self.upload.let_go(wait_s)

    def give_up(self, error: BaseException) -> "Exchange[None]":
        """Fail the job if its input is not complete yet; `error` is why it never will be."""
        if self.upload is not None:
            yield from self.upload.give_up(error)

    def fail(self, error: Exception) -> "Exchange[None]":
        """Fail the job, also one that has all of its input; `error` says why.

        A job that had ended keeps its state.
        """
        yield from self.give_up(error)
        told = f"Its sender ended by {error!r}."
        known = error if isinstance(error, SeqdError) else Stopped(told)
        yield from self.ledger.control.fail.steps(self.job_id, failure_of(known))

    def uploaded(self) -> "Exchange[None]":
        """Wait until all of the input is in the ledger, or the job has ended.

        Until then the input must stay open: a job's own thread, or task, reads it. Raises what the
        input's own iterable raised, IdempotencyConflict when it turned out to be another job's, and
        RedisUnreachable. Whoever is cancelled or interrupted here takes the input along: the job
        fails, unless it has all of it.
        """
        if self.upload is None:
            return
        try:
            yield from self.upload.join()
        except (Exception, GeneratorExit):
            raise
        except BaseException as error:  # cancelled or interrupted: the input goes with its owner
            yield from self.upload.give_up(error)
            raise
        yield from self.upload.raise_error()

    def close(self) -> "Exchange[None]":
        """Wait until the input is complete or the job has ended.

        Raises IdempotencyConflict when it turned out to be another job's, and nothing else has
        raised that.
        """
        if self.upload is not None:
            yield from self.upload.join()
            yield from self.upload.raise_untold_conflict()

    @property
    def is_uploading(self) -> bool:
        """True while this handle's input is on its way, or a conflict of it is to be told."""
        upload = self.upload
        return upload is not None and (upload.is_running or upload.has_untold_conflict)

    def rejection(self) -> "Exchange[Rejected | None]":
        """Return the inbox's refusal of a job that another program handed in, if there is one."""
        from seqd_schemas import Rejected

        events = yield from self.ledger.jobs.events.steps(self.job_id, longest_wait_s=0)
        return next((event for event in events if isinstance(event, Rejected)), None)

    def out_of_reach(self, error: RedisUnreachable) -> JobOutOfReach:
        """Return the error for a Redis that was away for too long, with how to go on."""
        if isinstance(error, JobOutOfReach):
            return error
        job_id = self.job_id
        goes_on = (
            "did not have all of its input by then, and fails without it: send the same input again"
            if self.is_uploading
            else "goes on by itself"
        )
        return JobOutOfReach(
            job_id,
            f"{error} Job {job_id} {goes_on}. Watch it: seqd jobs watch {job_id}. Its results: "
            f"seqd jobs results {job_id}",
        )

    def raise_upload_error(self) -> Exchange[None]:
        """Raise what the input's own iterable, or sending it, has raised."""
        if self.upload is not None:
            yield from self.upload.raise_error()

    @contextmanager
    def _in_reach(self) -> Iterator[None]:
        try:
            yield
        except JobOutOfReach:
            raise
        except RedisUnreachable as error:
            raise self.out_of_reach(error) from None

    def _continued(self) -> "Exchange[JobSteps[Output] | None]":
        """Return the job that this one continues, if there is one that nobody has removed."""
        earlier_id = yield from self.ledger.jobs.continued.steps(self.job_id)
        if earlier_id is None:
            return None
        earlier = JobSteps[Output](self.ledger, earlier_id, output=self.output)
        # Else another job has its identifier by now; this also ends a circle of such jobs.
        is_kept = yield from self.ledger.jobs.exists.steps(earlier_id)
        if not is_kept or (yield from earlier.record()).continued_by != self.job_id:
            raise _half_of_a_whole(gone=earlier_id, kept=self.job_id, verb="is continued by")
        return earlier

    def _settle(
        self, left_s: float | None = None, timeout_s: float | None = None
    ) -> Exchange[None]:
        """Wait until the input is known to be that of the job, where another sender owns it."""
        if self.upload is None:
            return
        wait_s = None if left_s is None or left_s == inf else max(0.0, left_s)
        if not (yield from self.upload.wait_until_compared(None, wait_s)):
            raise TimeoutError(
                f"Job {self.job_id} has ended, and after {timeout_s or 0:g} s it is not known yet "
                "whether it had the input that was handed in here: that goes on."
            )

    def _raise_if_failed(self, record: JobRecord | None = None) -> Exchange[None]:
        yield from self.raise_upload_error()
        record = record or (yield from self.record())
        if record.state is JobState.FAILED:
            _ended_well(record)


def _named(custom_id: str, reader: ResultReader) -> Exchange[Result | None]:
    lines = Taken(reader.lines())
    while (line := (yield from lines.take())) is not None:
        if line.result.custom_id == custom_id:
            return line.result
    return None


def _version_of(record: JobRecord) -> TrainedVersion:
    made, parameters = record.training, cast(TrainJob, record.job).parameters
    if made is None:
        raise JobDamaged(
            f"Training {record.job_id} is completed, and its record names no version: somebody has "
            "changed it. `seqd models show` lists the versions that there are."
        )
    return TrainedVersion(
        model=made.model,
        version=made.version,
        parameters=parameters,
        metrics=made.metrics,
        seconds=made.seconds,
    )


def _unknown_item(record: JobRecord, custom_id: str) -> UnknownItem:
    job_id, counts = record.job_id, record.counts
    if not record.state.is_terminal:
        return UnknownItem(
            f"Job {job_id} has no result of an item {custom_id!r} yet: it is {record.state}, with "
            f"{counts.done:,} of {counts.total:,} items done."
        )
    return UnknownItem(
        f"Job {job_id} has no item {custom_id!r} among its {counts.total:,}. An item that was "
        "given no custom_id is named by its position: row-1, row-2 …"
    )


def _missed(job_id: str, after: str, gone: EventsGone) -> "Missed":
    from seqd_schemas import Missed

    lasting = gone.has_lasting(after)
    # The milliseconds of a stream id are the time of its event.
    at_ms = int((gone.before if lasting else gone.passing).partition("-")[0])
    return Missed(id=after, job_id=job_id, at_ms=at_ms, lasting=lasting)


def _last_whole(chain: "list[JobSteps[Output]]") -> "Exchange[list[JobSteps[Output]]]":
    """Return the last of some jobs by reference that has all items, or may yet, and its retries."""
    first = len(chain) - 1
    for number, one in enumerate(chain):
        state = (yield from one.record()).state
        if state is JobState.COMPLETED or not state.is_terminal:
            first = number
    return chain[first:]


def _half_of_a_whole(*, gone: str, kept: str, verb: str) -> UnknownJob:
    return UnknownJob(
        f"Job {gone}, which {verb} {kept}, is not kept any more, so the results of both cannot be "
        f"read as one. Those that are left: seqd jobs results {kept}"
    )


def expiry_of(record: JobRecord) -> str:
    """Say of an expired job when that was, how far it had come, and how to continue it."""
    job_id, counts = record.job_id, record.counts
    expired = f"Job {job_id} expired after {record.job.expires_in_s or 0:,} s"
    if isinstance(record.job, TrainJob):
        said = f"{expired}, before it had made a version."
    else:
        said = f"{expired} with {counts.done:,} of {counts.total:,} {things_of(record)} done."
    incomplete = "Its input was not complete by then: hand it in again with more time."
    return f"{said} {rest_told(record) or incomplete}"


def things_of(record: JobRecord) -> str:
    """Name what a job counts, of several."""
    return KINDS[record.kind].items


def _no_texts_of(record: JobRecord) -> str:
    job = record.job
    if isinstance(job, RunJob):
        return (
            f"Job {record.job_id} does {job.task} and was sent without `stream`. Read `results()`, "
            "or hand it in with stream=True where the task's output has a text."
        )
    return (
        f"Job {record.job_id} is a job of kind {record.kind}: it writes no texts. `generate` does."
    )


def writes_texts(record: JobRecord) -> bool:
    """Return True for a job whose texts can be read while they are written."""
    job = record.job
    return isinstance(job, GenerateJob) or (isinstance(job, RunJob) and job.stream)


def _ended_well(record: JobRecord) -> JobRecord:
    if record.state is JobState.EXPIRED:
        raise JobExpired(expiry_of(record))
    if record.failure is not None:
        raise JobFailed(record.job_id, record.failure)
    if record.state is JobState.CANCELLED:
        done, total = record.counts.done, record.counts.total
        how_far = (
            "before it had made a version."
            if isinstance(record.job, TrainJob)
            else f"with {done:,} of {total:,} {things_of(record)} done; their results stay "
            "readable."
        )
        raise JobCancelled(f"Job {record.job_id} was cancelled {how_far}")
    return record


class JobMethods(Generic[Output]):
    """What the handles of both clients have."""

    #: What its methods do stands in `steps`.
    has_steps: ClassVar = True

    def __init__(self, transport: Any, steps: JobSteps[Output], *, durable: bool = False) -> None:
        #: The job's identifier; `Client.job` makes a new handle from it, anywhere.
        self.job_id = steps.job_id
        #: True when the server has said that the job is on its disk; see `JobOptions.durable`.
        self.durable = durable
        #: What the handle does, as exchanges.
        self.steps = steps
        self._transport = transport

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.job_id!r})"

    @property
    def is_uploading(self) -> bool:
        """True while this handle's input is on its way, or a conflict of it is to be told."""
        return self.steps.is_uploading

    record = call(JobSteps[Output].record)
    activity = call(JobSteps[Output].activity)
    events = reading(JobSteps[Output].events)
    wait = call(JobSteps[Output].wait)
    results = reading(JobSteps[Output].results)
    result = call(JobSteps[Output].result)
    errors = reading(JobSteps[Output].errors)
    to_pandas = call(JobSteps[Output].to_pandas)
    to_numpy = call(JobSteps[Output].to_numpy)
    output_fields = call(JobSteps[Output].output_fields)
    ids = call(JobSteps[Output].ids)
    stream = reading(JobSteps[Output].stream)
    result_lines = reading(JobSteps[Output].result_lines)
    results_by_now = call(JobSteps[Output].results_by_now)
    merged_results = reading(JobSteps[Output].merged_results)
    has_checkpoint = call(JobSteps[Output].has_checkpoint)
    pause = call(JobSteps[Output].pause)
    resume = call(JobSteps[Output].resume)
    remove = call(JobSteps[Output].remove)
    cancel = call(JobSteps[Output].cancel)
    let_go = call(JobSteps[Output].let_go)
    give_up = call(JobSteps[Output].give_up)
    fail = call(JobSteps[Output].fail)
    uploaded = call(JobSteps[Output].uploaded)
    close = call(JobSteps[Output].close)
    rejection = call(JobSteps[Output].rejection)


class JobHandle(Blocking, JobMethods[Output]):
    """A job in the ledger; for type checkers `JobHandle[Classification]` and the like.

    Whatever reads the job waits for a Redis that has gone away, and goes on where it was. After
    `SEQD_OUTAGE_S` seconds it raises JobOutOfReach: the job goes on by itself. An iterator that one
    of the methods returns can be closed, from another thread, too: it ends within two seconds.
    """

    _transport: "Transport"

    def to_arrow(self, **options: Unpack[PageOptions]) -> "pyarrow.RecordBatchReader":
        """Return a reader of the results as record batches of Arrow, as they come.

        That of `AsyncClient` is an asynchronous iterator of the batches.
        It has one row a result (of a generation, a sample), with the columns of the output,
        `error_code` and `error_message`; those of a plugin's own task are its `output_fields`. No
        more than a batch is held: 4,096 rows, or 8 million characters and bytes of vectors. It
        takes, and raises, what `results` does. Raises LibraryMissing without pyarrow
        (`pip install 'seqd[frames]'`).
        """
        from seqd.client.tables import arrow_reader

        batches = self._transport.read(self.steps.record_batches(**options))
        return arrow_reader(self._transport.run(self.steps.table()), batches)

    def trained_version(
        self: "JobHandle[TrainedVersion]",
        timeout_s: float | None = None,
        **options: Unpack[WaitOptions],
    ) -> TrainedVersion:
        """Wait for the end of a training; return the version that it made, with its metrics.

        Raises what `wait` does, and InvalidRequest for a job of another kind.
        """
        return self._transport.run(self.steps.trained_version(timeout_s, **options))

    def continuation(self) -> "JobHandle[Output] | None":
        """Return the job that continues this one; None without one, or when it has been removed.

        Raises UnknownJob where this job, or the one that continues it, is not kept any more.
        """
        found = self._transport.run(self.steps.continuation())
        return None if found is None else JobHandle(self._transport, found)

    def origin(self) -> "JobHandle[Output]":
        """Return the first job of those that this one continues; of no others, this one.

        Its `merged_results` are those of the whole. A job that has been removed, with those in
        front of it, is left out; raises UnknownJob for one that is not kept any more.
        """
        return JobHandle(self._transport, self._transport.run(self.steps.origin()))


class AsyncJobHandle(Awaiting, JobMethods[Output]):
    """A job in the ledger; for type checkers `AsyncJobHandle[Classification]` and the like.

    Methods that wait are coroutines, those that read give asynchronous iterators. Any number of
    tasks may wait for jobs: all of them share one connection. Cancelling one leaves the job alone.
    Whatever reads the job waits for a Redis that has gone away, and goes on where it was. After
    `SEQD_OUTAGE_S` seconds it raises JobOutOfReach: the job goes on by itself.
    """

    _transport: "AsyncTransport"

    @told_as(JobHandle.to_arrow)
    def to_arrow(self, **options: Unpack[PageOptions]) -> "AsyncStream[pyarrow.RecordBatch]":
        """Return a reader of the results as record batches of Arrow, as they come."""
        return self._transport.read(self.steps.record_batches(**options))

    @told_as(JobHandle.trained_version)
    async def trained_version(
        self: "AsyncJobHandle[TrainedVersion]",
        timeout_s: float | None = None,
        **options: Unpack[WaitOptions],
    ) -> TrainedVersion:
        """Wait for the end of a training; return the version that it made, with its metrics."""
        return await self._transport.run(self.steps.trained_version(timeout_s, **options))

    @told_as(JobHandle.continuation)
    async def continuation(self) -> "AsyncJobHandle[Output] | None":
        """Return the job that continues this one; None without one, or when it has been removed."""
        found = await self._transport.run(self.steps.continuation())
        return None if found is None else AsyncJobHandle(self._transport, found)

    @told_as(JobHandle.origin)
    async def origin(self) -> "AsyncJobHandle[Output]":
        """Return the first job of those that this one continues; of no others, this one."""
        return AsyncJobHandle(self._transport, await self._transport.run(self.steps.origin()))


#: The names under which `seqd.client` offers them too: `Job[Classification]`.
Job = JobHandle
AsyncJob = AsyncJobHandle


@dataclass(eq=False)
class EndedMethods(Generic[Output]):
    """A job that has ended, and how, for both clients."""

    handle: Any
    state: JobState
    _blob: bytes | None = None

    def __post_init__(self) -> None:
        self._transport = self.handle._transport

    @property
    def job_id(self) -> str:
        """The job's identifier."""
        return str(self.handle.job_id)

    @reading
    def results(self) -> "Reading[Result[Output]]":
        """Read the results in input order, as the handle's `results` does and raises.

        Those of a completed job of one unit, as one review is, are here already.
        """
        steps: JobSteps[Output] = self.handle.steps
        return steps.results() if self._blob is None else _given(steps.reader, self._blob)


class EndedJob(Blocking, EndedMethods[Output]):
    """A job that has ended, and how."""

    handle: JobHandle[Output]


class AsyncEndedJob(Awaiting, EndedMethods[Output]):
    """A job that has ended, and how."""

    handle: AsyncJobHandle[Output]


def _given(reader: OutputReader[Output], blob: bytes) -> "Reading[Result[Output]]":
    yield Give(map(reader, unpack_results(blob)))

"""`JobHandle`: follow a job, wait for it, read its results, cancel or pause it.

A handle keeps no state of its own beyond its upload: any number of handles, in any process,
can stand for one job (`Client.job`).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from seqd.client.requests import has_its_input
from seqd.client.results import ResultReader, merged_results, results_by_now
from seqd.client.waiting import WaitingNotice, with_waiting
from seqd.errors import (
    InvalidRequest,
    JobCancelled,
    JobExpired,
    JobFailed,
    JobOutOfReach,
    RedisUnreachable,
    UnknownJob,
)
from seqd.ledger import Ledger
from seqd.ledger.blobs import ResultLine
from seqd.ledger.jobs import EventsGone
from seqd.ledger.outage import waiting_at_most
from seqd_schemas import ItemFailure, ItemSuccess, JobRecord, JobState

if TYPE_CHECKING:
    from seqd.client.streaming import StreamedText
    from seqd.client.upload import Upload
    from seqd_schemas import Event, Missed, Rejected

#: Seconds after which a waiting handle looks whether its own upload has failed.
LONGEST_WAIT_S = 2.0


class JobHandle:
    """A job in the ledger.

    Whatever reads the job waits for a Redis that has gone away, and goes on where it was. After
    `SEQD_OUTAGE_S` seconds it raises JobOutOfReach: the job goes on by itself.
    """

    def __init__(
        self, ledger: Ledger, job_id: str, upload: "Upload | None" = None, *, durable: bool = False
    ) -> None:
        #: The job's identifier; `Client.job` makes a new handle from it, anywhere.
        self.job_id = job_id
        #: True when the server has said that the job is on its disk; see `JobOptions.durable`.
        self.durable = durable
        self._ledger = ledger
        self._upload = upload

    @cached_property
    def notice(self) -> WaitingNotice:
        """What tells, once for all that wait here, why the job waits."""
        return WaitingNotice(self._ledger)

    def __repr__(self) -> str:
        return f"JobHandle({self.job_id!r})"

    def record(self) -> JobRecord:
        """Read the job as it is now.

        Raises UnknownJob when it is not kept (any more), and JobFailed with the reason when
        the inbox rejected it, so that there is no record.
        """
        with self._in_reach():
            try:
                return with_waiting(self._ledger, [self._ledger.jobs.get(self.job_id)])[0]
            except UnknownJob:
                rejected = self.rejection()
                if rejected is None:
                    raise
        raise JobFailed(self.job_id, rejected.failure)

    def events(self, after: str = "0-0") -> "Iterator[Event]":
        """Follow the job: events behind stream id `after`, live, up to the terminal one.

        The stream is bounded. Of a long job steps and progress go when a thousand events have come
        behind them; epochs, samples and all others stay, the last thousand at least. Where some are
        gone behind `after`, a `missed` event says so first. Raises UnknownJob.
        """
        with self._in_reach():
            yield from self._events(after)

    def _events(self, after: str) -> "Iterator[Event]":
        from seqd_schemas import TERMINAL_EVENTS

        # There may be no event to wait for any more: look before waiting.
        block, is_told = False, False
        while True:
            events, gone = self._ledger.jobs.follow(self.job_id, after, block=block)
            # Of steps and progress once: whoever is so far behind misses some again and again.
            if gone.has_lasting(after) or (gone.has_passing(after) and not is_told):
                is_told = True
                yield _missed(self.job_id, after, gone)
            for event in events:
                after = event.id
                yield event
                if event.event in TERMINAL_EVENTS:
                    return
            if not events:
                self._raise_upload_error()
                if not block and after == "0-0" and not self._ledger.jobs.exists(self.job_id):
                    block = True  # it may be on its way through the inbox
                    continue
                record = self.record()
                self.notice.look(record)
                if record.state.is_terminal:
                    # The terminal event came between the two reads, or is behind `after`.
                    yield from self._ledger.jobs.events(self.job_id, after, block=False)
                    return
                block = True

    def wait(self, timeout_s: float | None = None) -> JobRecord:
        """Wait for the end of the job, without polling; returns its record.

        Raises JobFailed with the reason, JobCancelled, JobExpired, TimeoutError after `timeout_s`
        seconds, and what the input's own iterable raised.
        """
        limit_s = inf if timeout_s is None else timeout_s
        deadline = monotonic() + limit_s
        try:
            with waiting_at_most(limit_s):
                return self._wait(limit_s, deadline)
        except RedisUnreachable as error:
            if monotonic() < deadline:
                raise self.out_of_reach(error) from error
            raise TimeoutError(
                f"Job {self.job_id} could not be looked at after {timeout_s:g} s: {error}"
            ) from error

    def _wait(self, timeout_s: float, deadline: float) -> JobRecord:
        after = self._ledger.jobs.last_event_id(self.job_id)
        while not (record := self.record()).state.is_terminal:
            self._raise_upload_error()
            self.notice.look(record)
            left_s = deadline - monotonic()
            if left_s <= 0:
                why = "" if record.waiting is None else f" It waits: {record.waiting.message}"
                raise TimeoutError(
                    f"Job {self.job_id} is {record.state} after {timeout_s:g} s, with "
                    f"{record.counts.done:,} of {record.counts.total:,} {things_of(record)} done."
                    f"{why}"
                )
            wait_s = min(left_s, LONGEST_WAIT_S)
            for event in self._ledger.jobs.events(self.job_id, after, longest_wait_s=wait_s):
                after = event.id
        self._settle(deadline - monotonic(), timeout_s)
        return _ended_well(record)

    def results(self) -> Iterator[ItemSuccess | ItemFailure]:
        """Read the results in input order, each as soon as it and all before it are there.

        Items that a cancel or a failure of the job left undone come as errors with the code
        `cancelled`, those of a job whose time ran out with `expired`. After the last one, raises
        JobFailed when the job as a whole failed, and what the input's own iterable raised.
        """
        for line in self.result_lines():
            yield line.result

    def stream(self) -> "Iterator[StreamedText]":
        """Yield the texts of a generation while they are written, those of all items at once.

        The deltas of a sample come in order and have each of its characters once, also when a
        worker was killed half-way; the last one has the whole sample as `finished`. An item that
        failed yields one entry with its `error`. Live for a job that was sent with `stream`; texts
        of any other come when their unit is done. Ends, and raises, as `results` does.
        """
        kind = self.record().kind
        if kind != "generate":
            raise InvalidRequest(
                f"Job {self.job_id} is a job of kind {kind}: it writes no texts. `generate` does."
            )
        from seqd.client.streaming import StreamReader

        with self._in_reach():
            self._settle()
            yield from StreamReader(
                self._ledger, self.job_id, self._raise_upload_error, self.notice
            )
        self._raise_if_failed()

    def result_lines(self) -> Iterator[ResultLine]:
        """Read what `results` gives, each with its JSON: what a file of results holds."""
        if self.record().kind == "train":
            raise InvalidRequest(
                f"Job {self.job_id} is a training: it has no items. Read `wait().training`."
            )
        with self._in_reach():
            yield from self._lines()
            self._settle()
        self._raise_if_failed()

    def results_by_now(self) -> dict[str, ItemSuccess | ItemFailure]:
        """Return a sweep's results that are there, by `custom_id`, in order; waits for none.

        Raises InvalidRequest for a job of another kind: its results may be too many to hold.
        """
        record = self.record()
        if record.kind != "sweep":
            raise InvalidRequest(
                f"Job {self.job_id} is a job of kind {record.kind}, no sweep. Read `results()`."
            )
        with self._in_reach():
            return results_by_now(self._ledger, record)

    def merged_results(self) -> Iterator[ItemSuccess | ItemFailure]:
        """Read the results with those of later retries in the place of the errors they answer.

        Waits for a retry that still runs. In input order, as `results`.
        """
        first = self._all_results()
        retry = self.continuation()
        return first if retry is None else merged_results(first, retry.merged_results())

    def _all_results(self) -> Iterator[ItemSuccess | ItemFailure]:
        """Read the results, also those of a job that failed as a whole."""
        with self._in_reach():
            for line in self._lines():
                yield line.result

    def continuation(self) -> "JobHandle | None":
        """Return the job that continues this one; None without one, or when it has been removed.

        Raises UnknownJob when it is not kept any more, so that both cannot be read as one.
        """
        other = self.record().continued_by
        if other is None:
            return None
        if not self._ledger.jobs.exists(other):
            raise _half_of_a_whole(gone=other, kept=self.job_id, verb="continues")
        return JobHandle(self._ledger, other)

    def origin(self) -> "JobHandle":
        """Return the first job of those that this one continues; of no others, this one.

        Its `merged_results` are those of the whole. A job that has been removed, with those in
        front of it, is left out; raises UnknownJob for one that is not kept any more.
        """
        found = self
        while (earlier := found._continued()) is not None:
            found = earlier
        return found

    def has_checkpoint(self) -> bool:
        """True when a training, or one of those that it continues, has saved a checkpoint."""
        found: JobHandle | None = self
        with suppress(UnknownJob):  # of a job that is not kept, nothing is
            while found is not None:
                if self._ledger.checkpoints.of(found.job_id):
                    return True
                found = found._continued()
        return False

    def pause(self) -> JobState:
        """Let no further unit be begun, with or without a worker up; returns the state afterwards.

        Units that are being worked on are finished; a training stops at a checkpoint. Input
        may still be sent, and the job may still expire. A job that had ended stays as it is.
        """
        return self._ledger.control.pause(self.job_id)

    def resume(self) -> JobState:
        """Let the paused job go on; returns its state afterwards.

        A job that is not paused stays as it is, also one that has ended: its state says so,
        where `Client.resume` raises WrongState for what cannot be resumed.
        """
        return self._ledger.control.resume(self.job_id)

    def remove(self) -> None:
        """Forget the ended job with its results and events.

        Raises UnknownJob, and WrongState while it, or a job that continues it, has not ended.
        """
        self._ledger.control.remove(self.job_id)

    def cancel(self) -> JobState:
        """Cancel the job, with or without a worker up; returns its state afterwards.

        Units that are being worked on are not committed any more; what was stays readable. A
        job that had ended keeps its state.
        """
        if self._upload is not None:
            self._upload.give_up()
        return self._ledger.control.cancel(self.job_id)

    def give_up(self, error: BaseException) -> None:
        """Fail the job if its input is not complete yet; `error` is why it never will be."""
        if self._upload is not None:
            self._upload.give_up(error)

    def close(self) -> None:
        """Wait until the input is complete or the job has ended.

        Raises IdempotencyConflict when it turned out to be another job's, and nothing else has
        raised that.
        """
        if self._upload is not None:
            self._upload.join()
            self._upload.raise_untold_conflict()

    @property
    def is_uploading(self) -> bool:
        """True while this handle's input is on its way, or a conflict of it is to be told."""
        upload = self._upload
        return upload is not None and (upload.is_running or upload.has_untold_conflict)

    def rejection(self) -> "Rejected | None":
        """Return the inbox's refusal of a job that another program handed in, if there is one."""
        from seqd_schemas import Rejected

        events = self._ledger.jobs.events(self.job_id, block=False)
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

    @contextmanager
    def _in_reach(self) -> Iterator[None]:
        try:
            yield
        except RedisUnreachable as error:
            raise self.out_of_reach(error) from error

    def _continued(self) -> "JobHandle | None":
        """Return the job that this one continues, if there is one that nobody has removed."""
        earlier_id = self._ledger.jobs.continued(self.job_id)
        if earlier_id is None:
            return None
        earlier = JobHandle(self._ledger, earlier_id)
        # Else another job has its identifier by now; this also ends a circle of such jobs.
        is_kept = self._ledger.jobs.exists(earlier_id)
        if not is_kept or earlier.record().continued_by != self.job_id:
            raise _half_of_a_whole(gone=earlier_id, kept=self.job_id, verb="is continued by")
        return earlier

    def _lines(self) -> Iterator[ResultLine]:
        """Yield results; of a job of another sender only those of items known to be the same."""
        reader = ResultReader(self._ledger, self.job_id, self._raise_upload_error, self.notice)
        for number, line in enumerate(reader, start=1):
            if self._upload is not None:
                self._upload.wait_until_compared(number)
            yield line

    def _settle(self, left_s: float | None = None, timeout_s: float | None = None) -> None:
        """Wait until the input is known to be that of the job, where another sender owns it."""
        if self._upload is None:
            return
        wait_s = None if left_s is None or left_s == inf else max(0.0, left_s)
        if not self._upload.wait_until_compared(None, wait_s):
            raise TimeoutError(
                f"Job {self.job_id} has ended, and after {timeout_s or 0:g} s it is not known yet "
                "whether it had the input that was handed in here: that goes on."
            )

    def _raise_if_failed(self) -> None:
        self._raise_upload_error()
        record = self.record()
        if record.state is JobState.FAILED:
            _ended_well(record)

    def _raise_upload_error(self) -> None:
        if self._upload is not None:
            self._upload.raise_error()


def _missed(job_id: str, after: str, gone: EventsGone) -> "Missed":
    from seqd_schemas import Missed

    lasting = gone.has_lasting(after)
    # The milliseconds of a stream id are the time of its event.
    at_ms = int((gone.before if lasting else gone.passing).partition("-")[0])
    return Missed(id=after, job_id=job_id, at_ms=at_ms, lasting=lasting)


def _half_of_a_whole(*, gone: str, kept: str, verb: str) -> UnknownJob:
    return UnknownJob(
        f"Job {gone}, which {verb} {kept}, is not kept any more, so the results of both cannot be "
        f"read as one. Those that are left: seqd jobs results {kept}"
    )


def expiry_of(record: JobRecord) -> str:
    """Say of an expired job when that was, how far it had come, and how to continue it."""
    job_id, counts = record.job_id, record.counts
    expired = f"Job {job_id} expired after {record.job.expires_in_s or 0:,} s"
    if record.kind == "train":
        said, rest = f"{expired}, before it had made a version.", f"seqd jobs resume {job_id}"
    else:
        said = f"{expired} with {counts.done:,} of {counts.total:,} {things_of(record)} done."
        rest = f"seqd jobs retry {job_id}"
    if not has_its_input(record):
        return f"{said} Its input was not complete by then: hand it in again with more time."
    return f"{said} The rest: {rest}"


def things_of(record: JobRecord) -> str:
    """Name what a job counts, of several."""
    return "combinations" if record.kind == "sweep" else "items"


def _ended_well(record: JobRecord) -> JobRecord:
    if record.state is JobState.EXPIRED:
        raise JobExpired(expiry_of(record))
    if record.failure is not None:
        raise JobFailed(record.job_id, record.failure)
    if record.state is JobState.CANCELLED:
        done, total = record.counts.done, record.counts.total
        how_far = (
            "before it had made a version."
            if record.kind == "train"
            else f"with {done:,} of {total:,} {things_of(record)} done; their results stay "
            "readable."
        )
        raise JobCancelled(f"Job {record.job_id} was cancelled {how_far}")
    return record

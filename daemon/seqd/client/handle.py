"""`JobHandle`: follow a job, wait for it, read its results, cancel or pause it.

A handle keeps no state of its own beyond its upload: any number of handles, in any process,
can stand for one job (`Client.job`).
"""

from typing import TYPE_CHECKING, Any, Generic, Unpack

from seqd.client.faces import Blocking, call, reading
from seqd.client.job_steps import JobSteps, Result
from seqd.client.pages import PageOptions, ReadOptions
from seqd.client.waiting import WaitingNotice, WaitOptions
from seqd.errors import JobOutOfReach, RedisUnreachable
from seqd.ledger.activity import JobActivity
from seqd.ledger.blobs import ResultLine
from seqd.ledger.exchange import Exchange, Reading
from seqd.ledger.transport import Transport
from seqd_schemas import ItemFailure, JobRecord, JobState, Output, TrainedVersion

if TYPE_CHECKING:
    import numpy
    import pandas
    import pyarrow
    from numpy.typing import NDArray

    from seqd.client.output_fields import OutputField
    from seqd.client.streaming import StreamedText
    from seqd_schemas import Event, Rejected


class JobMethods(Generic[Output]):
    """What the handles of both clients have."""

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
    def notice(self) -> WaitingNotice:
        """What tells, once for all that wait here, why the job waits."""
        return self.steps.notice

    @property
    def is_uploading(self) -> bool:
        """True while this handle's input is on its way, or a conflict of it is to be told."""
        return self.steps.is_uploading

    @call
    def record(self) -> "Exchange[JobRecord]":
        """Read the job as it is now.

        Raises UnknownJob when it is not kept (any more), and JobFailed with the reason when
        the inbox rejected it, so that there is no record.
        """
        return self.steps.record()

    @call
    def activity(self) -> "Exchange[JobActivity]":
        """Read who works on the job, how often its units were claimed, and how fast it goes.

        Raises what `record` does.
        """
        return self.steps.activity()

    @reading
    def events(
        self,
        after: str = "0-0",
        *,
        timeout_s: float | None = None,
        **options: Unpack[WaitOptions],
    ) -> "Reading[Event]":
        """Follow the job: events behind stream id `after`, live, up to the terminal one.

        The stream is bounded. Of a long job steps and progress go when a thousand events have come
        behind them; epochs, samples and all others stay, the last thousand at least. Where some are
        gone behind `after`, a `missed` event says so first. Raises UnknownJob, TimeoutError after
        `timeout_s` seconds without the end of the job, and NoWorker as `wait` does.
        """
        return self.steps.events(after, timeout_s, options)

    @call
    def wait(
        self, timeout_s: float | None = None, **options: Unpack[WaitOptions]
    ) -> "Exchange[JobRecord]":
        """Wait for the end of the job, without polling; returns its record.

        Raises JobFailed with the reason, JobCancelled, JobExpired, TimeoutError after `timeout_s`
        seconds, and what the input's own iterable raised. Where no worker that is up can run the
        job, a line in the log says so, with the reason, and `on_waiting` is called with it, once
        each; after `no_worker_timeout_s` seconds without one, NoWorker is raised.
        """
        return self.steps.wait(timeout_s, options)

    @reading
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
        `seqd.client.pages.begin`. NoWorker as `wait` does.
        """
        return self.steps.results(options)

    @call
    def result(self, custom_id: str, **options: Unpack[ReadOptions]) -> "Exchange[Result[Output]]":
        """Return the result of one item, when it is there.

        One that was given no `custom_id` is looked up at its place: `row-17` is the seventeenth. Of
        others all results in front are read. Raises UnknownItem when the job has no such item, or,
        with `wait=False`, when its result is not among those that are there.
        """
        return self.steps.result(custom_id, options)

    @reading
    def errors(self, **options: Unpack[ReadOptions]) -> "Reading[ItemFailure]":
        """Read the results that are errors, in input order; ends, and raises, as `results` does.

        Of a job that has ended no more is read than up to its last error.
        """
        return self.steps.errors(options)

    @call
    def to_pandas(self, **options: Unpack[PageOptions]) -> "Exchange[pandas.DataFrame]":
        """Return the results as a data frame with the columns of `to_arrow`; holds all of them.

        Raises LibraryMissing without pandas.
        """
        return self.steps.frame(options)

    @call
    def to_numpy(
        self, field: str = "vector", **options: Unpack[PageOptions]
    ) -> "Exchange[NDArray[numpy.float32]]":
        """Return the vectors of a plugin's own task as one matrix of float32: items, dimensions.

        Rows are in input order; `ids()` names their items. The row of an item with an error is NaN
        all over. Allocated once, where the input is complete and the schema has the dimensions.
        Takes, and raises, what `results` does. Raises InvalidRequest for a `field` that is no
        vector, and OutputMismatch where the vectors have different lengths.
        """
        return self.steps.matrix(field, options)

    @call
    def output_fields(self) -> "Exchange[tuple[OutputField, ...] | None]":
        """Return the fields of a plugin's own output; None of a job of another kind.

        They are the columns of its tables, and those of type `vector` what `to_numpy` takes.
        """
        return self.steps.output_fields()

    @call
    def ids(self, **options: Unpack[PageOptions]) -> "Exchange[list[str]]":
        """Return the `custom_id` of each result in input order: of the rows of `to_numpy`.

        Reads the results, as `results` does.
        """
        return self.steps.ids(options)

    @reading
    def stream(self, **options: Unpack[WaitOptions]) -> "Reading[StreamedText]":
        """Yield texts while they are written, those of all items at once.

        The deltas of a sample come in order and have each of its characters once, also when a
        worker was killed half-way; the last one has the whole sample as `finished`, or of a
        plugin's own task the item's output as `output`. An item that failed yields one entry with
        its `error`. Live for a job that was sent with `stream`; texts
        of any other come when their unit is done. Ends, and raises, as `results` does.
        """
        return self.steps.stream(options)

    @reading
    def result_lines(self, **options: Unpack[PageOptions]) -> "Reading[ResultLine]":
        """Read what `results` gives, each with its JSON: what a file of results holds."""
        return self.steps.result_lines(options)

    @call
    def results_by_now(self) -> "Exchange[dict[str, Result[Output]]]":
        """Return a sweep's results that are there, by `custom_id`, in order; waits for none.

        Raises InvalidRequest for a job of another kind: its results may be too many to hold.
        """
        return self.steps.results_by_now()

    @reading
    def merged_results(self) -> "Reading[Result[Output]]":
        """Read the results with those of later retries in the place of the errors they answer.

        Waits for a retry that still runs. In input order, as `results`. Ask the first job: a retry
        has the items that it was given alone.
        """
        return self.steps.merged_results()

    @call
    def has_checkpoint(self) -> "Exchange[bool]":
        """True when a training, or one of those that it continues, has saved a checkpoint."""
        return self.steps.has_checkpoint()

    @call
    def pause(self) -> "Exchange[JobState]":
        """Let no further unit be begun, with or without a worker up; returns the state afterwards.

        Units that are being worked on are finished; a training stops at a checkpoint. Input
        may still be sent, and the job may still expire. A job that had ended stays as it is.
        """
        return self.steps.pause()

    @call
    def resume(self) -> "Exchange[JobState]":
        """Let the paused job go on; returns its state afterwards.

        A job that is not paused stays as it is, also one that has ended: its state says so,
        where `Client.resume` raises WrongState for what cannot be resumed.
        """
        return self.steps.resume()

    @call
    def remove(self) -> "Exchange[None]":
        """Forget the ended job with its results and events.

        Raises UnknownJob, and WrongState while it, or a job that continues it, has not ended.
        """
        return self.steps.remove()

    @call
    def cancel(self) -> "Exchange[JobState]":
        """Cancel the job, with or without a worker up; returns its state afterwards.

        Units that are being worked on are not committed any more; what was stays readable. A
        job that had ended keeps its state.
        """
        return self.steps.cancel()

    @call
    def let_go(self, wait_s: float = 0.0) -> "Exchange[None]":
        """Send no more of the input after `wait_s` seconds, and leave the job as it is.

        One that lacks input waits for a client that sends the same input again, with the job's
        identifier or idempotency key: SEQD_ABANDONED_UPLOAD_S seconds, after which it fails.
        """
        return self.steps.let_go(wait_s)

    @call
    def give_up(self, error: BaseException) -> "Exchange[None]":
        """Fail the job if its input is not complete yet; `error` is why it never will be."""
        return self.steps.give_up(error)

    @call
    def fail(self, error: Exception) -> "Exchange[None]":
        """Fail the job, also one that has all of its input; `error` says why.

        A job that had ended keeps its state.
        """
        return self.steps.fail(error)

    @call
    def uploaded(self) -> "Exchange[None]":
        """Wait until all of the input is in the ledger, or the job has ended.

        Until then the input must stay open: a job's own thread, or task, reads it. Raises what the
        input's own iterable raised, IdempotencyConflict when it turned out to be another job's, and
        RedisUnreachable. Whoever is cancelled or interrupted here takes the input along: the job
        fails, unless it has all of it.
        """
        return self.steps.uploaded()

    @call
    def close(self) -> "Exchange[None]":
        """Wait until the input is complete or the job has ended.

        Raises IdempotencyConflict when it turned out to be another job's, and nothing else has
        raised that.
        """
        return self.steps.close()

    @call
    def rejection(self) -> "Exchange[Rejected | None]":
        """Return the inbox's refusal of a job that another program handed in, if there is one."""
        return self.steps.rejection()

    def out_of_reach(self, error: RedisUnreachable) -> JobOutOfReach:
        """Return the error for a Redis that was away for too long, with how to go on."""
        return self.steps.out_of_reach(error)


class JobHandle(Blocking, JobMethods[Output]):
    """A job in the ledger; for type checkers `JobHandle[Classification]` and the like.

    Whatever reads the job waits for a Redis that has gone away, and goes on where it was. After
    `SEQD_OUTAGE_S` seconds it raises JobOutOfReach: the job goes on by itself. An iterator that one
    of the methods returns can be closed, from another thread, too: it ends within two seconds.
    """

    _transport: Transport

    def to_arrow(self, **options: Unpack[PageOptions]) -> "pyarrow.RecordBatchReader":
        """Return a reader of the results as record batches of Arrow, as they come.

        It has one row a result (of a generation, a sample), with the columns of the output,
        `error_code` and `error_message`; those of a plugin's own task are its `output_fields`. No
        more than a batch is held: 4,096 rows, or 8 million characters and bytes of vectors. It
        takes, and raises, what `results` does. Raises LibraryMissing without pyarrow
        (`pip install 'seqd[frames]'`).
        """
        from seqd.client.frames import arrow_reader

        batches = self._transport.read(self.steps.record_batches(options))
        return arrow_reader(self._transport.run(self.steps.table()), batches)

    def trained_version(
        self: "JobHandle[TrainedVersion]",
        timeout_s: float | None = None,
        **options: Unpack[WaitOptions],
    ) -> TrainedVersion:
        """Wait for the end of a training; return the version that it made, with its metrics.

        Raises what `wait` does, and InvalidRequest for a job of another kind.
        """
        return self._transport.run(self.steps.trained_version(timeout_s, options))

    def continuation(self) -> "JobHandle[Output] | None":
        """Return the job that continues this one; None without one, or when it has been removed.

        Raises UnknownJob when it is not kept any more, so that both cannot be read as one.
        """
        found = self._transport.run(self.steps.continuation())
        return None if found is None else JobHandle(self._transport, found)

    def origin(self) -> "JobHandle[Output]":
        """Return the first job of those that this one continues; of no others, this one.

        Its `merged_results` are those of the whole. A job that has been removed, with those in
        front of it, is left out; raises UnknownJob for one that is not kept any more.
        """
        return JobHandle(self._transport, self._transport.run(self.steps.origin()))


#: The name under which `seqd.client` offers it too: `Job[Classification]`.
Job = JobHandle

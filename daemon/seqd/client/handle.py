"""`JobHandle`: follow a job, wait for it, read its results, cancel or pause it.

A handle keeps no state of its own beyond its upload: any number of handles, in any process,
can stand for one job (`Client.job`).
"""

from typing import TYPE_CHECKING, Any, ClassVar, Generic, Unpack

from seqd.client.faces import Blocking, call, reading
from seqd.client.job_steps import JobSteps
from seqd.client.pages import PageOptions
from seqd.client.waiting import WaitOptions
from seqd.ledger.transport import Transport
from seqd_schemas import Output, TrainedVersion

if TYPE_CHECKING:
    import pyarrow


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

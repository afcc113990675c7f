"""`AsyncJobHandle`: what `JobHandle` is, for asyncio."""

from typing import TYPE_CHECKING, Generic, TypeVar, Unpack

from seqd.client.job_steps import JobSteps, Result
from seqd.client.pages import PageOptions, ReadOptions
from seqd.client.waiting import WaitingNotice, WaitOptions
from seqd.errors import JobOutOfReach, RedisUnreachable
from seqd.ledger.activity import JobActivity
from seqd.ledger.async_transport import AsyncStream, AsyncTransport
from seqd.ledger.blobs import ResultLine
from seqd.ledger.exchange import Reading
from seqd_schemas import ItemFailure, JobRecord, JobState, Output, TrainedVersion

if TYPE_CHECKING:
    import numpy
    import pandas
    import pyarrow
    from numpy.typing import NDArray

    from seqd.client.output_fields import OutputField
    from seqd.client.streaming import StreamedText
    from seqd_schemas import Event, Rejected

V = TypeVar("V")


class AsyncJobHandle(Generic[Output]):
    """A job in the ledger, as a `JobHandle` is, and with the same methods.

    Those that wait are coroutines, those that read give asynchronous iterators. Any number of tasks
    may wait for jobs: all of them share one connection. Cancelling one leaves the job alone.
    """

    def __init__(
        self, transport: AsyncTransport, steps: JobSteps[Output], *, durable: bool = False
    ) -> None:
        #: The job's identifier; `AsyncClient.job` makes a new handle from it, anywhere.
        self.job_id = steps.job_id
        #: True when the server has said that the job is on its disk; see `JobOptions.durable`.
        self.durable = durable
        #: What the handle does, as exchanges.
        self.steps = steps
        self._transport = transport

    def __repr__(self) -> str:
        return f"AsyncJobHandle({self.job_id!r})"

    @property
    def notice(self) -> WaitingNotice:
        """What tells, once for all that wait here, why the job waits."""
        return self.steps.notice

    @property
    def is_uploading(self) -> bool:
        """True while this handle's input is on its way, or a conflict of it is to be told."""
        return self.steps.is_uploading

    async def record(self) -> JobRecord:
        """Read the job as it is now. See `JobHandle.record`."""
        return await self._transport.run(self.steps.record())

    async def activity(self) -> JobActivity:
        """Read who works on the job; see `JobHandle.activity`."""
        return await self._transport.run(self.steps.activity())

    def events(
        self,
        after: str = "0-0",
        *,
        timeout_s: float | None = None,
        **options: Unpack[WaitOptions],
    ) -> "AsyncStream[Event]":
        """Follow the job: events behind stream id `after`, live, up to the terminal one.

        See `JobHandle.events`.
        """
        return self._transport.read(self.steps.events(after, timeout_s, options))

    async def wait(
        self, timeout_s: float | None = None, **options: Unpack[WaitOptions]
    ) -> JobRecord:
        """Wait for the end of the job, without polling; returns its record.

        See `JobHandle.wait`.
        """
        return await self._transport.run(self.steps.wait(timeout_s, options))

    def results(self, **options: Unpack[PageOptions]) -> "AsyncStream[Result[Output]]":
        """Read the results in input order, each as soon as it and all before it are there.

        See `JobHandle.results`.
        """
        return self._transport.read(self.steps.results(options))

    async def result(self, custom_id: str, **options: Unpack[ReadOptions]) -> "Result[Output]":
        """Return the result of one item, when it is there. See `JobHandle.result`."""
        return await self._transport.run(self.steps.result(custom_id, options))

    def errors(self, **options: Unpack[ReadOptions]) -> AsyncStream[ItemFailure]:
        """Read the results that are errors, in input order. See `JobHandle.errors`."""
        return self._transport.read(self.steps.errors(options))

    def to_arrow(self, **options: Unpack[PageOptions]) -> "AsyncStream[pyarrow.RecordBatch]":
        """Read the results as record batches of Arrow. See `JobHandle.to_arrow`."""
        return self._transport.read(self.steps.record_batches(options))

    async def to_pandas(self, **options: Unpack[PageOptions]) -> "pandas.DataFrame":
        """Return the results as a data frame of pandas. See `JobHandle.to_pandas`."""
        return await self._transport.run(self.steps.frame(options))

    async def to_numpy(
        self, field: str = "vector", **options: Unpack[PageOptions]
    ) -> "NDArray[numpy.float32]":
        """Return the vectors of a plugin's own task as one matrix. See `JobHandle.to_numpy`."""
        return await self._transport.run(self.steps.matrix(field, options))

    async def output_fields(self) -> "tuple[OutputField, ...] | None":
        """Return the fields of a plugin's own output. See `JobHandle.output_fields`."""
        return await self._transport.run(self.steps.output_fields())

    async def ids(self, **options: Unpack[PageOptions]) -> list[str]:
        """Return the `custom_id` of each result in input order. See `JobHandle.ids`."""
        return await self._transport.run(self.steps.ids(options))

    async def trained_version(
        self: "AsyncJobHandle[TrainedVersion]",
        timeout_s: float | None = None,
        **options: Unpack[WaitOptions],
    ) -> TrainedVersion:
        """Wait for the end of a training; return the version that it made, with its metrics.

        See `JobHandle.trained_version`.
        """
        return await self._transport.run(self.steps.trained_version(timeout_s, options))

    def stream(self, **options: Unpack[WaitOptions]) -> "AsyncStream[StreamedText]":
        """Yield texts while they are written, those of all items at once.

        See `JobHandle.stream`.
        """
        return self._transport.read(self.steps.stream(options))

    def result_lines(self, **options: Unpack[PageOptions]) -> AsyncStream[ResultLine]:
        """Read what `results` gives, each with its JSON: what a file of results holds.

        See `JobHandle.result_lines`.
        """
        return self._transport.read(self.steps.result_lines(options))

    async def results_by_now(self) -> "dict[str, Result[Output]]":
        """Return a sweep's results that are there, by `custom_id`, in order; waits for none.

        See `JobHandle.results_by_now`.
        """
        return await self._transport.run(self.steps.results_by_now())

    def merged_results(self) -> "AsyncStream[Result[Output]]":
        """Read the results with those of later retries in the place of the errors they answer.

        See `JobHandle.merged_results`.
        """
        return self.read(self.steps.merged_results())

    async def continuation(self) -> "AsyncJobHandle[Output] | None":
        """Return the job that continues this one; None without one, or when it has been removed.

        See `JobHandle.continuation`.
        """
        found = await self._transport.run(self.steps.continuation())
        return None if found is None else AsyncJobHandle(self._transport, found)

    async def origin(self) -> "AsyncJobHandle[Output]":
        """Return the first job of those that this one continues; of no others, this one.

        See `JobHandle.origin`.
        """
        found = await self._transport.run(self.steps.origin())
        return self if found is self.steps else AsyncJobHandle(self._transport, found)

    async def has_checkpoint(self) -> bool:
        """True when a training, or one of those that it continues, has saved a checkpoint.

        See `JobHandle.has_checkpoint`.
        """
        return await self._transport.run(self.steps.has_checkpoint())

    async def pause(self) -> JobState:
        """Let no further unit be begun, with or without a worker up; returns the state afterwards.

        See `JobHandle.pause`.
        """
        return await self._transport.run(self.steps.pause())

    async def resume(self) -> JobState:
        """Let the paused job go on; returns its state afterwards. See `JobHandle.resume`."""
        return await self._transport.run(self.steps.resume())

    async def remove(self) -> None:
        """Forget the ended job with its results and events. See `JobHandle.remove`."""
        await self._transport.run(self.steps.remove())

    async def cancel(self) -> JobState:
        """Cancel the job, with or without a worker up; returns its state afterwards.

        See `JobHandle.cancel`.
        """
        return await self._transport.run(self.steps.cancel())

    async def let_go(self, wait_s: float = 0.0) -> None:
        """Send no more of the input after `wait_s` seconds, and leave the job as it is.

        See `JobHandle.let_go`.
        """
        await self._transport.run(self.steps.let_go(wait_s))

    async def give_up(self, error: BaseException) -> None:
        """Fail the job if its input is not complete yet; `error` is why it never will be.

        See `JobHandle.give_up`.
        """
        await self._transport.run(self.steps.give_up(error))

    async def uploaded(self) -> None:
        """Wait until all of the input is in the ledger, or the job has ended.

        Until then the input must stay open. See `JobHandle.uploaded`.
        """
        await self._transport.run(self.steps.uploaded())

    async def close(self) -> None:
        """Wait until the input is complete or the job has ended. See `JobHandle.close`."""
        await self._transport.run(self.steps.close())

    async def rejection(self) -> "Rejected | None":
        """Return the inbox's refusal of a job that another program handed in, if there is one.

        See `JobHandle.rejection`.
        """
        return await self._transport.run(self.steps.rejection())

    def out_of_reach(self, error: RedisUnreachable) -> JobOutOfReach:
        """Return the error for a Redis that was away for too long, with how to go on."""
        return self.steps.out_of_reach(error)

    def read(self, reading: Reading[V]) -> AsyncStream[V]:
        """Return an iterator over what a reading of the ledger gives."""
        return self._transport.read(reading)


#: The name under which `seqd.client` offers it too: `AsyncJob[Classification]`.
AsyncJob = AsyncJobHandle

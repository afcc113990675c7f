"""`AsyncJobHandle`: what `JobHandle` is, for asyncio."""

from typing import TYPE_CHECKING, Unpack

from seqd.client.faces import Awaiting
from seqd.client.handle import JobMethods
from seqd.client.pages import PageOptions
from seqd.client.waiting import WaitOptions
from seqd.ledger.async_transport import AsyncStream, AsyncTransport
from seqd_schemas import Output, TrainedVersion

if TYPE_CHECKING:
    import pyarrow


class AsyncJobHandle(Awaiting, JobMethods[Output]):
    """A job in the ledger, as a `JobHandle` is, and with the same methods.

    Those that wait are coroutines, those that read give asynchronous iterators. Any number of tasks
    may wait for jobs: all of them share one connection. Cancelling one leaves the job alone.
    """

    _transport: AsyncTransport

    def to_arrow(self, **options: Unpack[PageOptions]) -> "AsyncStream[pyarrow.RecordBatch]":
        """Read the results as record batches of Arrow. See `JobHandle.to_arrow`."""
        return self._transport.read(self.steps.record_batches(**options))

    async def trained_version(
        self: "AsyncJobHandle[TrainedVersion]",
        timeout_s: float | None = None,
        **options: Unpack[WaitOptions],
    ) -> TrainedVersion:
        """Wait for the end of a training; return the version that it made, with its metrics.

        See `JobHandle.trained_version`.
        """
        return await self._transport.run(self.steps.trained_version(timeout_s, **options))

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
        return AsyncJobHandle(self._transport, await self._transport.run(self.steps.origin()))


#: The name under which `seqd.client` offers it too: `AsyncJob[Classification]`.
AsyncJob = AsyncJobHandle

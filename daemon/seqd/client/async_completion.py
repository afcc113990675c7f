"""Jobs that have ended, as `AsyncClient.as_completed` gives them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from seqd.client.async_handle import AsyncJobHandle
from seqd.client.completion import by_identifier, ended_jobs
from seqd.client.job_steps import Result
from seqd.ledger import LedgerParts
from seqd.ledger.async_transport import AsyncStream
from seqd.ledger.blobs import unpack_results
from seqd.ledger.exchange import Give, Reading, mapped
from seqd_schemas import JobState, Output

Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class AsyncEndedJob(Generic[Output]):
    """A job that has ended, and how; see `EndedJob`."""

    handle: AsyncJobHandle[Output]
    state: JobState
    _blob: bytes | None = None

    @property
    def job_id(self) -> str:
        """The job's identifier."""
        return self.handle.job_id

    def results(self) -> "AsyncStream[Result[Output]]":
        """Read the results in input order, as `JobHandle.results` does and raises."""
        if self._blob is None:
            return self.handle.results()
        found = unpack_results(self._blob)
        return self.handle.read(_given(map(self.handle.steps.reader, found)))


def _given(results: "Iterator[Result[Out]]") -> "Reading[Result[Out]]":
    yield Give(results)


def ended_handles(
    ledger: LedgerParts,
    completion_stream: str,
    handles: Iterable[AsyncJobHandle[Out]],
    timeout_s: float | None,
) -> Reading[AsyncEndedJob[Out]]:
    """Give the jobs of handles in the order in which they end."""
    by_id = by_identifier(handles, AsyncJobHandle)
    steps = {job_id: handle.steps for job_id, handle in by_id.items()}
    ended = ended_jobs(ledger, completion_stream, steps, timeout_s)
    return mapped(ended, lambda row: AsyncEndedJob(by_id[row.job_id], row.state, row.blob))

"""`as_completed`: waits for many jobs at once, and yields each as soon as it has ended.

The end of each job of `classify_each` is announced in the completion stream of its client, so that
one blocking read waits for all of them, and their results are fetched many at a time. The stream
is a hint: all jobs are read at the start, and again when it has been silent for a while.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from seqd.client.faces import Blocking, reading
from seqd.client.handle import JobHandle
from seqd.client.job_steps import JobSteps, Result
from seqd.client.outputs import OutputReader
from seqd.client.waiting import WaitingNotice, check_timeout
from seqd.errors import InvalidRequest, JobOutOfReach, RedisUnreachable, UnknownJob
from seqd.ledger import LedgerParts
from seqd.ledger.blobs import unpack_results
from seqd.ledger.exchange import Exchange, Give, Reading, mapped
from seqd.ledger.outage import waiting_at_most
from seqd.validation import shown
from seqd_schemas import JobState, Output


class Handle(Protocol):
    """A job's handle, of either client."""

    @property
    def job_id(self) -> str:
        """The job's identifier."""

    @property
    def steps(self) -> JobSteps[Any]:
        """What it does."""


E = TypeVar("E")
H = TypeVar("H", bound=Handle)

#: Jobs looked at in one step: under a millisecond of the server's time.
LOOK_AT = 256

#: Seconds of silence after which all jobs are looked at again.
LONGEST_SILENCE_S = 2.0


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
        """Read the results in input order, as `JobHandle.results` does and raises.

        Those of a completed job of one unit, as one review is, are here already.
        """
        steps: JobSteps[Output] = self.handle.steps
        return steps.results() if self._blob is None else _given(steps.reader, self._blob)


class EndedJob(Blocking, EndedMethods[Output]):
    """A job that has ended, and how."""

    handle: JobHandle[Output]


def _given(reader: OutputReader[Output], blob: bytes) -> "Reading[Result[Output]]":
    yield Give(map(reader, unpack_results(blob)))


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that has ended, how, and its results where they are one row."""

    job_id: str
    state: JobState
    blob: bytes | None


def by_identifier(handles: Iterable[H], kind: type[object]) -> dict[str, H]:
    """Return handles by their job's identifier. Raises InvalidRequest for what is no handle."""
    if isinstance(handles, str) or not isinstance(handles, Iterable):
        raise InvalidRequest(f"The jobs are {shown(handles)}; allowed: a list of handles.")
    found = {}
    for handle in handles:
        if not isinstance(handle, kind):
            raise InvalidRequest(
                f"One of the jobs is {shown(handle)}; allowed: handles. That of an identifier is "
                "client.job(JOB)."
            )
        found[handle.job_id] = handle
    return found


def ended_handles(
    ledger: LedgerParts,
    completion_stream: str,
    handles: Iterable[H],
    timeout_s: float | None,
    kind: type[object],
    ended: Callable[[H, JobState, bytes | None], E],
) -> Reading[E]:
    """Give what `ended` makes of handles of a kind, in the order in which their jobs end.

    See `Client.as_completed`.
    """
    check_timeout(timeout_s)
    by_id = by_identifier(handles, kind)
    steps = {job_id: handle.steps for job_id, handle in by_id.items()}
    wait = _Wait(ledger, completion_stream, steps, timeout_s)
    return mapped(wait.ended(), lambda row: ended(by_id[row.job_id], row.state, row.blob))


class _Wait:
    """One wait for a set of jobs."""

    def __init__(
        self,
        ledger: LedgerParts,
        completion_stream: str,
        jobs: Mapping[str, JobSteps[object]],
        timeout_s: float | None,
    ) -> None:
        self._ledger = ledger
        self._completion_stream = completion_stream
        self._pending = dict(jobs)
        self._notice = WaitingNotice(ledger)
        self._total = len(self._pending)
        self._timeout_s = timeout_s
        self._deadline = monotonic() + (inf if timeout_s is None else timeout_s)

    def ended(self) -> Reading[Ended]:
        """Give the jobs in the order in which they end."""
        if not self._pending:
            return
        jobs, stream = self._ledger.jobs, self._completion_stream
        # Read before the jobs: who ends after that is announced after this id.
        with self._in_reach():
            place = yield from jobs.last_completion_id.steps(stream)
        yield from self._ended_among(list(self._pending))
        heard_at = monotonic()
        while self._pending:
            with self._in_reach():
                place, announced = yield from jobs.completions.steps(
                    stream, place, longest_wait_s=self._longest_wait_s()
                )
            ours = [job_id for job_id in announced if job_id in self._pending]
            if ours:
                yield from self._ended_among(ours)
                heard_at = monotonic()
            elif monotonic() - heard_at >= LONGEST_SILENCE_S or monotonic() >= self._deadline:
                yield from self._ended_among(list(self._pending))
                self._check_time()
                yield from self._look_why_one_waits()
                heard_at = monotonic()

    def _ended_among(self, job_ids: list[str]) -> Reading[Ended]:
        """Give those that have ended, and wait for them no longer. Raises UnknownJob."""
        for first in range(0, len(job_ids), LOOK_AT):
            names = job_ids[first : first + LOOK_AT]
            with self._in_reach():
                rows = yield from self._ledger.jobs.ended.steps(names)
            for job_id, row in zip(names, rows, strict=True):
                if not row.is_kept:
                    del self._pending[job_id]
                    raise (yield from self._ledger.retention.unknown_job.steps(job_id))
                if row.state is not None:
                    del self._pending[job_id]
                    yield Give((Ended(job_id, row.state, row.blob),))

    def _look_why_one_waits(self) -> Exchange[None]:
        """Tell why the first that is left waits; most jobs of one call are for one model."""
        if self._pending:
            job_id = next(iter(self._pending))
            with self._in_reach(), suppress(UnknownJob):  # removed just now: told of next time
                record = yield from self._ledger.jobs.get.steps(job_id)
                yield from self._notice.look(record)

    @contextmanager
    def _in_reach(self) -> Iterator[None]:
        """Wait for a Redis that is away no longer than for the jobs; then name one of them."""
        try:
            with waiting_at_most(self._deadline - monotonic()):
                yield
        except RedisUnreachable as error:
            self._check_time()
            if isinstance(error, JobOutOfReach):
                raise
            raise next(iter(self._pending.values())).out_of_reach(error) from None

    def _longest_wait_s(self) -> float:
        return max(0.001, min(self._deadline - monotonic(), LONGEST_SILENCE_S))

    def _check_time(self) -> None:
        if self._pending and monotonic() >= self._deadline:
            raise TimeoutError(
                f"{len(self._pending):,} of {self._total:,} jobs have not ended after "
                f"{self._timeout_s:g} s, job {next(iter(self._pending))} among them."
            )

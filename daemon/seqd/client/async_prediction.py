"""`AsyncPredictor`: one text, one answer, for many tasks of an event loop at a time.

Each text is a job of its own. The jobs of tasks that ask at the same time travel together: to the
ledger, and back with their results. Their ends are heard in one completion stream.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Generic, TypeVar

from seqd.client.prediction import (
    TRIES,
    Output,
    TextRequest,
    answer_in,
    cancelled_late,
    in_time,
    look,
    lost,
)
from seqd.client.sending import admission_of
from seqd.client.waiting import Announced, Announcements, WaitingNotice
from seqd.errors import SeqdError
from seqd.ledger import LedgerParts
from seqd.ledger.async_transport import AsyncTransport
from seqd.ledger.exchange import Exchange
from seqd.ledger.jobs import EndedRow
from seqd.ledger.outage import unbounded_context, waiting_at_most
from seqd.ledger.submissions import (
    SUBMIT_JOBS,
    Accepted,
    BatchTemplate,
    new_job_id,
)
from seqd_schemas import ItemChunk, Job

log = logging.getLogger(__name__)

#: Jobs that are taken in one step, and that are cancelled first: a few ms of the server's time.
TAKE_JOBS, CANCEL_JOBS = 64, 16

#: Seconds that Redis has for an answer, also where all time is over: then it is looked once more.
LAST_ANSWER_S = 1.0

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")

_Sent = tuple[str, TextRequest]


class AsyncPredictor:
    """Answers texts for one client."""

    def __init__(
        self,
        ledger: LedgerParts,
        transport: AsyncTransport,
        completions: str,
        announcements: Announcements,
    ) -> None:
        """`completions` names the client's completion stream, `announcements` read it."""
        self._ledger = ledger
        self._transport = transport
        self._completions = completions
        self._announcements = announcements
        self._sending = _Together[_Sent, Accepted](self._send, SUBMIT_JOBS)
        self._taking = _Together[str, EndedRow](self._take, TAKE_JOBS)
        self._cancelling = _Together[str, EndedRow](self._cancel, CANCEL_JOBS)
        #: What still goes on for tasks that were cancelled.
        self._leaving = set[asyncio.Task[None]]()

    async def answer(self, request: TextRequest) -> Output:
        """Return the answer to a request; see `Client.predict`."""
        timeout_s = request.timeout_s
        deadline = monotonic() + (inf if timeout_s is None else timeout_s)
        with in_time(timeout_s, deadline):
            for _ in range(TRIES):
                job_id = new_job_id()
                row = await self._answered(request, job_id, deadline)
                if row.is_kept:
                    return await self._transport.run(answer_in(self._ledger, job_id, row))
        raise lost(job_id)

    async def close(self) -> None:
        """Wait until the jobs of tasks that were cancelled are removed, and remove the stream."""
        while self._leaving:
            await asyncio.wait(self._leaving)
        await self._cancelling.finish()
        with waiting_at_most(0), suppress(SeqdError):
            forgotten = self._ledger.jobs.take_ended.steps([], client=self._completions)
            await self._transport.run(forgotten)

    async def _answered(self, request: TextRequest, job_id: str, deadline: float) -> EndedRow:
        """Send a request, wait for its end, and take what is there of it then."""
        announced = await self._transport.run(self._announcements.expect(job_id))
        sent = self._sending.ask((job_id, request))
        try:
            await _in_time_of(sent, request.timeout_s, deadline)
            return await self._ended(announced, request.timeout_s, deadline)
        except BaseException:
            self._leave(job_id, sent)
            raise

    async def _ended(
        self, announced: Announced, timeout_s: float | None, deadline: float
    ) -> EndedRow:
        job_id = announced.job_id
        notice: WaitingNotice | None = None
        seen = 0
        while True:
            wait_s = max(0.001, min(self._ledger.look_s, deadline - monotonic()))
            await self._transport.run(announced.wait(seen, wait_s))
            seen = announced.news
            row = await _in_time_of(self._taking.ask(job_id), timeout_s, deadline)
            if not row.is_kept or row.state is not None:
                return row
            if monotonic() >= deadline:
                late = cancelled_late(self._ledger, job_id, timeout_s)
                return await self._transport.run(late)
            notice = notice or WaitingNotice(self._ledger)
            await self._transport.run(look(self._ledger, notice, job_id))

    def _leave(self, job_id: str, sent: "asyncio.Future[Accepted]") -> None:
        """Cancel and remove a job that nobody waits for any more, once it is written."""
        task = asyncio.create_task(self._remove(job_id, sent), name="seqd-leaving")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _remove(self, job_id: str, sent: "asyncio.Future[Accepted]") -> None:
        with suppress(Exception):  # whatever it was, the job may be there
            await sent
        try:
            await self._cancelling.ask(job_id)
        except Exception as error:  # noqa: BLE001 - nobody waits for it
            log.info("job=%s is not removed: %s", job_id, error)

    async def _send(self, asked: Sequence[_Sent]) -> list[Accepted | Exception]:
        return await self._transport.run(self._sent(asked))

    def _sent(self, asked: Sequence[_Sent]) -> Exchange[list[Accepted | Exception]]:
        """Write jobs; those that ask the same of the same model together."""
        outcomes = dict[str, Accepted | Exception]()
        for job, inputs in _alike(asked):
            try:
                catalog = yield from self._ledger.fleet.catalog_for.steps(job)
                admitted = yield from admission_of(job, self._ledger, catalog)
                template = BatchTemplate(job, admitted, self._completions)
                written = yield from self._ledger.submissions.submit_each.steps(template, inputs)
                outcomes |= {one: how for (one, _), how in zip(inputs, written, strict=True)}
            except SeqdError as error:
                outcomes |= dict.fromkeys((job_id for job_id, _ in inputs), error)
        return [outcomes[job_id] for job_id, _ in asked]

    async def _take(self, job_ids: Sequence[str]) -> list[EndedRow | Exception]:
        return [*await self._transport.run(self._ledger.jobs.take_ended.steps(job_ids))]

    async def _cancel(self, job_ids: Sequence[str]) -> list[EndedRow | Exception]:
        taken = self._ledger.jobs.take_ended.steps(job_ids, cancels=True)
        return [*await self._transport.run(taken)]


async def _in_time_of(answer: "asyncio.Future[T]", timeout_s: float | None, deadline: float) -> T:
    """Return what is asked together with others, who may wait for longer; raises TimeoutError."""
    left_s = None if timeout_s is None else max(LAST_ANSWER_S, deadline - monotonic())
    try:
        async with asyncio.timeout(left_s):
            # Though the task is cancelled, what was asked goes on.
            return await asyncio.shield(answer)
    except TimeoutError:
        raise TimeoutError(
            f"There is no answer after {timeout_s or 0:g} s: Redis does not answer in time. The "
            "job is cancelled and removed once it does."
        ) from None


def _alike(asked: Sequence[_Sent]) -> list[tuple[Job, list[tuple[str, ItemChunk]]]]:
    """Return the inputs of each job by which several texts are asked for."""
    found = dict[int, tuple[Job, list[tuple[str, ItemChunk]]]]()
    for job_id, request in asked:
        # Of one request `single_job` gives one and the same job.
        _, inputs = found.setdefault(id(request.job), (request.job, []))
        inputs.append((job_id, request.chunk))
    return list(found.values())


class _Together(Generic[A, R]):
    """One call for many that ask: at once where none is under way, else when that is answered.

    So who asks alone waits for nobody, and those who ask at the same time share the round trips.
    """

    def __init__(
        self, call: Callable[[Sequence[A]], Awaitable[Sequence[R | Exception]]], most: int
    ) -> None:
        """`call` answers at most `most` at a time, each with a result or its own error."""
        self._call = call
        self._most = most
        self._asked = deque[tuple[A, asyncio.Future[R]]]()
        self._task: asyncio.Task[None] | None = None

    def ask(self, argument: A) -> "asyncio.Future[R]":
        """Return the future answer; it is asked also where that is cancelled."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._asked.append((argument, answer))
        if self._task is None:
            # Not as long as whoever asks first waits for Redis: others ask on, for longer.
            self._task = asyncio.create_task(
                self._run(), name="seqd-together", context=unbounded_context()
            )
        return answer

    async def finish(self) -> None:
        """Wait until all that was asked is answered."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while self._asked:
                count = min(self._most, len(self._asked))
                asked = [self._asked.popleft() for _ in range(count)]
                for (_, answer), outcome in zip(asked, await self._outcomes(asked), strict=True):
                    _resolve(answer, outcome)
        finally:
            self._task = None

    async def _outcomes(
        self, asked: Sequence[tuple[A, "asyncio.Future[R]"]]
    ) -> Sequence[R | Exception]:
        try:
            return await self._call([argument for argument, _ in asked])
        except Exception as error:  # noqa: BLE001 - raised in whoever asked
            return [error] * len(asked)


def _resolve(answer: "asyncio.Future[R]", outcome: R | Exception) -> None:
    if answer.done():
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)

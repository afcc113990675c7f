"""`Together`: what many tasks of one event loop ask at a time is asked in few calls."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from seqd.ledger.outage import unbounded_context

A = TypeVar("A")
R = TypeVar("R")


class Together(Generic[A, R]):
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

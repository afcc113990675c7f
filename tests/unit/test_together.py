"""What many tasks ask together is asked in few calls, and in nobody else's time."""

import asyncio
from collections.abc import Sequence

from async_builders import run
from seqd.client.together import Together
from seqd.ledger.outage import seconds_left, waiting_at_most


def test_who_asks_later_is_not_held_to_the_time_of_who_asked_first() -> None:
    async def use() -> tuple[list[str], list[tuple[list[str], float | None]]]:
        calls: list[tuple[list[str], float | None]] = []
        is_asked, goes_on = asyncio.Event(), asyncio.Event()

        async def call(asked: Sequence[str]) -> list[str | Exception]:
            calls.append(([*asked], seconds_left()))
            is_asked.set()
            await goes_on.wait()
            return [one.upper() for one in asked]

        together = Together[str, str](call, most=10)

        async def ask_in_time() -> str:
            with waiting_at_most(0.05):
                answer = await together.ask("first")
                assert seconds_left() is not None  # the task's own time is as it was
                return answer

        first = asyncio.create_task(ask_in_time())
        await is_asked.wait()
        later = [together.ask("second"), together.ask("third")]
        goes_on.set()
        return [await first, *[await answer for answer in later]], calls

    answers, calls = run(use(), limit_s=10)

    assert answers == ["FIRST", "SECOND", "THIRD"]
    assert calls == [(["first"], None), (["second", "third"], None)]

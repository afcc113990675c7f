"""`AsyncStream` reads by requests whose replies a test gives, without any server."""

import asyncio
from typing import cast

import pytest

from async_builders import LOOPS, run
from seqd.ledger.async_transport import AsyncStream, AsyncTransport
from seqd.ledger.exchange import Command, Give, Reading, Request


class GivenReplies:
    """Stands for a transport: a reply comes when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.reply: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    def check_use(self) -> None: ...

    async def send(self, request: Request) -> object:
        self.asked.append(request)
        return await self.reply


def two_requests(ends: list[object]) -> Reading[object]:
    try:
        ends.append((yield Command(("GET", "a"))))
        ends.append((yield Command(("GET", "b"))))
        yield Give(("both",))
    except GeneratorExit:
        ends.append("closed")
        raise


@pytest.mark.parametrize("loop", LOOPS)
def test_an_iterator_that_is_closed_as_a_reply_comes_asks_for_nothing_more(loop: str) -> None:
    async def use() -> tuple[list[object], list[Request], list[object]]:
        transport, ends = GivenReplies(), list[object]()
        stream = AsyncStream(two_requests(ends), cast(AsyncTransport, transport))

        async def read() -> list[object]:
            return [value async for value in stream]

        reading = asyncio.create_task(read())
        while stream._asked is None or not transport.asked:
            await asyncio.sleep(0)
        transport.reply.set_result(b"1")
        while not stream._asked.done():  # the reply is there, and who reads has not had its turn
            await asyncio.sleep(0)
        await stream.aclose()
        return await reading, transport.asked, ends

    values, asked, ends = run(use(), loop, limit_s=10)

    assert values == []
    assert asked == [Command(("GET", "a"))]
    assert ends == [b"1", "closed"]

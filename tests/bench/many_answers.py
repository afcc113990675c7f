"""One client process whose tasks each wait for one answer after the other."""

import asyncio
import time

from seqd.client import AsyncClient


class Program:
    def __init__(self, model: str) -> None:
        self.model = model

    def ask(self, count: int, connections: int) -> list[float]:
        """Have `count` texts classified by so many tasks; gives milliseconds of each."""
        return asyncio.run(self._ask(count, connections))

    async def _ask(self, count: int, tasks: int) -> list[float]:
        left, took_ms = iter(range(count)), list[float]()
        async with AsyncClient() as client:

            async def call() -> None:
                for number in left:
                    began = time.perf_counter()
                    await client.predict(f"text {number}", model=self.model)
                    took_ms.append(1000 * (time.perf_counter() - began))

            await asyncio.gather(*(call() for _ in range(tasks)))
        return took_ms

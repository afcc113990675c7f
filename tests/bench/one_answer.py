"""One client process that waits for one answer after the other."""

import asyncio
import itertools
import json
import time
from pathlib import Path

from seqd.client import AsyncClient, Client


class Program:
    """Some texts, which are sent again and again."""

    def __init__(self, texts: str, count: int) -> None:
        rows = [json.loads(line)["text"] for line in Path(texts).read_text().splitlines()]
        self.texts = list(itertools.islice(itertools.cycle(rows), count))

    def predict(self, model: str, count: int, pause_s: float) -> list[float]:
        """Have one text classified, then the next, by the client that blocks; milliseconds."""
        took_ms = []
        with Client() as client:
            client.predict(self.texts[0], model=model)
            for text in self._some(count):
                time.sleep(pause_s)
                began = time.perf_counter()
                client.predict(text, model=model)
                took_ms.append(1000 * (time.perf_counter() - began))
        return took_ms

    def predict_async(self, model: str, count: int, pause_s: float) -> list[float]:
        """Do the same by the client of asyncio."""

        async def measure() -> list[float]:
            took_ms = []
            async with AsyncClient() as client:
                await client.predict(self.texts[0], model=model)
                for text in self._some(count):
                    await asyncio.sleep(pause_s)
                    began = time.perf_counter()
                    await client.predict(text, model=model)
                    took_ms.append(1000 * (time.perf_counter() - began))
            return took_ms

        return asyncio.run(measure())

    def _some(self, count: int) -> "itertools.islice[str]":
        return itertools.islice(itertools.cycle(self.texts), count)

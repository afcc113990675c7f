"""One client process that waits for one answer after the other, and callers of a service."""

import asyncio
import itertools
import json
import time
from pathlib import Path
from typing import Annotated

from fastapi import Body

from seqd.client import AsyncClient, Classification, Client
from service_guide import Connection, service_app, serving

#: An answer that takes longer has been lost.
_ANSWER_S = 600.0


class Program:
    """This process's share of the texts, repeated as often as it takes."""

    def __init__(self, texts: str, count: int) -> None:
        rows = [json.loads(line)["text"] for line in Path(texts).read_text().splitlines()]
        self.texts = list(itertools.islice(itertools.cycle(rows), count))

    def serve(self, model: str) -> str:
        """Run the service of the services' guide from now to the end; returns its address.

        Its route `/alone` does the same without asking anybody: what the guide's framework takes.
        """
        app = service_app(model)

        @app.post("/alone")
        async def alone(text: Annotated[str, Body(embed=True)]) -> Classification:
            return Classification(label="positive", score=1.0, truncated=False)

        self.serving = serving(app)
        return self.serving.__enter__()

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

    def post(self, address: str, count: int, pause_s: float) -> list[float]:
        """Ask a service for one text, then the next; gives milliseconds."""

        async def measure() -> list[float]:
            took_ms, connection = [], await Connection.open(address)
            await connection.post("/classify", {"text": self.texts[0]})
            for text in self._some(count):
                await asyncio.sleep(pause_s)
                began = time.perf_counter()
                await connection.post("/classify", {"text": text})
                took_ms.append(1000 * (time.perf_counter() - began))
            connection.close()
            return took_ms

        return asyncio.run(measure())

    def post_all(self, address: str, window: int, path: str = "/classify") -> int:
        """Ask a service for each text, `window` at a time; returns how many had no label."""

        async def ask(texts: "itertools.chain[str]") -> int:
            good, connection = 0, await Connection.open(address)
            for text in texts:
                status, reply = await connection.post(path, {"text": text})
                good += status == 200 and "label" in reply
            connection.close()
            return good

        async def ask_all() -> int:
            rest = itertools.chain(self.texts)
            async with asyncio.timeout(_ANSWER_S):
                return sum(await asyncio.gather(*(ask(rest) for _ in range(window))))

        return len(self.texts) - asyncio.run(ask_all())

    def _some(self, count: int) -> "itertools.islice[str]":
        return itertools.islice(itertools.cycle(self.texts), count)

"""One client process of `seqd bench jobs`: many jobs of one text each, or one job of many.

A program, run as peers are; the daemon is found as any client finds it, by SEQD_DATA_DIR.
"""

import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any

from seqd.bench.peers.padding import read_reviews
from seqd.bench.peers.protocol import serve
from seqd.client import Client
from seqd_schemas import Classification, ItemSuccess

#: A job that takes longer has been lost.
_RESULT_S = 600.0


class OneClient:
    """A connection, and this process's share of the texts."""

    def prepare(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Read the texts, repeated as often as `count` takes, and connect."""
        texts, _ = read_reviews(asked["texts"])
        self._texts = list(itertools.islice(itertools.cycle(texts), asked["count"]))
        self._client = Client()
        self._client.catalog()
        return {"texts": len(self._texts)}

    def each(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Hand each text in as a job, `window` of them open at a time, and read all results."""
        window, missing = asked["window"], 0
        began = time.perf_counter()
        for first in range(0, len(self._texts), window):
            texts = self._texts[first : first + window]
            missing += self._see_through(texts, asked["model"], is_echo=asked["is_echo"])
        return {"seconds": time.perf_counter() - began, "missing": missing}

    def together(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Hand all texts in as one job, and read its results."""
        began = time.perf_counter()
        results = self._client.classify(self._texts, model=asked["model"]).results()
        came = sum(1 for _ in results)
        took_s = time.perf_counter() - began
        return {"seconds": took_s, "missing": len(self._texts) - came}

    def one_by_one(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Hand one text in and wait for its result, then the next; gives each one's ms."""
        took_ms = []
        for text in itertools.islice(itertools.cycle(self._texts), asked["jobs"]):
            # The daemon is to be idle, and its last commit long over.
            time.sleep(asked["pause_s"])
            began = time.perf_counter()
            (_,) = self._client.classify([text], model=asked["model"]).results()
            took_ms.append(1000 * (time.perf_counter() - began))
        return {"milliseconds": took_ms}

    def _see_through(self, texts: Sequence[str], model: str, *, is_echo: bool) -> int:
        """Give how many of the jobs ended without a result, or with another text's."""
        jobs = self._client.classify_each(texts, model=model)
        text_of = {job.job_id: text for job, text in zip(jobs, texts, strict=True)}
        good = 0
        for ended in self._client.as_completed(jobs, timeout_s=_RESULT_S):
            (result,) = ended.results()
            text = text_of[ended.job_id]
            good += isinstance(result, ItemSuccess) and not (is_echo and _label(result) != text)
        return len(texts) - good


def _label(result: ItemSuccess) -> str:
    return result.output.label if isinstance(result.output, Classification) else ""


if __name__ == "__main__":
    client = OneClient()
    serve(
        {
            "prepare": client.prepare,
            "each": client.each,
            "together": client.together,
            "one_by_one": client.one_by_one,
        }
    )

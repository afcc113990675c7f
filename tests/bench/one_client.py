"""One client process of `jobs`: many jobs of one text each, or one job of many."""

import itertools
import json
from pathlib import Path

from seqd.client import Client
from seqd_schemas import Classification, ItemSuccess

#: A job that takes longer has been lost.
_RESULT_S = 600.0


class Program:
    """A connection, and this process's share of the texts, repeated as often as `count` takes."""

    def __init__(self, texts: str, count: int) -> None:
        rows = [json.loads(line)["text"] for line in Path(texts).read_text().splitlines()]
        self.texts = list(itertools.islice(itertools.cycle(rows), count))
        self.client = Client()
        self.client.catalog()

    def each(self, model: str, window: int) -> int:
        """Hand each text in as a job, `window` open at a time; returns how many had no label."""
        good = 0
        for first in range(0, len(self.texts), window):
            jobs = self.client.classify_each(self.texts[first : first + window], model=model)
            for ended in self.client.as_completed(jobs, timeout_s=_RESULT_S):
                (result,) = ended.results()
                good += isinstance(result, ItemSuccess) and isinstance(
                    result.output, Classification
                )
        return len(self.texts) - good

    def together(self, model: str) -> int:
        """Hand all texts in as one job; returns how many did not come back."""
        results = self.client.classify(self.texts, model=model).results()
        return len(self.texts) - sum(1 for _ in results)

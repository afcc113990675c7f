"""`seqd.batch.Predictor` over reviews in memory, in one process, with no daemon."""

import time

import pyarrow as pa

from bench.peers.padding import read_reviews
from seqd.batch import Predictor


class Program:
    def __init__(self, reviews: str, model: str) -> None:
        self.table = pa.table({"text": read_reviews(reviews)[0]})
        self.predictor = Predictor(model)
        self.predictor(self.table.slice(0, 1))

    def predict(self) -> float:
        """Classify all; gives seconds."""
        began = time.perf_counter()
        self.predictor(self.table)
        return time.perf_counter() - began

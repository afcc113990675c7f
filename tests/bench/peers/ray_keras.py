"""What a user of Ray would write: Ray Data reads the file, Keras predicts in actors, and labels are
written as JSON Lines. Weights are the fresh network's: they change no speed.
"""

import shutil
import time

import numpy as np
import ray

from bench.peers.keras_reviews import network_of
from bench.peers.padding import padded, ranks_of, read_reviews


class Classifier:
    def __init__(self, ranks: dict[str, int], sizes: dict[str, int], batch: int) -> None:
        self.ranks, self.longest, self.batch = ranks, sizes["longest"], batch
        self.network = network_of(sizes)

    def __call__(self, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        ids = padded(list(rows["text"]), self.ranks, self.longest)
        scores = self.network.predict(ids, batch_size=self.batch, verbose=0)[:, 0]
        labels = np.where(scores > 0.5, "positive", "negative")
        return {"custom_id": rows["custom_id"], "label": labels, "score": scores}


class Program:
    def __init__(self, known: str, sizes: dict[str, int], batch: int, folder: str) -> None:
        ranks = ranks_of(read_reviews(known)[0], sizes["words"])
        self.given, self.folder = [ranks, sizes, batch], folder

    def predict(self, reviews: str) -> float:
        """Classify a file, with the start of Ray and its end; gives seconds."""
        began = time.perf_counter()
        shutil.rmtree(self.folder, ignore_errors=True)
        ray.init(log_to_driver=False, logging_level="ERROR")
        ray.data.read_json(reviews, lines=True, override_num_blocks=8).map_batches(
            Classifier,
            fn_constructor_args=self.given,
            batch_size=4_096,
            num_cpus=0.5,
            compute=ray.data.ActorPoolStrategy(size=int(ray.cluster_resources()["CPU"])),
        ).write_json(self.folder)
        ray.shutdown()
        return time.perf_counter() - began

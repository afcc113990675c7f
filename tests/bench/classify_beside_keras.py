"""Times `seqd classify`, end to end, beside Keras's `model.predict`, in one interleaved run.

Not a test: `make bench` runs it and prints what the README quotes. The daemon's side is a whole
command: it reads raw reviews from a file, sends them through Redis and Celery to two serving
slots, and writes a results file. Keras's side is `model.predict` alone, batch 256, on the same
reviews already turned into padded ids, with the same weights, on all cores. TensorFlow's import,
the model's building and a warm-up call are not counted.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seqd.client import Client
from seqd.errors import RedisUnreachable
from seqd.inputs import read_items
from seqd.settings import Settings
from seqd_schemas import FileSource, Item, WorkerState

READY_TIMEOUT_S = 120.0


@contextmanager
def daemon(data_dir: Path, slots: int) -> Iterator[dict[str, str]]:
    """Run `seqd up` on serving slots alone; gives the environment that finds it."""
    environment = {**os.environ, "SEQD_DATA_DIR": str(data_dir)}
    spec = ",".join(f"cpu:{number}" for number in range(slots))
    up = subprocess.Popen(
        [sys.executable, "-m", "seqd", "up", "--slots", spec],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_ready(data_dir, slots)
        yield environment
    finally:
        up.terminate()
        up.wait(60)


def _wait_until_ready(data_dir: Path, slots: int) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            with Client(settings=Settings(data_dir=data_dir)) as client:
                workers = client.workers()
        except RedisUnreachable:
            workers = []
        if sum(worker.state is WorkerState.READY for worker in workers) == slots:
            return
        time.sleep(0.1)
    sys.exit(f"the daemon was not ready within {READY_TIMEOUT_S:g} s")


def time_seqd(reviews: Path, environment: dict[str, str], out: Path) -> float:
    """Classify the file by the command line; gives seconds, its start-up included."""
    began = time.perf_counter()
    command = ["classify", str(reviews), "--out", str(out)]
    subprocess.run(
        [sys.executable, "-m", "seqd", *command],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


class KerasPeer:
    """Keras with the starter's weights, on padded ids."""

    def __init__(self, texts: list[str]) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import seqd_imdb_lstm
        from seqd_imdb_lstm.network import KerasEngine, pad
        from seqd_imdb_lstm.version import read_version

        version = read_version(Path(seqd_imdb_lstm.__file__).parent / "starter")
        vocabulary, longest = version.vocabulary, version.config.max_tokens
        ids = [vocabulary.encode(text, longest).ids for text in texts]
        self._padded = pad(ids, longest)  # (reviews, max_tokens) int32
        self._network = KerasEngine(version).network
        self._network.predict(self._padded[:512], batch_size=256, verbose=0)

    def time(self) -> float:
        """Predict all; gives seconds."""
        began = time.perf_counter()
        self._network.predict(self._padded, batch_size=256, verbose=0)
        return time.perf_counter() - began


def main() -> None:
    """Run the rounds and print medians, spread and ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with imdb/test-5k.jsonl.gz"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()

    reviews = asked.data / "imdb" / "test-5k.jsonl.gz"
    entries = read_items(FileSource(path=str(reviews)))
    texts = [entry.text for entry in entries if isinstance(entry, Item)]
    peer = KerasPeer(texts)
    seqd_s, keras_s = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        with daemon(Path(folder) / "data", asked.slots) as environment:
            out = Path(folder) / "results.jsonl"
            time_seqd(reviews, environment, out)
            for _ in range(asked.rounds):
                seqd_s.append(time_seqd(reviews, environment, out))
                keras_s.append(peer.time())
        assert out.read_text().count("\n") == len(texts), "a result is missing"
    report(len(texts), seqd_s, keras_s, as_json=asked.json)


def report(reviews: int, seqd_s: list[float], keras_s: list[float], *, as_json: bool) -> None:
    """Print reviews a second of both sides and the median of the rounds' ratios."""
    ratios = sorted(keras / seqd for seqd, keras in zip(seqd_s, keras_s, strict=True))
    figures = {
        "reviews": reviews,
        "rounds": len(ratios),
        "cores": os.cpu_count(),
        "seqd_reviews_per_s": round(reviews / statistics.median(seqd_s)),
        "keras_predict_reviews_per_s": round(reviews / statistics.median(keras_s)),
        "ratio_median": round(statistics.median(ratios), 2),
        "ratio_min": round(ratios[0], 2),
        "ratio_max": round(ratios[-1], 2),
    }
    if as_json:
        print(json.dumps(figures))
        return
    print(f"{reviews:,} reviews, {len(ratios)} rounds in turn, {figures['cores']} cores")
    print(f"  seqd classify, file to file  {figures['seqd_reviews_per_s']:>7,} reviews/s")
    print(f"  keras model.predict, padded  {figures['keras_predict_reviews_per_s']:>7,} reviews/s")
    print(
        f"  seqd / keras                 {figures['ratio_median']:>7} "
        f"(rounds: {figures['ratio_min']} to {figures['ratio_max']})"
    )


if __name__ == "__main__":
    main()

"""A large file by each way that seqd has for it, beside what a user of Ray and Keras would write.

The ways: through Redis, by reference, and `--engine ray`. Each is a command, from its start to its
end. What Redis and the workers take in memory is looked at meanwhile.
"""

import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread

from bench.case import Case, option
from bench.daemon import Daemon, failure, running
from bench.report import Side, in_turn, ratios, row, say, warm_up
from bench.texts import TRAIN_FILE, reviews_of

THROUGH_REDIS, BY_REFERENCE = "through Redis", "by reference"
ON_RAY, RAY_KERAS = "--engine ray", "Ray Data with Keras model.predict"

#: Reviews that the tutorial's version is trained on: enough for a vocabulary of full size.
_TRAINED_ON = 2_000
_KERAS_BATCH = 256

#: Reviews of a warm-up.
_WARM_UP = 5_000

#: Seconds between two looks at memory.
_LOOK_S = 0.5


@dataclass
class Sizes(Case):
    """Classify a large file through Redis, by reference and on Ray, beside Ray Data with Keras."""

    what = "JSON Lines to results, the commands' starts and that of Ray included"

    reviews: int = option(250_000, "reviews of the file, those of the data again and again")
    rounds: int = option(3, "rounds; sides take turns")
    only: str = option("", f"one of the ways: {THROUGH_REDIS}, {BY_REFERENCE}")

    def measure(self) -> None:
        known = reviews_of(self.file_or(TRAIN_FILE), 25_000)
        self.report.setup |= {"distinct reviews": len(known), "reviews from": known.source}
        data = known.write(self.folder / "known.jsonl", _TRAINED_ON)
        say("training the tutorial's network for an epoch")
        with ExitStack() as stack:
            training = self.daemon("train@cpu", stack)
            sizes = training.tutorial_sizes()
            self._version, _ = training.train(data, "imdb_lstm", "tutorial", epochs=1)
        self._daemon = self.daemon(self.slots)
        #: The most that each way took, in bytes, in each round.
        self._taken = defaultdict[str, list[dict[str, int]]](list)
        sides = self._sides(data, sizes)
        self._file = known.write(self.folder / "few.jsonl", min(self.reviews, _WARM_UP))
        warm_up(sides)
        self._taken.clear()
        self._file = known.write(self.folder / "many.jsonl", self.reviews)
        figures = in_turn(sides, self.rounds)
        self._compare({name: [self.reviews / took for took in figures[name]] for name in figures})

    def _sides(self, data: Path, sizes: Mapping[str, int]) -> dict[str, Side]:
        results = ("--out", str(self.folder / "results.jsonl"), "--force")
        folder = ("--output-folder", str(self.folder / "out"))
        sides: dict[str, Side] = {
            THROUGH_REDIS: partial(self._classify, THROUGH_REDIS, *results),
            BY_REFERENCE: partial(self._classify, BY_REFERENCE, *folder),
        }
        if find_spec("ray") is None:
            self.leave_out("Ray", "ray", "ray")
        else:
            made = {"known": str(data), "sizes": sizes, "batch": _KERAS_BATCH}
            keras = self.peer("peers.ray_keras", folder=str(self.folder / "by-keras"), **made)
            sides[ON_RAY] = partial(self._classify, ON_RAY, *folder, "--engine", "ray")
            sides[RAY_KERAS] = lambda: keras.ask("predict", reviews=str(self._file))
        return {name: side for name, side in sides.items() if self.only in ("", name)}

    def _classify(self, way: str, *options: str) -> float:
        """Run the command on the file; return its seconds."""
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        log = self.folder / "command.log"
        command = ("classify", str(self._file), "--model", f"imdb_lstm@{self._version}", *options)
        began = time.perf_counter()
        with (
            memory_of(self._daemon) as most,
            running("seqd", log, self._daemon.variables, *command) as program,
        ):
            program.wait()
            seconds = time.perf_counter() - began
        if program.returncode:
            raise failure(f"{way} has failed", log)
        self._taken[way].append(most)
        return seconds

    def _compare(self, speeds: Mapping[str, list[float]]) -> None:
        self.report.add("reviews a second", [row(one, "a second", speeds[one]) for one in speeds])
        for other in filter(speeds.get, (THROUGH_REDIS, RAY_KERAS)):
            beside = [
                row(f"{one} / {other}", "times", ratios(speeds[one], speeds[other]))
                for one in speeds
                if one != other
            ]
            self.report.add(f"how many times as fast as {other}", beside)
        taken = [
            row(f"{whose}, {way}", "bytes", [most[whose] for most in rounds])
            for whose in ("redis", "workers")
            for way, rounds in self._taken.items()
            if way != ON_RAY
        ]
        self.report.add("memory at most, beyond that of before", taken)


@contextmanager
def memory_of(daemon: Daemon) -> Iterator[dict[str, int]]:
    """Look at a daemon's memory during a block; give the most that was taken, beyond the first."""
    most, is_over, first = {"redis": 0, "workers": 0}, Event(), daemon.memory_bytes()

    def look() -> None:
        while not is_over.wait(_LOOK_S):
            for name, value in daemon.memory_bytes().items():
                most[name] = max(most[name], value - first[name])

    looking = Thread(target=look)
    looking.start()
    try:
        yield most
    finally:
        is_over.set()
        looking.join()

"""A large file by each way that seqd has for it, beside what a user of Ray and Keras would write.

The ways: through Redis, by reference, and `--engine ray`. Each is a command, from its start to its
end. What Redis and the workers take in memory is looked at meanwhile.
"""

import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread

from bench.case import Case, option
from bench.daemon import Daemon, failure, running
from bench.report import Side, in_turn, ratios, row, say, warm_up
from bench.texts import TRAIN_FILE, reviews_of
from seqd.analysis.plots import canvas

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
class Memory:
    """What Redis and the workers have taken, in bytes beyond those of before, look by look."""

    seconds: list[float] = field(default_factory=list)
    bytes_of: dict[str, list[int]] = field(default_factory=lambda: {"redis": [], "workers": []})

    def most(self, whose: str) -> int:
        """Return the most of it."""
        return max(self.bytes_of[whose], default=0)

    def draw(self, path: Path, title: str) -> None:
        """Draw it over time into a PNG file. Raises InvalidRequest where that cannot be."""
        with canvas(path, 8.0, 4.0) as sheet:
            axes = sheet.figure.subplots()
            for whose, taken in self.bytes_of.items():
                axes.plot(self.seconds, [one / 1e6 for one in taken], label=whose)
            axes.set(title=title, xlabel="seconds", ylabel="MB beyond those of before")
            axes.grid(visible=True, alpha=0.25)
            axes.legend(frameon=False)


@dataclass
class Sizes(Case):
    """Classify a large file through Redis, by reference and on Ray, beside Ray Data with Keras."""

    what = "JSON Lines to results, the commands' starts and that of Ray included"

    reviews: int = option(250_000, "reviews of the file, those of the data again and again")
    rounds: int = option(3, "rounds; sides take turns")
    only: str = option("", f"one of the ways: {THROUGH_REDIS}, {BY_REFERENCE}")
    picture: Path | None = option(None, "PNG of the memory by reference, in the last round", Path)

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
        #: What each way took in each round.
        self._taken = defaultdict[str, list[Memory]](list)
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
            memory_of(self._daemon) as taken,
            running("seqd", log, self._daemon.variables, *command) as program,
        ):
            program.wait()
            seconds = time.perf_counter() - began
        if program.returncode:
            raise failure(f"{way} has failed", log)
        self._taken[way].append(taken)
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
            row(f"{whose}, {way}", "bytes", [each.most(whose) for each in rounds])
            for whose in ("redis", "workers")
            for way, rounds in self._taken.items()
            if way != ON_RAY
        ]
        self.report.add("memory at most, beyond that of before", taken)
        if self.picture and (rounds := self._taken[BY_REFERENCE]):
            rounds[-1].draw(self.picture, f"{self.reviews:,} reviews by reference")


@contextmanager
def memory_of(daemon: Daemon) -> Iterator[Memory]:
    """Look at a daemon's memory during a block."""
    taken, is_over, first, began = Memory(), Event(), daemon.memory_bytes(), time.monotonic()

    def look() -> None:
        while not is_over.wait(_LOOK_S):
            found = daemon.memory_bytes()
            taken.seconds.append(time.monotonic() - began)
            for whose, values in taken.bytes_of.items():
                values.append(found[whose] - first[whose])

    looking = Thread(target=look)
    looking.start()
    try:
        yield taken
    finally:
        is_over.set()
        looking.join()

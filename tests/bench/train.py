"""Seconds an epoch of the preset `tutorial`, beside the tutorial's own script.

seqd's side is a training job on a training slot; the script's is `fit` on reviews padded to one
length. Both train on the same reviews with all cores, in turn, and validate on the same ones.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from bench.case import Case, option
from bench.report import in_turn, ratios, row, say
from bench.texts import TEST_FILE, TRAIN_FILE, reviews_of
from seqd.errors import InvalidRequest, InvalidSettings
from seqd_schemas import Epoch, FileSource

#: Reviews of the training that warms the worker up: it imports its libraries on its first job.
_WARM_UP = 200
_MODEL = ("imdb_lstm", "tutorial")


@dataclass
class Train(Case):
    """Train the preset `tutorial` beside the tutorial's script, epoch for epoch."""

    what = "imdb_lstm, preset tutorial, beside the tutorial's script, all cores a side"

    slots: str = option("train@cpu", "training slot")
    held_out: Path | None = option(None, "file to validate on; needed with --file", Path)
    reviews: int = option(25_000, "reviews to train on")
    epochs: int = option(2, "epochs of a round, at least 2")
    rounds: int = option(2, "rounds; sides take turns")

    def measure(self) -> None:
        if find_spec("tensorflow") is None:
            raise InvalidSettings("this needs Keras and TensorFlow: pip install 'seqd[cpu]'")
        if (self.file is None) != (self.held_out is None):
            raise InvalidRequest("--file and --held-out go together; give both, or neither")
        reviews = reviews_of(self.file_or(TRAIN_FILE), self.reviews)
        other = self.held_out or self.file_or(TEST_FILE)
        held_out = reviews_of(other, max(16, self.reviews // 5), 1)
        daemon = self.daemon(self.slots)
        sizes = daemon.tutorial_sizes()
        self.report.setup |= {
            "reviews": len(reviews),
            "reviews from": reviews.source,
            "validated on": f"{len(held_out):,} of {held_out.source}",
            "batch": sizes["batch"],
        }
        say("warming up")
        daemon.train(reviews.write(self.folder / "few.jsonl", _WARM_UP), *_MODEL, epochs=1)
        files = {
            "reviews": str(reviews.write(self.folder / "reviews.jsonl")),
            "held_out": str(held_out.write(self.folder / "held-out.jsonl")),
        }
        script = self.peer("peers.keras_reviews", None, sizes=sizes, batch=sizes["batch"], **files)
        took: dict[str, list[float]] = {
            "seqd, preset tutorial": [],
            "the tutorial's script": [],
            "seqd, with validation and checkpoint": [],
            "the tutorial's script, with validation": [],
        }
        our_s, their_s, our_whole_s, their_whole_s = took.values()
        job_s: list[float] = []

        def seqd() -> float:
            with daemon.client() as client:
                source, validation = (FileSource(path=path) for path in files.values())
                job = client.train(source, model=_MODEL[0], preset=_MODEL[1], held_out=validation,
                                   parameters={"epochs": self.epochs})  # fmt: skip
                epochs = [event for event in job.events() if isinstance(event, Epoch)]
                record = job.wait()
            our_s.extend(epoch.seconds for epoch in epochs)
            our_whole_s.extend((b.at_ms - a.at_ms) / 1000 for a, b in pairwise(epochs))
            job_s.append(((record.ended_at_ms or 0) - record.created_at_ms) / 1000)
            return sum(our_s[-self.epochs :]) / self.epochs

        def the_script() -> float:
            answer = script.ask("fit", epochs=self.epochs)
            their_s.extend(answer["epoch_s"])
            their_whole_s.extend(answer["with_validation_s"])
            return sum(their_s[-self.epochs :]) / self.epochs

        figures = in_turn({"seqd": seqd, "script": the_script}, self.rounds)
        rows = [row(name, "s", seconds) for name, seconds in took.items()]
        self.report.add("seconds an epoch", rows)
        times = ratios(figures["script"], figures["seqd"])
        self.report.add("how many times as fast", [row("seqd / script", "times", times)])
        whole = row("from handing in to the version in the store", "s", job_s)
        self.report.add(f"a whole training job of {self.epochs} epochs", [whole])

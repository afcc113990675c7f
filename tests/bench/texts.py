"""The texts that benchmarks work on: from a file, or made up with lengths like those of reviews."""

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.peers.padding import words_of
from seqd.cli.demo.sample_data import compose_reviews, compose_text
from seqd.inputs.datasets import FileDataset
from seqd_schemas import FileSource

#: Where `--data` has its files.
TRAIN_FILE, TEST_FILE = Path("imdb") / "train.jsonl.gz", Path("imdb") / "test-5k.jsonl.gz"
TEXT_FILE = Path("nietzsche.txt")

#: Words of a made-up review: of the 25,000 of the Large Movie Review Dataset the median is 174,
#: the mean 234, one of ten has more than 460.
_MEDIAN_WORDS, _SIGMA = 174, 0.75
_FEWEST_WORDS, _MOST_WORDS = 10, 2_500
#: Composed reviews that made-up ones are put together from.
_POOL = 2_000
#: Characters of a made-up running text; about as many as in `nietzsche.txt`.
_TEXT_CHARS = 600_000


@dataclass(frozen=True)
class Reviews:
    """Labelled texts in memory, and where they come from."""

    rows: list[tuple[str, str]]
    source: str

    def __len__(self) -> int:
        return len(self.rows)

    def mean_tokens(self, longest: int) -> float:
        """Return how many ids a network reads of one, cut to `longest`, padding not included."""
        return sum(min(len(words_of(text)) + 1, longest) for text, _ in self.rows) / len(self)

    def write(self, path: Path, count: int = 0) -> Path:
        """Write `count` of them, or all, as JSONL with new ids, again from the start at the end."""
        encoded = [json.dumps({"text": text, "label": label})[1:] for text, label in self.rows]
        tails = itertools.islice(itertools.cycle(encoded), count or len(self))
        with path.open("w", encoding="utf-8") as file:
            for number, tail in enumerate(tails, start=1):
                file.write(f'{{"custom_id": "review-{number}", {tail}\n')
        return path


def reviews_of(path: Path | None, count: int, seed: int = 0) -> Reviews:
    """Read up to `count` reviews of a file, or make so many up without one. Raises InvalidData."""
    if path is None:
        return Reviews(list(made_up_reviews(count, seed)), "made-up reviews")
    records = FileDataset(FileSource(path=str(path.absolute()))).records()
    rows = [(record.text, str(record.label)) for record in itertools.islice(records, count)]
    return Reviews(rows, path.name)


def made_up_reviews(count: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Put composed reviews together to texts of realistic lengths, each with a label."""
    draw = random.Random(seed)
    pool = [review.text.split() for review in compose_reviews(min(count, _POOL), seed)]
    for number in range(count):
        drawn = round(draw.lognormvariate(0, _SIGMA) * _MEDIAN_WORDS)
        length = max(_FEWEST_WORDS, min(drawn, _MOST_WORDS))
        words: list[str] = []
        while len(words) < length:
            words += draw.choice(pool)
        yield " ".join(words[:length]), ("negative", "positive")[number % 2]


def running_text(path: Path | None) -> tuple[str, str]:
    """Return a text and where it comes from; a made-up one without a file."""
    if path is None:
        return compose_text(_TEXT_CHARS), "a made-up text"
    return path.read_text(encoding="utf-8"), path.name

"""The texts that benches work on: from a file, or made up with lengths like those of reviews.

Both sides of a bench read the same JSONL file, which is written here. Knows no daemon.
"""

import gzip
import itertools
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from seqd.bench.peers.padding import real_tokens
from seqd.demo.reviews import compose_reviews
from seqd.demo.text import compose_text
from seqd.errors import InvalidInput
from seqd.inputs import FileDataset, read_items
from seqd_schemas import FileSource, Item

#: Where `--data` has its files.
TRAIN_FILE = Path("imdb") / "train.jsonl.gz"
TEST_FILE = Path("imdb") / "test-5k.jsonl.gz"
TEXT_FILE = Path("nietzsche.txt")

#: Words of a made-up review: of the 25,000 of the Large Movie Review Dataset the median is 174,
#: the mean 234, one of ten has more than 460.
_MEDIAN_WORDS, _SIGMA = 174, 0.75
_FEWEST_WORDS, _MOST_WORDS = 10, 2_500
#: Composed reviews that made-up ones are put together from.
_POOL = 2_000
#: Characters of a made-up running text; about as many as in `nietzsche.txt`.
_TEXT_CHARS = 600_000
_LABELS = ("negative", "positive")


@dataclass(frozen=True, slots=True)
class Reviews:
    """Labelled texts in memory, in order."""

    rows: tuple[tuple[str, str], ...]
    #: Where they come from, for the report.
    source: str

    def __len__(self) -> int:
        return len(self.rows)

    def tokens(self, longest: int) -> int:
        """Count the ids that a network reads of them, cut to `longest` each."""
        return real_tokens([text for text, _ in self.rows], longest)

    def first(self, count: int) -> "Reviews":
        """Give the first ones."""
        return Reviews(self.rows[:count], self.source)

    def write(self, path: Path, count: int | None = None) -> Path:
        """Write `count` of them as JSONL with new ids, from the start again where they end."""
        encoded = [json.dumps({"text": text, "label": label})[1:] for text, label in self.rows]
        with path.open("w", encoding="utf-8") as file:
            tails = itertools.islice(
                itertools.cycle(encoded), len(self) if count is None else count
            )
            file.writelines(
                f'{{"custom_id": "review-{number}", {tail}\n'
                for number, tail in enumerate(tails, start=1)
            )
        return path


def file_in(data: Path | None, name: Path) -> Path | None:
    """Give a file of the data folder; None without a folder. Raises InvalidInput."""
    if data is None:
        return None
    path = data / name
    if not path.is_file():
        raise InvalidInput(
            f"--data is {data}, which has no {name}; allowed: a folder with {TRAIN_FILE}, "
            f"{TEST_FILE} and {TEXT_FILE}. Name another, or leave it away for made-up texts."
        )
    return path


def reviews_of(path: Path | None, count: int, *, seed: int = 0) -> Reviews:
    """Read up to `count` texts of a file, or make so many up where there is none.

    Labels are alternating where the file has none: they change no speed. Raises InvalidInput.
    """
    if path is None:
        return Reviews(tuple(made_up_reviews(count, seed)), "made-up reviews")
    source = FileSource(path=str(path.absolute()))
    texts = (entry.text for entry in read_items(source) if isinstance(entry, Item))
    labels = itertools.cycle(_LABELS)
    return _at_least_one(zip(itertools.islice(texts, count), labels, strict=False), path)


def labelled_reviews_of(path: Path | None, count: int, *, seed: int = 0) -> Reviews:
    """Read up to `count` labelled texts of a file, or make so many up. Raises InvalidInput."""
    if path is None:
        return reviews_of(None, count, seed=seed)
    records = FileDataset(FileSource(path=str(path.absolute()))).records()
    rows = ((record.text, str(record.label)) for record in itertools.islice(records, count))
    return _at_least_one(rows, path)


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
        yield " ".join(words[:length]), _LABELS[number % 2]


def running_text(path: Path | None) -> tuple[str, str]:
    """Give a text and where it comes from; a made-up one without a file. Raises InvalidInput."""
    if path is None:
        return compose_text(_TEXT_CHARS), "a made-up text"
    opened = gzip.open if path.suffix == ".gz" else Path.open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            return str(file.read()), path.name
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read ({error}); allowed: a text in UTF-8") from None


def _at_least_one(rows: Iterable[tuple[str, str]], path: Path) -> Reviews:
    found = tuple(rows)
    if not found:
        raise InvalidInput(
            f"{path} holds no text that can be used; allowed: what `seqd classify` takes"
        )
    return Reviews(found, path.name)

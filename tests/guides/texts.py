"""Files that the guides take from their reader, of a size that is learnt in seconds."""

import json
import random
from collections.abc import Callable, Iterator, Mapping

WHO = ("the cat", "a rat", "the old keeper", "a sailor", "nobody")
DOES = ("sat on", "looked at", "walked to", "spoke of", "slept under")
WHAT = ("the mat", "a lighthouse", "the harbour", "the sea", "a boat")

TOPICS = {"sport": "the striker scored in the match", "politics": "parliament voted on a law"}

#: Words that tell a class, German and Chinese.
DESKS = {
    "Versand": ("Paket", "Lieferung", "Bote", "Päckchen", "包裹", "快递"),
    "Rechnung": ("Rechnung", "Mahnung", "Gebühr", "Betrag", "发票", "账单"),
    "Technik": ("Gerät", "Bildschirm", "Kabel", "Gehäuse", "屏幕", "电池"),
}


def prose(sentences: int) -> Callable[[], str]:
    """Return what writes sentences that a model learns the look of."""

    def write() -> str:
        drawn = random.Random(1)
        return "".join(
            f"{drawn.choice(WHO)} {drawn.choice(DOES)} {drawn.choice(WHAT)}. ".capitalize()
            for _ in range(sentences)
        )

    return write


def topics(count: int, name: str) -> Callable[[], str]:
    """Return what writes labelled texts of two classes, each with one of its own in it."""

    def write() -> str:
        labels = [list(TOPICS)[number % 2] for number in range(count)]
        return _lines(
            {"text": f"{TOPICS[label]} on day {number} of {name}", "label": label}
            for number, label in enumerate(labels)
        )

    return write


def messages(count: int, seed: int) -> Callable[[], str]:
    """Return what writes messages of three classes; each tells its class by one word alone."""

    def write() -> str:
        drawn = random.Random(seed)
        labels = [list(DESKS)[number % 3] for number in range(count)]
        return _lines(
            {"text": f"Bitte klären: {drawn.choice(DESKS[label])} 你好 {number}", "label": label}
            for number, label in enumerate(labels)
        )

    return write


def _lines(records: Iterator[Mapping[str, str]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)

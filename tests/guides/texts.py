"""Files that the guides take from their reader, of a size that is learnt in seconds."""

import json
import random
from collections.abc import Callable, Mapping, Sequence

WHO = ("the cat", "a rat", "the old keeper", "a sailor", "nobody")
DOES = ("sat on", "looked at", "walked to", "spoke of", "slept under")
WHAT = ("the mat", "a lighthouse", "the harbour", "the sea", "a boat")

TOPICS = {
    "sport": ("the striker scored in the match",),
    "politics": ("parliament voted on a law",),
}

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


def labelled(count: int, name: str, words: Mapping[str, Sequence[str]]) -> Callable[[], str]:
    """Return what writes texts of all classes in turn, each told by one word of its class alone."""

    def write() -> str:
        drawn = random.Random(name)
        labels = [list(words)[number % len(words)] for number in range(count)]
        texts = [f"{drawn.choice(words[one])} on day {n} of {name}" for n, one in enumerate(labels)]
        records = [
            {"text": text, "label": label} for text, label in zip(texts, labels, strict=True)
        ]
        return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)

    return write

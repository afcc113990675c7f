"""Composes a running text for a small training: days in a harbour town, in words of our own.

Simple and repetitive on purpose: within a minute on one core a network learns to spell from
it, and the samples after each epoch show how. Pure: the same seed gives the same text.
"""

import random

from seqd.demo.sample_data import sample_data


def compose_text(characters: int, seed: int = 0) -> str:
    """Give a text of whole paragraphs that is at least `characters` long."""
    draw = random.Random(seed)
    paragraphs: list[str] = []
    length = 0
    while length < characters:
        paragraphs.append(" ".join(_sentence(draw) for _ in range(draw.randint(3, 6))))
        length += len(paragraphs[-1]) + 1
    return "\n".join(paragraphs) + "\n"


def _sentence(draw: random.Random) -> str:
    parts = sample_data()["text"]
    who, when, did = (
        draw.choice(parts["who"]),
        draw.choice(parts["when"]),
        draw.choice(parts["did"]),
    )
    weather, said = draw.choice(parts["weather"]), draw.choice(parts["said"])
    form = draw.choice(parts["sentences"])
    sentence = form.format(who=who, when=when, did=did, weather=weather, said=said)
    return sentence[0].upper() + sentence[1:] if sentence[0] != '"' else sentence

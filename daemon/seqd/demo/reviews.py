"""Composes labelled film reviews: English of our own, varied, and of mixed opinions.

A review has a stance, which is its label, and opinions on several aspects of its film, some
of which go against the stance, as in real reviews. So a classifier can be wrong, and its
accuracy on them says something, though they are easier than what people write. Pure: the
same seed gives the same reviews.
"""

import random
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from seqd.demo.sample_data import sample_data

Stance = Literal["positive", "negative"]
STANCES: Final[tuple[Stance, Stance]] = ("negative", "positive")

#: How far a review's opinions follow its stance, from torn to sure.
_LEANINGS: Final = (0.55, 0.65, 0.75, 0.85, 1.0)
_OPINIONS: Final = (4, 9)
#: Share of reviews that end on a verdict; the others leave it to the reader.
_WITH_VERDICT: Final = 0.6


class Review(NamedTuple):
    """One review."""

    custom_id: str
    text: str
    label: Stance


def compose_reviews(count: int, seed: int = 0) -> Iterator[Review]:
    """Give `count` distinct reviews, of which every other one is positive on average."""
    draw = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        stance = draw.choice(STANCES)
        text = _compose(draw, stance)
        if text not in seen:
            seen.add(text)
            yield Review(f"review-{len(seen):04}", text, stance)


def _compose(draw: random.Random, stance: Stance) -> str:
    parts = sample_data()["reviews"]
    leaning = draw.choice(_LEANINGS)
    film = _film(draw)
    sentences = [draw.choice(parts["openings"]).format(**film)]
    for aspect in draw.sample(parts["aspects"], draw.randint(*_OPINIONS)):
        against = draw.random() > leaning
        opinion = aspect[_other(stance) if against else stance]
        sentences.append(draw.choice(opinion).format(**film))
        if draw.random() < 0.35:
            sentences.append(draw.choice(parts["facts"]).format(**film))
    if draw.random() < _WITH_VERDICT:
        sentences.append(draw.choice(parts["verdicts"][stance]).format(**film))
    return " ".join(sentences)


def _film(draw: random.Random) -> dict[str, str]:
    parts = sample_data()["reviews"]
    lead, other = draw.sample(parts["names"], 2)
    return {
        "title": f"{draw.choice(parts['title_fronts'])} {draw.choice(parts['title_backs'])}",
        "lead": lead,
        "other": other,
        "director": draw.choice(parts["names"]),
        "place": draw.choice(parts["places"]),
        "genre": draw.choice(parts["genres"]),
        "year": str(draw.randint(1948, 2009)),
        "minutes": str(draw.randint(78, 154)),
    }


def _other(stance: Stance) -> Stance:
    return "negative" if stance == "positive" else "positive"

"""Composes what the demo and the tests read: labelled film reviews, and a running text.

English of our own, put together from `sample_data.json`; the same seed gives the same reviews and
the same text. A review has a stance, which is its label, and opinions on several aspects of its
film, some of which go against the stance, as in real reviews. So a classifier can be wrong, and
its accuracy says something, though they are easier than what people write. The text, days in a
harbour town, is simple and repetitive, so that a network learns to spell from it within a minute
on one core.
"""

import json
import random
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Final, Literal, NamedTuple, TypedDict

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
    """Yield `count` distinct reviews, half of them positive on average."""
    draw = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        stance = draw.choice(STANCES)
        text = _review_text(draw, stance)
        if text not in seen:
            seen.add(text)
            yield Review(f"review-{len(seen):04}", text, stance)


class ReviewParts(TypedDict):
    """Parts of a film review; fields are a film's: title, lead, other, director, place …"""

    openings: list[str]
    facts: list[str]
    #: For each aspect of a film, sentences by stance.
    aspects: list[dict[str, list[str]]]
    #: Closing sentences by stance.
    verdicts: dict[str, list[str]]
    title_fronts: list[str]
    title_backs: list[str]
    names: list[str]
    places: list[str]
    genres: list[str]


class TextParts(TypedDict):
    """Parts of the running text: sentences, and what fills each of their fields."""

    sentences: list[str]
    who: list[str]
    when: list[str]
    did: list[str]
    weather: list[str]
    said: list[str]


class SampleData(TypedDict):
    """The whole of `sample_data.json`."""

    reviews: ReviewParts
    text: TextParts


def compose_text(characters: int, seed: int = 0) -> str:
    """Return a text of whole paragraphs that has at least so many characters."""
    draw = random.Random(seed)
    paragraphs: list[str] = []
    length = 0
    while length < characters:
        paragraphs.append(" ".join(_sentence(draw) for _ in range(draw.randint(3, 6))))
        length += len(paragraphs[-1]) + 1
    return "\n".join(paragraphs) + "\n"


@cache
def sample_data() -> SampleData:
    """Return the content of `sample_data.json`, read once."""
    content: SampleData = json.loads(
        files("seqd.cli.demo").joinpath("sample_data.json").read_text(encoding="utf-8")
    )
    return content


def _review_text(draw: random.Random, stance: Stance) -> str:
    parts = sample_data()["reviews"]
    leaning = draw.choice(_LEANINGS)
    film = _film(draw)
    sentences = [draw.choice(parts["openings"]).format(**film)]
    for aspect in draw.sample(parts["aspects"], draw.randint(*_OPINIONS)):
        against = draw.random() > leaning
        other = "negative" if stance == "positive" else "positive"
        opinion = aspect[other if against else stance]
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

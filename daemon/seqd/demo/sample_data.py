"""Reads what the demo's reviews and its text are put together from, out of `sample_data.json`.

English of our own, made up for this project. Fields in braces are filled by `reviews` and `text`.
"""

import json
from functools import cache
from importlib.resources import files
from typing import TypedDict


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
    """The whole file."""

    reviews: ReviewParts
    text: TextParts


@cache
def sample_data() -> SampleData:
    """Return the file's content, read once."""
    found: SampleData = json.loads(
        files("seqd.demo").joinpath("sample_data.json").read_text(encoding="utf-8")
    )
    return found

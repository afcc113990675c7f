"""Splits a text into sentences, by a stated rule.

By punctuation, for running text: a sentence ends behind `.`, `!`, `?` or `…`, with the quotes and
brackets that close there, where blanks follow, and, in a text that has capital letters, no small
letter behind them; behind `。`, `！` or `？` at once; and at a blank line. A point behind a single
letter but i, as an initial is, or behind one of a few abbreviations ends none. By lines: each line
is a sentence. Pure functions; used by `reading`.
"""

import itertools
import re
from typing import Literal

Ends = Literal["punctuation", "lines"]

_CANDIDATE = re.compile(r"[.!?…]+[\"”’')\]»]*\s+|[。！？]+[」』”’）]*\s*|\n[^\S\n]*\n\s*")
_LINE_END = re.compile(r"[\r\n]+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"“'‘])(?:[a-hj-z]|mrs?|ms|dr|prof|st|jr|sr|vs|cf|etc|e\.g|i\.e|vol|pp|fig)\.$",
    re.IGNORECASE,
)

#: Characters before a point that are looked at for an abbreviation.
_LOOKED_AT = 8


def split_sentences(text: str, ends: Ends) -> list[str]:
    """The sentences of a text, without blanks around them; runs of blanks inside are one space."""
    places = [0, *sentence_ends(text, ends), len(text)]
    pieces = (" ".join(text[first:last].split()) for first, last in itertools.pairwise(places))
    return [piece for piece in pieces if piece]


def sentence_ends(text: str, ends: Ends) -> list[int]:
    """The places inside a text where one sentence has ended and the next begins."""
    if ends == "lines":
        return [match.end() for match in _LINE_END.finditer(text) if match.end() < len(text)]
    has_capitals = text != text.lower()
    return [
        match.end() for match in _CANDIDATE.finditer(text) if _is_end(text, match, has_capitals)
    ]


def _is_end(text: str, match: re.Match[str], has_capitals: bool) -> bool:
    found, place = match.group(), match.end()
    if place == len(text):
        return False  # what follows decides
    if found[0] in "\n。！？" or found.count("\n") > 1:
        return True
    if has_capitals and text[place].islower():
        return False
    point = match.start() + 1
    return not (
        found.startswith(".")
        and not found.startswith("..")
        and _ABBREVIATION.search(text[max(0, point - _LOOKED_AT) : point])
    )

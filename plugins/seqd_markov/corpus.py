"""Reads a text in chunks, and as sentences: training data, a text to measure, a prompt.

Only the current chunk is held in memory. Chunks are cut at white space, and where texts are
sentences at the end of one, so that no word and no sentence is cut in two.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from seqd.hookspecs import Dataset, TextSegment
from seqd_markov.tokenizers import Tokenizer

#: What ends a sentence.
SentenceEnds = Literal["punctuation", "lines"]

#: Characters that are read at once: 0.2 s of work.
CHUNK_CHARACTERS = 1_000_000

#: Characters that a word has at most, where it is not to be cut; more have no white space at all.
_LONGEST_WORD = 100

_CANDIDATE = re.compile(r"[.!?…]+[\"”’')\]»]*\s+|[。！？]+[」』”’）]*\s*|\n[^\S\n]*\n\s*")
_LINE_END = re.compile(r"[\r\n]+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"“'‘])(?:[a-hj-z]|mrs?|ms|dr|prof|st|jr|sr|vs|cf|etc|e\.g|i\.e|vol|pp|fig)\.$",
    re.IGNORECASE,
)

#: Characters before a full stop that are searched for an abbreviation.
_ABBREVIATION_WINDOW = 8


@dataclass(frozen=True)
class Chunk:
    """A part of a text; the next chunk continues where it ends."""

    text: str
    label: str | None = None


@dataclass(frozen=True)
class CorpusPart:
    """The first `border` characters of a data set, or the rest of it; all of it without a border.

    With `keeps_words` the border moves to the end of the word that it would cut.
    """

    data: Dataset
    border: int | None = None
    is_rest: bool = False
    keeps_words: bool = False

    def chunks(self, ends: SentenceEnds | None, *, by_label: bool = False) -> Iterator[Chunk]:
        """Yield the text in chunks; `ends` is None where texts are not sentences."""
        return chunks_of(self._segments(), ends, by_label=by_label)

    def _segments(self) -> Iterator[TextSegment]:
        if self.border is None:
            yield from self.data.segments()
            return
        before = 0
        for segment in self.data.segments():
            place = min(max(self.border - before, 0), len(segment.text))
            if place and self.keeps_words:
                place = _end_of_word(segment.text, place)
            before += len(segment.text)
            text = segment.text[place:] if self.is_rest else segment.text[:place]
            if text:
                yield replace(segment, text=text)


def text_chunks(text: str, ends: SentenceEnds | None) -> Iterator[Chunk]:
    """Yield one text in chunks."""
    return chunks_of([TextSegment(text)], ends)


def chunks_of(
    segments: Iterable[TextSegment], ends: SentenceEnds | None, *, by_label: bool = False
) -> Iterator[Chunk]:
    """Yield consecutive text segments as chunks, cut where a text may be cut.

    Records are joined by a newline, or by a blank line, which ends a sentence. `by_label` keeps
    records of different labels in different chunks.
    """
    joint = "\n" if ends is None else "\n\n"
    rest, label, starts_record, is_first = "", None, True, True
    for segment in segments:
        if by_label and segment.label != label:
            if rest:
                yield Chunk(rest, label)
            rest, label = "", segment.label
        if starts_record and not is_first:
            rest += joint
        starts_record, is_first = segment.ends_record, False
        for first in range(0, len(segment.text), CHUNK_CHARACTERS):
            rest += segment.text[first : first + CHUNK_CHARACTERS]
            while len(rest) > CHUNK_CHARACTERS:
                place = _best_cut(rest[:CHUNK_CHARACTERS], ends)
                yield Chunk(rest[:place], label)
                rest = rest[place:]
    if rest:
        yield Chunk(rest, label)


def encode_chunk(
    text: str, tokenizer: Tokenizer, ends: SentenceEnds | None
) -> npt.NDArray[np.int32]:
    """Return the ids of a chunk; each of its sentences stands between `begin` and `end`."""
    if ends is None:
        return tokenizer.encode(text)
    begin, end = np.array([tokenizer.begin], np.int32), np.array([tokenizer.end], np.int32)
    parts = [np.empty(0, np.int32)]
    for sentence in split_sentences(text, ends):
        parts += [begin, tokenizer.encode(sentence), end]
    return np.concatenate(parts)


def encode_prompt(
    prompt: str, tokenizer: Tokenizer, ends: SentenceEnds | None
) -> npt.NDArray[np.int32]:
    """Return the ids of a text that is to be continued; its last sentence is still open.

    White space after a mark that may end the sentence does end it: the continuation then begins
    another one.
    """
    if ends is None:
        return tokenizer.encode(prompt)
    # A capital letter behind the prompt shows whether its last sentence could end here.
    ended = prompt[-1:].isspace() and len(prompt) in sentence_ends(prompt + "A", ends)
    ids = encode_chunk(prompt, tokenizer, ends)
    if len(ids) and not ended:
        return ids[:-1]
    return np.concatenate([ids, np.array([tokenizer.begin], np.int32)])


def sentences_of(text: str, ends: SentenceEnds | None) -> list[str]:
    """Return the sentences of a chunk, or the chunk itself where texts are not sentences."""
    return [text] if ends is None else split_sentences(text, ends)


def split_sentences(text: str, ends: SentenceEnds) -> list[str]:
    """Return the sentences of a text, stripped, each run of white space as one space."""
    places = [0, *sentence_ends(text, ends), len(text)]
    parts = (" ".join(text[first:last].split()) for first, last in itertools.pairwise(places))
    return [part for part in parts if part]


def sentence_ends(text: str, ends: SentenceEnds) -> list[int]:
    """Return the places inside a text where one sentence has ended and the next begins.

    By `lines` each line is a sentence. By `punctuation` a sentence ends at a blank line, after
    `。`, `！` or `？`, and after `.`, `!`, `?` or `…` with closing quotes and brackets where white
    space follows and, in a text that has capital letters, no small letter after it. A full stop
    after a single letter other than i, as of an initial, or after one of a few abbreviations does
    not end one.
    """
    if ends == "lines":
        return [match.end() for match in _LINE_END.finditer(text) if match.end() < len(text)]
    has_capitals = text != text.lower()
    return [
        match.end() for match in _CANDIDATE.finditer(text) if _is_end(text, match, has_capitals)
    ]


def normalised_length(text: str) -> int:
    """Return the characters of a text, each run of white space counted as one, stripped."""
    return len(" ".join(text.split()))


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
        and _ABBREVIATION.search(text[max(0, point - _ABBREVIATION_WINDOW) : point])
    )


def _best_cut(text: str, ends: SentenceEnds | None) -> int:
    sentences = [] if ends is None else sentence_ends(text, ends)
    if sentences:
        return sentences[-1]
    return max(text.rfind(" "), text.rfind("\n")) + 1 or len(text)


def _end_of_word(text: str, place: int) -> int:
    """Return the first white space at a place or behind it; the place itself if none is near."""
    end = min(place + _LONGEST_WORD, len(text))
    return next((at for at in range(place, end) if text[at].isspace()), place)

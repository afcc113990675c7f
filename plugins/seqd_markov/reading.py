"""Reads a text in pieces as ids: a training's data, a text to measure, a prompt.

Nothing is held in memory but the piece at hand. Pieces are cut at blanks, and where texts are
sentences at the end of one, so that no word or sentence is cut in two. Used by `training`,
`measuring` and `generation`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from seqd.hookspecs import Dataset, TextSegment
from seqd_markov.sentences import Ends, sentence_ends, split_sentences
from seqd_markov.tokens import Tokens

#: Characters that are read at once: 0.2 s of work.
CHUNK_CHARACTERS = 1_000_000

#: Characters that a word has at most, where it is not to be cut; more have no blanks at all.
_LONGEST_WORD = 100


@dataclass(frozen=True)
class Chunk:
    """A part of a text; the next one goes on where it ends."""

    text: str
    label: str | None = None


@dataclass(frozen=True)
class Part:
    """The part of a data set that is learnt from, or the rest of it.

    The border is behind `border` characters, or behind the word that stands there; None where there
    is no rest.
    """

    data: Dataset
    border: int | None = None
    is_rest: bool = False
    keeps_words: bool = False

    def chunks(self, ends: Ends | None, *, by_label: bool = False) -> Iterator[Chunk]:
        """Give the text in chunks; `ends` says what ends a sentence, None that nothing does."""
        return chunks_of(self._pieces(), ends, by_label=by_label)

    def _pieces(self) -> Iterator[TextSegment]:
        if self.border is None:
            yield from self.data.segments()
            return
        before = 0
        for piece in self.data.segments():
            place = min(max(self.border - before, 0), len(piece.text))
            if place and self.keeps_words:
                place = _next_blank(piece.text, place)
            before += len(piece.text)
            text = piece.text[place:] if self.is_rest else piece.text[:place]
            if text:
                yield replace(piece, text=text)


def text_chunks(text: str, ends: Ends | None) -> Iterator[Chunk]:
    """Give one text in chunks."""
    return chunks_of([TextSegment(text)], ends)


def chunks_of(
    pieces: Iterable[TextSegment], ends: Ends | None, *, by_label: bool = False
) -> Iterator[Chunk]:
    """Put pieces together, and cut them where they may be cut.

    Records are joined by a newline, or by a blank line, which ends a sentence; `by_label` keeps
    those of different labels apart.
    """
    joint = "\n" if ends is None else "\n\n"
    rest, label, starts_record, is_first = "", None, True, True
    for piece in pieces:
        if by_label and piece.label != label:
            if rest:
                yield Chunk(rest, label)
            rest, label = "", piece.label
        if starts_record and not is_first:
            rest += joint
        starts_record, is_first = piece.ends_record, False
        for first in range(0, len(piece.text), CHUNK_CHARACTERS):
            rest += piece.text[first : first + CHUNK_CHARACTERS]
            while len(rest) > CHUNK_CHARACTERS:
                place = _cut(rest[:CHUNK_CHARACTERS], ends)
                yield Chunk(rest[:place], label)
                rest = rest[place:]
    if rest:
        yield Chunk(rest, label)


def ids_of(text: str, tokens: Tokens, ends: Ends | None) -> npt.NDArray[np.int32]:
    """The ids of a chunk; each of its sentences between `begin` and `end`."""
    if ends is None:
        return tokens.encode(text)
    begin, end = np.array([tokens.begin], np.int32), np.array([tokens.end], np.int32)
    parts = [np.empty(0, np.int32)]
    for sentence in split_sentences(text, ends):
        parts += [begin, tokens.encode(sentence), end]
    return np.concatenate(parts)


def sentences_of(text: str, ends: Ends | None) -> list[str]:
    """The texts that `ids_of` encodes one by one: sentences, or the chunk as it is."""
    return [text] if ends is None else split_sentences(text, ends)


def prompt_ids(prompt: str, tokens: Tokens, ends: Ends | None) -> npt.NDArray[np.int32]:
    """The ids of a text that is to be continued; its last sentence is still open.

    It has ended where blanks stand behind its last mark: what is written then begins another.
    """
    if ends is None:
        return tokens.encode(prompt)
    # A capital letter behind it shows whether the last sentence could end here.
    ended = prompt[-1:].isspace() and len(prompt) in sentence_ends(prompt + "A", ends)
    ids = ids_of(prompt, tokens, ends)
    if len(ids) and not ended:
        return ids[:-1]
    return np.concatenate([ids, np.array([tokens.begin], np.int32)])


def blank_free_length(text: str) -> int:
    """Characters of a text, each run of blanks counted as one and those around it as none."""
    return len(" ".join(text.split()))


def _cut(text: str, ends: Ends | None) -> int:
    """Where a text that goes on is best cut."""
    sentences = [] if ends is None else sentence_ends(text, ends)
    if sentences:
        return sentences[-1]
    return max(text.rfind(" "), text.rfind("\n")) + 1 or len(text)


def _next_blank(text: str, place: int) -> int:
    """The first blank at a place or behind it; the place itself where there is none near."""
    end = min(place + _LONGEST_WORD, len(text))
    return next((at for at in range(place, end) if text[at].isspace()), place)

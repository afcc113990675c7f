"""Turns text into ids and back: symbols, sentences, and data sets that are read in chunks.

Symbols are characters, or words and punctuation marks; an id of -1 is one that is not in the
vocabulary. Lower-casing happens here, so that a prompt is read as the training text was. Where
texts are sentences, two more ids are their beginning and their end.

Of a data set only the current chunk is held in memory. Chunks are cut at white space, and where
texts are sentences at the end of one, so that no word and no sentence is cut in two.
"""

import itertools
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from seqd.hookspecs import Dataset, TextSegment

Ids = npt.NDArray[np.integer]

#: What ends a sentence.
SentenceEnds = Literal["punctuation", "lines"]

#: Scripts without spaces between words, by the first words of their characters' names.
_UNSPACED = (
    "CJK ", "HIRAGANA", "KATAKANA", "THAI", "LAO ", "KHMER", "MYANMAR", "TIBETAN", "BOPOMOFO",
)  # fmt: skip

#: Character classes: w letter, n digit, m mark that belongs to the character before, i letter of
#: an unspaced script, a apostrophe, h hyphen, d full stop, c comma, s white space, p other mark.
_CLASSES = {"'": "a", "’": "a", "-": "h", "‐": "h", "–": "h", "—": "h", ".": "d", ",": "c"}

_TOKEN = re.compile(r"[wn][wnm]*(?:[ah](?=[wn])[wnm]+|(?<=n)[dc](?=n)[wnm]+)*|h+|d+|[^s]m*")

#: What a token asks for on one side: no space, or a space; a space stands between two tokens that
#: together ask for 2 * _WORD at least.
_NO_SPACE, _UNSPACED_SCRIPT, _WORD, _SPACE = range(4)


@dataclass(frozen=True)
class Tokenizer(ABC):
    """A vocabulary and its ids, and two ids beyond it where texts are sentences."""

    vocabulary: Sequence[str]
    lower_case: bool
    #: What ends a sentence; None where texts are not sentences.
    ends: SentenceEnds | None = None

    @property
    def symbols(self) -> int:
        """Number of ids, those of the beginning and the end of a sentence included."""
        return len(self.vocabulary) + (0 if self.ends is None else 2)

    @property
    def begin(self) -> int | None:
        """The id that begins a sentence; None where texts are not sentences."""
        return None if self.ends is None else len(self.vocabulary)

    @property
    def end(self) -> int | None:
        """The id that ends a sentence; None where texts are not sentences."""
        return None if self.ends is None else len(self.vocabulary) + 1

    @abstractmethod
    def encode(self, text: str) -> npt.NDArray[np.int32]:
        """Return the ids of a text, -1 for each unknown symbol; without begin and end."""

    @abstractmethod
    def decode(self, ids: Ids, after: int | None = None) -> str:
        """Return the text of some ids, as it goes on after the id `after`, or from nothing.

        Texts of consecutive ids, each given the last id before, are the text of all of them.
        `end` has no text, and `begin` has what separates two sentences.
        """

    def encode_chunk(self, text: str) -> npt.NDArray[np.int32]:
        """Return the ids of a chunk; each of its sentences stands between `begin` and `end`."""
        if self.ends is None:
            return self.encode(text)
        begin, end = np.array([self.begin], np.int32), np.array([self.end], np.int32)
        parts = [np.empty(0, np.int32)]
        for sentence in sentences_of(text, self.ends):
            parts += [begin, self.encode(sentence), end]
        return np.concatenate(parts)

    def encode_prompt(self, prompt: str) -> npt.NDArray[np.int32]:
        """Return the ids of a text that is to be continued; its last sentence is still open.

        White space after a mark that may end the sentence does end it: the continuation then begins
        another one.
        """
        ids = self.encode_chunk(prompt)
        if self.ends is None:
            return ids
        # A capital letter behind the prompt shows whether its last sentence could end here.
        ended = prompt[-1:].isspace() and len(prompt) in sentence_ends(prompt + "A", self.ends)
        if len(ids) and not ended:
            return ids[:-1]
        return np.append(ids, np.int32(len(self.vocabulary)))  # `begin`

    def shown(self, symbol: int) -> str:
        """Return one symbol for people: quoted, or <begin>, <end> or <unknown>."""
        if symbol < 0:
            return "<unknown>"
        if symbol >= len(self.vocabulary):
            return "<begin>" if symbol == self.begin else "<end>"
        return repr(self.vocabulary[symbol])

    @property
    def _separator(self) -> str:
        """What stands between two sentences."""
        return "\n" if self.ends == "lines" else " "

    def _cased(self, text: str) -> str:
        return text.lower() if self.lower_case else text


@dataclass(frozen=True)
class CharacterTokenizer(Tokenizer):
    """Characters; the vocabulary is one string of them, in code-point order."""

    vocabulary: str

    def encode(self, text: str) -> npt.NDArray[np.int32]:
        """Return the ids of a text, -1 for each unknown character."""
        codes = code_points(self._cased(text))
        return self._ids[np.minimum(codes, len(self._ids) - 1)]

    def decode(self, ids: Ids, after: int | None = None) -> str:
        """Return the text of some ids; see `Tokenizer`."""
        if self.ends is None:
            text: str = self._codes[ids].tobytes().decode("utf-32-le")
            return text
        parts = list(map(self._spellings.__getitem__, ids))
        if after is None and parts and ids[0] == self.begin:
            parts[0] = ""
        return "".join(parts)

    @cached_property
    def _codes(self) -> npt.NDArray[np.uint32]:
        return code_points(self.vocabulary)

    @cached_property
    def _ids(self) -> npt.NDArray[np.int32]:
        """The id of each code point up to the vocabulary's last, and -1 for all behind it."""
        ids = np.full(int(self._codes[-1]) + 2, -1, np.int32)
        ids[self._codes] = np.arange(len(self._codes))
        return ids

    @cached_property
    def _spellings(self) -> list[str]:
        return [*self.vocabulary, self._separator, ""]


@dataclass(frozen=True)
class WordTokenizer(Tokenizer):
    """Words and punctuation marks as `split_words` spells them, the most frequent first."""

    #: Read an unknown word as its lower-case form. For prompts, never for training.
    lower_case_fallback: bool = False

    def encode(self, text: str) -> npt.NDArray[np.int32]:
        """Return the ids of a text, -1 for each unknown word."""
        words = split_words(self._cased(text))
        return np.fromiter(map(self._id_of, words), np.int32, count=len(words))

    def unknown_in(self, texts: Iterable[str]) -> list[str]:
        """Return the words of some texts that are unknown, each as often as it occurs."""
        words = (word for text in texts for word in split_words(self._cased(text)))
        return [word for word in words if self._id_of(word) < 0]

    def decode(self, ids: Ids, after: int | None = None) -> str:
        """Return the text of some ids; see `Tokenizer`.

        A space stands between two words; a mark has the spaces that it had in the training text.
        """
        parts: list[str] = []
        for symbol in ids.tolist():
            if after is not None and _is_spaced(self._spacing[after][1], self._spacing[symbol][0]):
                parts.append(" ")
            if symbol != self.begin or after is not None:
                parts.append(self._spellings[symbol])
            after = symbol
        return "".join(parts)

    def _id_of(self, word: str) -> int:
        found = self._ids.get(word, -1)
        return self._ids.get(word.lower(), -1) if found < 0 and self.lower_case_fallback else found

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: symbol for symbol, word in enumerate(self.vocabulary)}

    @cached_property
    def _spellings(self) -> list[str]:
        return [*map(without_spaces, self.vocabulary), self._separator, ""]

    @cached_property
    def _spacing(self) -> list[tuple[int, int]]:
        """What each symbol asks for before and after it."""
        return [*map(_spacing_of, self.vocabulary), (_NO_SPACE, _NO_SPACE), (_NO_SPACE, _NO_SPACE)]


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """Return the code points of a text. Raises UnicodeEncodeError for a lone surrogate."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")


def split_words(text: str) -> list[str]:
    """Return the words and punctuation marks of a text in any script, in order.

    A word is a run of letters and digits with their combining marks, with apostrophes and hyphens
    inside, and full stops and commas between digits. A run of hyphens or of full stops is one
    mark. In scripts without spaces between words each character is a word. A mark keeps the spaces
    that it has in the text: ` (`, `) `, ` "` and `" ` are four different ones, so that quotes and
    brackets can be decoded. The beginning and the end of the text count as spaces.
    """
    classes = text.translate(_CHARACTER_CLASSES)
    words = []
    for match in _TOKEN.finditer(classes):
        first, last = match.span()
        word = text[first:last]
        if classes[first] not in "wni":
            before = " " if first == 0 or classes[first - 1] == "s" else ""
            after = " " if last == len(classes) or classes[last] == "s" else ""
            word = f"{before}{word}{after}"
        words.append(word)
    return words


def without_spaces(word: str) -> str:
    """Return a mark without the spaces that it keeps, and a word as it is."""
    return word.strip(" ")


def _spacing_of(word: str) -> tuple[int, int]:
    kind = _CHARACTER_CLASSES[ord(word[0])]
    if kind in "wn":
        return _WORD, _WORD
    if kind == "i":
        return _UNSPACED_SCRIPT, _UNSPACED_SCRIPT
    return (
        _SPACE if word.startswith(" ") else _NO_SPACE,
        _SPACE if word.endswith(" ") else _NO_SPACE,
    )


def _is_spaced(after: int, before: int) -> bool:
    """Return whether a space stands between two tokens that ask for this there.

    A mark decides. Two words have one; a character of an unspaced script has none beside it.
    """
    return after > _NO_SPACE and before > _NO_SPACE and after + before >= 2 * _WORD


class _CharacterClasses(dict[int, str]):
    """Classes of characters by code point, each found when it is first asked for."""

    def __missing__(self, code: int) -> str:
        self[code] = found = _class_of(chr(code))
        return found


def _class_of(character: str) -> str:
    if character in _CLASSES:
        return _CLASSES[character]
    category = unicodedata.category(character)
    if character.isspace() or category == "Cc":
        return "s"
    if category[0] == "M" or category == "Cf":
        return "m"
    if unicodedata.name(character, "").startswith(_UNSPACED):
        return "i" if category[0] in "LN" else "p"
    return {"L": "w", "N": "n"}.get(category[0], "p")


_CHARACTER_CLASSES = _CharacterClasses()


_CANDIDATE = re.compile(r"[.!?…]+[\"”’')\]»]*\s+|[。！？]+[」』”’）]*\s*|\n[^\S\n]*\n\s*")
_LINE_END = re.compile(r"[\r\n]+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"“'‘])(?:[a-hj-z]|mrs?|ms|dr|prof|st|jr|sr|vs|cf|etc|e\.g|i\.e|vol|pp|fig)\.$",
    re.IGNORECASE,
)

#: Characters before a full stop that are searched for an abbreviation.
_ABBREVIATION_WINDOW = 8


def sentences_of(text: str, ends: SentenceEnds | None) -> list[str]:
    """Return the sentences of a text, stripped, each run of white space as one space.

    That is the text itself, as it is, where texts are not sentences.
    """
    if ends is None:
        return [text]
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


#: Characters that are read at once: 0.2 s of work.
CHUNK_CHARACTERS = 1_000_000

#: Characters that a word has at most, where it is not to be cut; more have no white space at all.
_LONGEST_WORD = 100


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


def _best_cut(text: str, ends: SentenceEnds | None) -> int:
    sentences = [] if ends is None else sentence_ends(text, ends)
    if sentences:
        return sentences[-1]
    return max(text.rfind(" "), text.rfind("\n")) + 1 or len(text)


def _end_of_word(text: str, place: int) -> int:
    """Return the first white space at a place or behind it; the place itself if none is near."""
    end = min(place + _LONGEST_WORD, len(text))
    return next((at for at in range(place, end) if text[at].isspace()), place)

"""Finds the words and marks of a text, in any script, so that it can be put together again.

A token is a word (letters, digits and the signs that belong to them, with apostrophes and hyphens
inside, and points or commas between digits), a run of hyphens or points, or one other mark. In
scripts that put no spaces between words each character is a token. A mark is written with a
space before it, after it, on both sides or on none, as it stood in the text: ` (`, `) `, ` "` and
`" ` are tokens of their own, so that quotes and brackets keep their sides. A line's end is a
space like any other. Pure functions of a text; used by `tokens` and `training`.
"""

import re
import unicodedata

#: Scripts without spaces between words, by the first words of their characters' names.
_UNSPACED = (
    "CJK ", "HIRAGANA", "KATAKANA", "THAI", "LAO ", "KHMER", "MYANMAR", "TIBETAN", "BOPOMOFO",
)  # fmt: skip

#: Of the class of each character: w a letter, n a digit, m what belongs to the one before, i one
#: of an unspaced script, a an apostrophe, h a hyphen, d a point, c a comma, s a space, p the rest.
_CLASSES = {"'": "a", "’": "a", "-": "h", "‐": "h", "–": "h", "—": "h", ".": "d", ",": "c"}

#: Rooms: of a mark that stood close, of an unspaced script, of a word, of a mark with a space.
NO_ROOM, _UNSPACED_SCRIPT, _WORD, _SPACED = range(4)

_TOKEN = re.compile(r"[wn][wnm]*(?:[ah](?=[wn])[wnm]+|(?<=n)[dc](?=n)[wnm]+)*|h+|d+|[^s]m*")


class _Table(dict[int, str]):
    """Classes of characters by code point, found out on first sight."""

    def __missing__(self, code: int) -> str:
        self[code] = found = _class_of(chr(code))
        return found


def tokens_of(text: str) -> list[str]:
    """Give the tokens of a text in order."""
    classes = text.translate(_TABLE)
    tokens = []
    for match in _TOKEN.finditer(classes):
        first, last = match.span()
        token = text[first:last]
        if classes[first] not in "wni":
            before = " " if first == 0 or classes[first - 1] == "s" else ""
            after = " " if last == len(classes) or classes[last] == "s" else ""
            token = f"{before}{token}{after}"
        tokens.append(token)
    return tokens


def core_of(token: str) -> str:
    """A token without its spaces."""
    return token.strip(" ")


def room_of(token: str) -> tuple[int, int]:
    """How much room a token wants before it and after it; see `is_spaced`."""
    kind = _TABLE[ord(token[0])]
    if kind in "wn":
        return _WORD, _WORD
    if kind == "i":
        return _UNSPACED_SCRIPT, _UNSPACED_SCRIPT
    return (
        _SPACED if token.startswith(" ") else NO_ROOM,
        _SPACED if token.endswith(" ") else NO_ROOM,
    )


def is_spaced(after: int, before: int) -> bool:
    """Whether a space stands between two tokens, by the rooms that they want there.

    A mark decides; between two words there is one, beside a character of an unspaced script none.
    """
    return after > NO_ROOM and before > NO_ROOM and after + before >= 2 * _WORD


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


_TABLE = _Table()

"""Edits of a Lua script, by its tokens."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from mutation.edits import Edit

_TOKEN = re.compile(
    rb"(?P<comment>--\[\[.*?\]\]|--[^\n]*)"
    rb"|(?P<text>'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"
    rb"|(?P<number>\d+(?:\.\d+)?)"
    rb"|(?P<name>[A-Za-z_]\w*)"
    rb"|(?P<sign>\.\.\.|\.\.|==|~=|<=|>=|[-+*/%^#<>=(){}\[\];:,.])",
    re.S,
)
_SIGNS = {
    b"==": (b"~=", "comparison"),
    b"~=": (b"==", "comparison"),
    b"<": (b"<=", "boundary"),
    b"<=": (b"<", "boundary"),
    b">": (b">=", "boundary"),
    b">=": (b">", "boundary"),
    b"+": (b"-", "arithmetic"),
    b"-": (b"+", "arithmetic"),
    b"*": (b"+", "arithmetic"),
    b"/": (b"*", "arithmetic"),
}
_WORDS = {b"and": (b"or", "and/or"), b"or": (b"and", "and/or"), b"not": (b"", "negated condition"),
          b"true": (b"false", "constant"), b"false": (b"true", "constant"),
          b"min": (b"max", "function"), b"max": (b"min", "function")}  # fmt: skip
#: A statement does not end behind one of these, nor in front of one.
_GOES_ON = {b"=", b",", b"(", b"{", b"[", b"..", b"and", b"or", b"not", b"return", b"in", b"local",
            b"function", b"+", b"-", b"*", b"/", b"<", b">", b"==", b"~=", b"<=", b">=", b"#", b".",
            b"if", b"elseif", b"while", b"until", b"for"}  # fmt: skip
_OPENS, _CLOSES = {b"(", b"{", b"["}, {b")", b"}", b"]"}


class Token(NamedTuple):
    """A word, number, text or sign, and where it stands."""

    kind: str
    text: bytes
    start: int
    end: int


def tokens_of(source: bytes) -> list[Token]:
    """Return the tokens of a script without its comments."""
    return [
        Token(str(found.lastgroup), found[0], found.start(), found.end())
        for found in _TOKEN.finditer(source)
        if found.lastgroup != "comment"
    ]


class LuaSource:
    """A script and its edits."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._tokens = tokens_of(source)

    def edits(self) -> list[Edit]:
        """Return every edit, in the order of the source."""
        found = [edit for n in range(len(self._tokens)) for edit in self._edits_at(n)]
        return sorted(set(found), key=lambda edit: (edit.start, edit.end, edit.new))

    def _edits_at(self, n: int) -> Iterator[Edit]:
        token = self._tokens[n]
        before = self._tokens[n - 1].text if n else b""
        if token.kind == "number":
            number = float(token.text) if b"." in token.text else int(token.text)
            yield self._edit(n, str(number + 1).encode(), "constant")
            if number > 0 and before != b"-":
                yield self._edit(n, str(number - 1).encode(), "constant")
        elif token.text in _SIGNS and (token.text != b"-" or before not in _GOES_ON):
            yield self._edit(n, *_SIGNS[token.text])
        elif token.text in _WORDS and (token.text not in (b"min", b"max") or before == b"."):
            yield self._edit(n, *_WORDS[token.text])
        elif token.text in (b"if", b"elseif"):
            yield from self._negated(n)
        elif token.text == b"return":
            yield from self._without_value(n)
        elif token.kind == "name":
            yield from self._without_call(n)
            yield from self._swapped(n)

    def _negated(self, n: int) -> Iterator[Edit]:
        last = self._next(n, b"then") - 1
        start, end = self._tokens[n + 1].start, self._tokens[last].end
        new = b"not (" + self._source[start:end] + b")"
        yield Edit(start, end, new, "negated condition")

    def _without_value(self, n: int) -> Iterator[Edit]:
        """Return nil instead of what stands behind `return` up to the end of its block."""
        last = n
        while last + 1 < len(self._tokens) and self._tokens[last + 1].text not in (
            b"end", b"else", b"elseif", b"until", b"local", b"return", b"if", b"for",
        ):  # fmt: skip
            last += 1
            if self._tokens[last].text == b"function":
                return
        if last > n and self._tokens[n + 1].text != b"nil":
            start, end = self._tokens[n + 1].start, self._tokens[last].end
            yield Edit(start, end, b"nil", "return value")

    def _without_call(self, n: int) -> Iterator[Edit]:
        """Remove a statement that is a call, such as `redis.call(…)` or `charge(…)`."""
        before = self._tokens[n - 1] if n else None
        if before is not None and (
            before.text in _GOES_ON or before.text in _OPENS or before.text == b":"
        ):
            return
        opening = n + 1
        while self._text(opening) == b".":
            opening += 2
        if self._text(opening) != b"(" or self._tokens[n].text in (b"if", b"while", b"until"):
            return
        closing = self._closing(opening)
        if self._text(closing + 1) in _GOES_ON - {b"local", b"return", b"if", b"for", b"while"}:
            return
        start, end = self._tokens[n].start, self._tokens[closing].end
        yield Edit(start, end, b"", "removed statement")

    def _swapped(self, n: int) -> Iterator[Edit]:
        """Swap the first two arguments of a call, where both are names."""
        if [self._text(n + i) for i in (1, 3)] != [b"(", b","] or self._text(n - 1) == b"function":
            return
        if self._text(n + 5) not in (b",", b")"):
            return
        first, second = self._tokens[n + 2], self._tokens[n + 4]
        if first.kind == second.kind == "name" and first.text != second.text:
            new = second.text + self._source[first.end : second.start] + first.text
            yield Edit(first.start, second.end, new, "swapped arguments")

    def _edit(self, n: int, new: bytes, rule: str) -> Edit:
        return Edit(self._tokens[n].start, self._tokens[n].end, new, rule)

    def _text(self, n: int) -> bytes:
        return self._tokens[n].text if 0 <= n < len(self._tokens) else b""

    def _next(self, n: int, text: bytes) -> int:
        return next(i for i in range(n, len(self._tokens)) if self._tokens[i].text == text)

    def _closing(self, opening: int) -> int:
        depth = 0
        for n in range(opening, len(self._tokens)):
            depth += (self._tokens[n].text in _OPENS) - (self._tokens[n].text in _CLOSES)
            if depth == 0:
                return n
        raise ValueError("a bracket that nobody closes")

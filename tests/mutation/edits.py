"""What an edit of a source is.

Offsets are of bytes, so that both languages and every character count alike.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Edit:
    """One change of one file, small enough to be a mistake that somebody makes."""

    start: int
    end: int
    new: bytes
    #: The kind of mistake, such as `boundary`.
    rule: str

    def apply(self, source: bytes) -> bytes:
        """Return the source with the change in it."""
        return source[: self.start] + self.new + source[self.end :]


def line_of(source: bytes, offset: int) -> int:
    """Return the number of the line at an offset, from 1."""
    return source.count(b"\n", 0, offset) + 1


def lines_at(source: bytes, start: int, end: int) -> str:
    """Return the whole lines that hold a part of a source, without what surrounds them."""
    first = source.rfind(b"\n", 0, start) + 1
    last = source.find(b"\n", end)
    return source[first : last if last >= 0 else len(source)].decode().strip()


def is_lua(path: str | Path) -> bool:
    """Return True for a script; all else is Python."""
    return str(path).endswith(".lua")

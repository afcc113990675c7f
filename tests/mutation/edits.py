"""What an edit of a source is, and a block: statements that run one after the other.

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


@dataclass(frozen=True)
class Block:
    """Statements that run together; what a map of coverage counts.

    `mark` is where a statement can be added that runs first, and what names the block.
    """

    mark: int
    start: int
    end: int


def block_of(blocks: list[Block], edit: Edit) -> Block | None:
    """Return the innermost block that holds an edit; None for one outside all functions."""
    holding = [block for block in blocks if block.start <= edit.start and edit.end <= block.end]
    return min(holding, key=lambda block: block.end - block.start, default=None)


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

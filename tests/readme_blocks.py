"""Takes the fenced blocks out of a README, so that tests can run what it shows."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
#: The pages of the operators' guide.
OPERATORS_GUIDE = sorted((ROOT / "docker").glob("*.md"))
#: Every page, but for the list of changes.
PAGES = [
    ROOT / "README.md",
    *sorted(
        path
        for folder in ("schemas", "daemon", "plugins", "docker", "tests")
        for path in (ROOT / folder).rglob("*.md")
    ),
]

_FENCE = re.compile(
    r"^```(?P<language>\w*)(?: file=(?P<file>\S+))?\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, the file that it is meant to be, and its text."""

    language: str
    file: str
    text: str


def blocks_of(readme: Path, language: str) -> list[Block]:
    """Return a README's blocks of one language, in order."""
    return [block for block in steps_of(readme) if block.language == language]


def steps_of(page: Path) -> list[Block]:
    """Return all blocks of a page, of whatever language, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(match["language"], match["file"] or "", match["text"])
        for match in _FENCE.finditer(text)
    ]

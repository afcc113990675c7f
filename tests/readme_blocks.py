"""Takes the fenced blocks out of a README, so that tests can run what it shows."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
#: The pages of the operators' guide.
OPERATORS_GUIDE = sorted((ROOT / "docker").glob("*.md"))

READMES = sorted(
    path
    for path in {
        ROOT / "README.md",
        *ROOT.glob("*/README.md"),
        *ROOT.glob("*/*/README.md"),
        *ROOT.glob("plugins/examples/*/README.md"),
        *OPERATORS_GUIDE,
    }
    if not path.parent.name.startswith(".")
)

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
    text = readme.read_text(encoding="utf-8")
    blocks = [
        Block(match["language"], match["file"] or "", match["text"])
        for match in _FENCE.finditer(text)
    ]
    return [block for block in blocks if block.language == language]

"""One term for one thing, and the field's: words that the code has given up do not come back."""

import re
from pathlib import Path

#: Words of our own that were replaced by terms of the field; CHANGELOG.md has the table.
RETIRED = re.compile(
    r"\b(?:(?<!witten.)(?<!witten, )bells?|doorbells?|bury|buried|chores?|workbench|leftovers?"
    r"|intakes?|mailbox(?:es)?|(?:put|asked|gave|give|given|gives|giving) back|pieces?|houses?"
    r"|scenes?|tours?|remarks?|phrases?|(?<!log )(?<!log-)odds|vital sign|pulses?|withdraw\w*"
    r"|running mean)\b"
)
FOLDERS = ("schemas", "daemon", "plugins", "tests", "docker")
SUFFIXES = {".py", ".lua", ".md", ".toml"}

#: Prose and data of the tests, and this list.
NOT_OURS = {"test_vocabulary.py", "CHANGELOG.md"}


def sources(root: Path) -> list[Path]:
    found = [root / "README.md", root / "pyproject.toml"]
    for folder in FOLDERS:
        found += (path for path in (root / folder).rglob("*") if path.suffix in SUFFIXES)
    return [path for path in found if path.name not in NOT_OURS]


def words_of(line: str) -> str:
    """The words of a line in lower case, those of identifiers apart."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", line).lower()


def test_no_retired_word_is_used(root: Path):
    used = [
        f"{path.relative_to(root)}:{number}: {found[0]}"
        for path in sources(root)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for found in [RETIRED.search(words_of(line))]
        if found
    ]

    assert used == []

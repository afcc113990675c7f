"""The table of failures in daemon/README.md is held against the tests that it names."""

import re
from pathlib import Path

import pytest

HEADING = "## What can fail"

#: Rows of the table: one for each way in which Celery on Redis is known to fail.
ROWS = 28

CANNOT_HAPPEN = "cannot happen here"


@pytest.fixture(scope="module")
def rows(root: Path) -> list[list[str]]:
    text = (root / "daemon" / "README.md").read_text(encoding="utf-8")
    section = text.partition(HEADING)[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if re.match(r"\| \d+ \|", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.fixture(scope="module")
def known_tests(root: Path) -> set[str]:
    sources = [path.read_text(encoding="utf-8") for path in (root / "tests").rglob("test_*.py")]
    return {name for source in sources for name in re.findall(r"^def (test_\w+)\(", source, re.M)}


def test_no_row_is_left_out(rows: list[list[str]]) -> None:
    assert [int(row[0]) for row in rows] == list(range(1, ROWS + 1))


def test_each_row_names_a_test_that_is_there_or_says_why_it_cannot_happen(
    rows: list[list[str]], known_tests: set[str]
) -> None:
    named = {row[0]: re.findall(r"`(test_\w+)`", row[3]) for row in rows}

    missing = {number: set(names) - known_tests for number, names in named.items()}
    without = [row[0] for row in rows if not named[row[0]] and CANNOT_HAPPEN not in row[2]]
    assert {number: names for number, names in missing.items() if names} == {}
    assert without == []


def test_each_row_with_a_test_says_what_was_measured(rows: list[list[str]]) -> None:
    # What has no figure: it either holds or does not.
    words = ("refused", "nothing changed", "green past", "no unit claimed")
    unmeasured = [
        row[0]
        for row in rows
        if "`test_" in row[3] and not re.search(r"\d", row[4]) and not row[4].startswith(words)
    ]

    assert all(len(row) == 5 for row in rows)
    assert unmeasured == []

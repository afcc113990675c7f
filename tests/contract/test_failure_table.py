"""The tables of failures in daemon/failures.md are held against the tests that they name."""

import re
from pathlib import Path

import pytest

#: Rows of the table: one for each way in which Celery on Redis is known to fail.
ROWS = 28

CANNOT_HAPPEN = "cannot happen here"


#: A test with its marks, each of which may have several lines.
TEST = re.compile(r"^((?:@.*\n(?:[ )].*\n)*)*)def (test_\w+)\(", re.M)


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "daemon" / "failures.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rows(page: str) -> list[list[str]]:
    lines = [line for line in page.splitlines() if re.match(r"\| \d+ \|", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.fixture(scope="module")
def known_tests(root: Path) -> dict[str, bool]:
    """All tests that CI runs, by name; True of those that only `make test-all` runs."""
    known: dict[str, bool] = {}
    for path in (root / "tests").rglob("test_*.py"):
        source = path.read_text(encoding="utf-8")
        of_file = source.partition("pytestmark = ")[2].partition("\n\n")[0]
        for marks, name in TEST.findall(source):
            if "pytest.mark.long" not in of_file and "@pytest.mark.long" not in marks:
                known[name] = "pytest.mark.slow" in of_file or "@pytest.mark.slow" in marks
    return known


def test_no_row_is_left_out(rows: list[list[str]]) -> None:
    assert [int(row[0]) for row in rows] == list(range(1, ROWS + 1))


def test_each_row_names_a_test_or_says_why_it_cannot_happen(rows: list[list[str]]) -> None:
    assert [row for row in rows if "`test_" not in row[3] and CANNOT_HAPPEN not in row[2]] == []


def test_what_only_test_all_runs_is_marked_so(page: str, known_tests: dict[str, bool]) -> None:
    named = re.findall(r"`(test_\w+)`( \(all\))?", page)

    wrong = [name for name, mark in named if known_tests[name] is not bool(mark)]

    assert any(mark for _, mark in named)
    assert wrong == []


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

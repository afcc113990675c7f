"""The runbook: each page has a drill, whose fault is named by the command that the page says."""

import re
from pathlib import Path

import pytest

from drills.runbook.__main__ import FAULTS
from drills.runbook.fault import drill
from drills.runbook.stack import CannotBeInjected

RUNBOOK = Path(__file__).parents[2] / "docker" / "RUNBOOK.md"

#: How long work may stand still at most: the fault, until it has a name and is cured.
STALL_S = 75.0


def pages() -> dict[str, str]:
    """Return the pages of the runbook that have a fault, by anchor."""
    text = RUNBOOK.read_text(encoding="utf-8")
    parts = re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", text, re.M)
    return {title.lower().replace(" ", "-"): page for title, page in parts}


def test_each_page_has_a_drill_and_says_what_one_sees_how_it_is_named_and_what_to_do():
    assert set(pages()) == set(FAULTS)
    for page in pages().values():
        for part in ("**You see**", "**Name the cause**", "**Do**", "**By itself**"):
            assert page.count(part) == 1, page
        (cause,) = re.findall(r"\*\*Name the cause\*\*.*?(?=\n\n)", page, re.S)
        assert "`seqd " in cause, page


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", sorted(FAULTS))
def test_the_cause_has_a_name_within_a_minute_and_nothing_is_lost_doubled_or_failed(page: str):
    try:
        row = drill(FAULTS[page], seed=1)
    except CannotBeInjected as error:
        pytest.skip(str(error))

    assert row.passed, str(row)
    assert row.stall_s < STALL_S, str(row)
    command, _, finding = row.named_by.partition(": ")
    assert f"`seqd {command}" in pages()[page]
    if command == "doctor":
        assert f"`{finding}`" in pages()[page]

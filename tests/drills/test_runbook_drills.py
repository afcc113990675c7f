"""The runbook: each page has a drill, whose fault is named by the command that the page says.

`make drills` runs all of them, in `make test-long`; here is one, by pytest.
"""

import re
from dataclasses import replace

import pytest

from drills.runbook.__main__ import FAULTS
from drills.runbook.fault import Row, drill, pages

SOUND = Row(
    page="redis-read-only",
    seed=1,
    named_by="doctor: redis-not-writable",
    named_s=59.0,
    items=400,
    stall_s=74.0,
    lost=0,
    doubled=0,
    failed=0,
)


def test_each_page_has_a_drill_and_says_what_one_sees_how_it_is_named_and_what_to_do():
    assert set(pages()) == set(FAULTS)
    for page in pages().values():
        for part in ("**You see**", "**Name the cause**", "**Do**", "**By itself**"):
            assert page.count(part) == 1, page
        (cause,) = re.findall(r"\*\*Name the cause\*\*.*?(?=\n\n)", page, re.S)
        assert "`seqd " in cause, page


@pytest.mark.parametrize(
    "change",
    [
        {"named_by": ""},
        {"named_by": "explain: redis-not-writable"},
        {"named_by": "doctor: redis-full"},
        {"named_s": 61.0},
        {"stall_s": 75.0},
        {"lost": 1},
        {"doubled": 1},
        {"failed": 1},
    ],
    ids=str,
)
def test_a_drill_passes_where_the_command_of_the_page_names_the_cause_in_time_and_all_is_well(
    change: dict[str, object],
) -> None:
    assert SOUND.passed
    assert not replace(SOUND, **change).passed  # type: ignore[arg-type]


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_redis_that_takes_no_writes_has_a_name_within_a_minute_and_nothing_is_lost() -> None:
    row = drill(FAULTS["redis-read-only"], seed=1)

    assert row.passed, str(row)

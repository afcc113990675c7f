"""The end of a job as its client's completion stream announces it, without any server."""

from typing import cast

import pytest

from seqd.client.waiting import Announced, Announcements
from seqd.ledger import LedgerParts
from seqd.ledger.exchange import Start, Until


@pytest.fixture
def announced() -> Announced:
    announcements = Announcements(cast(LedgerParts, None), "completions")
    return Announced(announcements, "a-job")


def is_heard_at_once(announced: Announced, seen: int) -> bool:
    """Return whether a wait for news behind what was seen asks for nothing."""
    steps = announced.wait(seen, 1.0)
    try:
        asked = next(steps)
        while isinstance(asked, Start):
            asked = steps.send(None)
    except StopIteration as end:
        assert end.value is True
        return True
    assert isinstance(asked, Until)
    assert not asked.holds()
    steps.close()
    return False


def test_an_end_that_was_announced_is_heard_at_once_by_all_that_have_not_seen_it(
    announced: Announced,
) -> None:
    assert not is_heard_at_once(announced, 0)

    announced.news += 1

    assert is_heard_at_once(announced, 0)
    assert is_heard_at_once(announced, 0)


def test_a_job_that_runs_after_its_end_was_seen_is_waited_for_until_the_next(
    announced: Announced,
) -> None:
    announced.news += 1
    assert not is_heard_at_once(announced, 1)

    announced.news += 1

    assert is_heard_at_once(announced, 1)

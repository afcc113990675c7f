"""The end of a job as its client's completion stream announces it, without any server."""

from typing import cast

import pytest

from seqd.client.announcements import Announced, Announcements
from seqd.ledger import LedgerParts
from seqd.ledger.exchange import Start, Until


@pytest.fixture
def announced() -> Announced:
    announcements = Announcements(cast(LedgerParts, None), "completions")
    return Announced(announcements, "a-job")


def is_heard_at_once(announced: Announced) -> bool:
    """Return whether a wait for the end of a job asks for nothing."""
    steps = announced.wait(1.0)
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


def test_an_end_that_was_announced_is_heard_at_once_by_all_that_ask(announced: Announced) -> None:
    assert not is_heard_at_once(announced)

    announced.has_ended = True

    assert is_heard_at_once(announced)
    assert is_heard_at_once(announced)


def test_a_job_that_runs_all_the_same_is_waited_for(announced: Announced) -> None:
    announced.has_ended = True
    assert is_heard_at_once(announced)

    announced.note_running(had_ended=True)

    assert not is_heard_at_once(announced)


def test_an_end_that_is_announced_while_the_job_is_looked_at_is_heard(announced: Announced) -> None:
    announced.has_ended = True

    announced.note_running(had_ended=False)

    assert is_heard_at_once(announced)

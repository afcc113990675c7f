"""Who waits for the end of an outage, for how long, and what the log says of it."""

import logging

import pytest

from clock_fixtures import HeldClock
from seqd.ledger.outage import (
    LONGEST_WAIT_S,
    SHORTEST_S,
    Attempts,
    Outage,
    Trouble,
    waiting_at_most,
)

AWAY = ConnectionError("Connection refused.")


@pytest.fixture
def clock():
    return HeldClock()


def again(attempts: Attempts, trouble: Trouble, error: Exception) -> bool:
    """Return whether there is another attempt."""
    return attempts.wait_s(trouble, error) is not None


def waited_s(clock: HeldClock, outage: Outage, trouble: Trouble, retries: int = 0) -> float:
    """Try again until there is no other attempt; return for how long that was."""
    attempts, began_s = Attempts(outage, retries), clock.now_s
    while (wait_s := attempts.wait_s(trouble, AWAY)) is not None:
        clock.now_s += wait_s
    return clock.now_s - began_s


@pytest.mark.parametrize(
    ("trouble", "had_right", "has_answered", "first_s", "late_s"),
    [
        (Trouble.BREAK, False, True, 60, 0),
        (Trouble.REFUSED, False, True, 60, 0),
        (Trouble.FULL, False, True, 20, 20),
        # Who had the right before waits until it has it again.
        (Trouble.DENIED, True, True, 60, 0),
        (Trouble.DENIED, False, True, 0, 0),
        # Of an address that never answered no more than its retries are made.
        (Trouble.BREAK, False, False, 0, 0),
    ],
)
def test_an_outage_is_waited_for_as_long_as_it_may_take_and_who_comes_late_for_the_rest_of_it(
    clock, trouble, had_right, has_answered, first_s, late_s
):
    outage = Outage(limit_s=60.0, full_s=20.0, has_answered=has_answered, clock=clock)
    outage.bears_denial = had_right

    for expected_s in (first_s, late_s):
        seconds = waited_s(clock, outage, trouble, retries=2)
        assert expected_s <= seconds < expected_s + LONGEST_WAIT_S
    assert outage.is_on is (trouble is not Trouble.DENIED or had_right)


def test_news_wait_for_nothing_and_a_broken_connection_is_made_anew_once():
    outage = Outage(limit_s=60.0, has_answered=True)

    with waiting_at_most(0):
        attempts = Attempts(outage, 5)
        answers = [again(attempts, Trouble.BREAK, AWAY) for _ in range(2)]
        refused = again(Attempts(outage, 5), Trouble.REFUSED, AWAY)
    with waiting_at_most(60, retries=0), waiting_at_most(0):
        never_twice = again(Attempts(outage, 5), Trouble.BREAK, AWAY)

    assert (answers, refused, never_twice) == ([True, False], False, False)


def test_nobody_waits_any_more_when_the_worker_drains(clock):
    outage = Outage(limit_s=60.0, has_answered=True, clock=clock)
    asked: list[bool] = []
    outage.gives_up = lambda: len(asked) == 3 or bool(asked.append(True))

    waited_s(clock, outage, Trouble.BREAK)

    assert len(asked) == 3


def test_an_outage_has_a_line_at_its_beginning_and_one_at_its_end_and_a_blip_has_none(
    clock, caplog
):
    caplog.set_level(logging.INFO)
    outage = Outage(limit_s=60.0, promise="waiting for it", has_answered=True, clock=clock)
    outage.address = "host:6379"
    again(Attempts(outage, 0), Trouble.BREAK, AWAY)
    outage.end(is_repeat=True)
    blip = caplog.messages.copy()

    for _ in range(5):
        again(Attempts(outage, 0), Trouble.BREAK, AWAY)
        clock.now_s += SHORTEST_S
    for _ in range(2):
        outage.end(is_repeat=False)

    assert blip == []
    assert caplog.messages == [
        "Redis at host:6379 is away: Connection refused; waiting for it",
        "Redis at host:6379 is back after 2.5 s",
    ]
    assert not outage.is_on

"""Who waits for the end of an outage, for how long, and what the log says of it."""

import logging
import time
from itertools import takewhile

import pytest
from redis.exceptions import ResponseError

from seqd.ledger import outage as outages
from seqd.ledger.outage import Attempts, Outage, Trouble, waiting_at_most
from seqd.ledger.redis import trouble_of

AWAY = ConnectionError("Connection refused.")
OOM = ResponseError("@user_script: 730: -OOM command not allowed.")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "LONGEST_WAIT_S", 0.02)


def again(attempts: Attempts, trouble: Trouble, error: Exception) -> bool:
    """Return whether there is another attempt."""
    return attempts.wait_s(trouble, error) is not None


def seconds_of(outage: Outage, retries: int = 0, trouble: Trouble = Trouble.BREAK) -> float:
    """Try again until there is no other attempt; return for how long, in whole milliseconds."""
    attempts, began = Attempts(outage, retries), time.monotonic()
    while again(attempts, trouble, AWAY):
        assert time.monotonic() - began < 5
    return round(time.monotonic() - began, 3)


@pytest.mark.parametrize("trouble", [Trouble.BREAK, Trouble.REFUSED])
def test_an_outage_is_waited_for_as_long_as_it_may_take_and_who_comes_late_for_the_rest_of_it(
    trouble: Trouble,
) -> None:
    outage = Outage(limit_s=0.3, has_answered=True)

    assert seconds_of(outage, trouble=trouble) >= 0.3
    assert not again(Attempts(outage, 0), trouble, AWAY)


def test_a_full_server_is_waited_for_as_long_as_is_allowed_for_that() -> None:
    outage = Outage(limit_s=60.0, full_s=0.2, has_answered=True)

    assert seconds_of(outage, trouble=Trouble.FULL) >= 0.2


def test_an_address_that_never_answered_and_a_denied_command_are_not_waited_for() -> None:
    outage = Outage(limit_s=60.0)
    seconds_of(outage, retries=2)  # which would last for a minute
    answers = Outage(limit_s=60.0, has_answered=True)

    assert not again(Attempts(answers, 5), Trouble.DENIED, AWAY)
    assert not answers.is_on


def test_who_had_the_right_before_waits_until_it_has_it_again() -> None:
    outage = Outage(limit_s=0.3, has_answered=True)
    outage.bears_denial = True

    assert seconds_of(outage, trouble=Trouble.DENIED) >= 0.3


def test_news_wait_for_nothing_and_a_broken_connection_is_made_anew_once() -> None:
    outage = Outage(limit_s=60.0, has_answered=True)

    with waiting_at_most(0):
        attempts = Attempts(outage, 5)
        answers = [again(attempts, Trouble.BREAK, AWAY) for _ in range(2)]
        refused = again(Attempts(outage, 5), Trouble.REFUSED, AWAY)
    with waiting_at_most(60, retries=0), waiting_at_most(0):
        never_twice = again(Attempts(outage, 5), Trouble.BREAK, AWAY)

    assert (answers, refused, never_twice) == ([True, False], False, False)


def test_nobody_waits_any_more_when_the_worker_drains() -> None:
    outage = Outage(limit_s=60.0, has_answered=True)
    asked: list[bool] = []
    outage.gives_up = lambda: len(asked) == 3 or bool(asked.append(True))

    seconds_of(outage)

    assert len(asked) == 3


def test_an_outage_has_a_line_at_its_beginning_and_one_at_its_end_and_a_blip_has_none(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(outages, "SHORTEST_S", 0.05)
    outage = Outage(limit_s=0.2, promise="waiting for it", has_answered=True)
    outage.address = "host:6379"
    again(Attempts(outage, 0), Trouble.BREAK, AWAY)
    outage.end(is_repeat=True)
    blip = caplog.messages.copy()

    for _ in range(3):
        seconds_of(outage)
    for _ in range(2):
        outage.end(is_repeat=False)

    assert blip == []
    begun, ended = caplog.messages
    assert begun == "Redis at host:6379 is away: Connection refused; waiting for it"
    assert ended.startswith("Redis at host:6379 is back after 0.")
    assert not outage.is_on


@pytest.mark.parametrize(
    ("full_s", "said"),
    [
        (0.0, []),  # a client: whoever asked is told at once
        (5.0, ["Redis at h:1 takes no writes: OOM command not allowed; work goes on later"]),
    ],
)
def test_a_full_server_is_not_called_away(
    full_s: float, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage(limit_s=5.0, full_s=full_s, promise="work goes on later", has_answered=True)
    outage.address, trouble = "h:1", trouble_of(OOM)
    assert trouble is Trouble.FULL
    until = time.monotonic() + 2 * outages.SHORTEST_S

    for _ in takewhile(lambda _: time.monotonic() < until, iter(int, 1)):
        again(Attempts(outage, 0), trouble, OOM)

    assert [message.replace("@user_script: 730: -", "") for message in caplog.messages] == said


def test_a_right_that_is_taken_away_is_said_once_and_its_return_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outage = Outage(has_answered=True)
    outage.address, outage.bears_denial = "h:1", True

    with caplog.at_level(logging.INFO):
        for _ in range(3):
            outage.begin(Trouble.DENIED, PermissionError("no permissions to run 'xack'."))
            outage.end(is_repeat=False)  # of another command, which is allowed
        outage.end(is_repeat=True)

    said, back = caplog.messages
    assert said == (
        "Redis at h:1 denies what worked before: no permissions to run 'xack'; it is tried until "
        "it works again. `seqd redis acl --role worker --check` says which rights are missing"
    )
    assert back.startswith("Redis at h:1 is back after ")

"""How far a machine's clock is off that of Redis, by one question for the time."""

import pytest

from seqd.ledger.fleet import clock_offset_ms


@pytest.mark.parametrize(
    ("asked_ms", "took_ms", "server_ms", "offset_ms"),
    [
        (1_000, 10, 1_005, 0),
        (1_000, 0, 1_000, 0),
        (9_000, 10, 4_000, 5_000),
        (1_000, 10, 4_000, -2_990),
        (1_000, 5_000, 4_000, 0),  # what a slow network takes is no offset
    ],
)
def test_a_clock_is_off_by_what_the_time_of_the_question_does_not_explain(
    asked_ms, took_ms, server_ms, offset_ms
):
    assert clock_offset_ms(asked_ms, took_ms, server_ms) == offset_ms

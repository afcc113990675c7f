"""When a child's heartbeat has stood still for too long, by its parent's own count."""

from hypothesis import given
from hypothesis import strategies as st

from seqd.worker.liveness import (
    Heartbeat,
    Standstill,
)

ONE, OTHER = Heartbeat(7, 100.0), Heartbeat(7, 101.0)


def test_a_heartbeat_that_does_not_change_stands_still_from_the_first_look_at_it() -> None:
    standstill = Standstill(look_every_s=1.0)

    seen = [standstill.seconds(ONE, now_s) for now_s in (50.0, 51.0, 52.5, 53.0)]

    assert seen == [0.0, 1.0, 2.5, 3.0]


def test_a_new_heartbeat_and_a_missing_one_begin_anew() -> None:
    standstill = Standstill(look_every_s=1.0)

    seen = [
        standstill.seconds(heartbeat, at)
        for at, heartbeat in enumerate([ONE, ONE, OTHER, OTHER, None])
    ]

    assert seen == [0.0, 1.0, 0.0, 1.0, 0.0]


def test_an_hour_in_which_the_watcher_was_frozen_too_counts_as_two_looks() -> None:
    standstill = Standstill(look_every_s=10.0)
    standstill.seconds(ONE, 0.0)

    assert standstill.seconds(ONE, 3_600.0) == 20.0


@given(st.lists(st.floats(min_value=0, max_value=1e6), max_size=30))
def test_a_child_with_a_heartbeat_between_all_looks_never_stands_still(
    pauses_s: list[float],
) -> None:
    standstill, now_s = Standstill(look_every_s=1.0), 0.0

    for number, pause_s in enumerate(pauses_s):
        now_s += pause_s
        assert standstill.seconds(Heartbeat(7, float(number)), now_s) == 0.0

"""A step of the server's clock is told from time that has passed."""

import pytest

from clock_fixtures import HeldClock
from seqd.worker.background import ServerClock


@pytest.mark.parametrize(
    ("passed_s", "server_s", "step_s"),
    [(5, 5, 0), (5, 6.9, 0), (600, 600, 0), (5, 3_605, 3_600), (5, -3_595, -3_600), (0, -30, -30)],
)
def test_a_clock_is_stepped_by_what_has_not_passed(passed_s: float, server_s: float, step_s: float):
    held = HeldClock()
    clock = ServerClock(held)
    first = clock.stepped_s(7_200_000)
    held.now_s += passed_s

    assert first == 0
    assert clock.stepped_s(7_200_000 + int(server_s * 1000)) == pytest.approx(step_s)
    assert clock.stepped_s(7_200_000 + int(server_s * 1000)) == 0

"""The line of `seqd status` on the work that is left."""

import pytest

from seqd.cli.status import _work_line
from seqd.scaling import RouteWork


@pytest.mark.parametrize(
    ("route", "line"),
    [
        (
            RouteWork("classify", "imdb_lstm", seconds=185, items=25_000, leased_items=1_024),
            "Work left, classify imdb_lstm: 3:05 of one slot (25,000 items, 1,024 in hand)",
        ),
        (
            RouteWork("train", "markov", seconds=600, unserved_s=600, items=1, is_measured=False),
            "Work left, train markov: 10:00 of one slot (1 item), by a default: it was never "
            "measured, and no worker that is up can run it",
        ),
    ],
)
def test_it_says_how_long_one_slot_would_work_and_whether_any_can(route: RouteWork, line: str):
    assert _work_line(route) == line

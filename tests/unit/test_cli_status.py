"""The lines of `seqd status` on the work that is left and on the releases of the workers."""

import pytest

from builders import a_worker_status
from seqd.cli.releases import releases_line, releases_of
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


SIDE_BY_SIDE = (
    "They work side by side. Replace workers before the services that hand jobs in: a worker of an "
    "older release refuses a request with what only a later one knows."
)


@pytest.mark.parametrize(
    ("versions", "line"),
    [
        ([], ""),
        (["0.3.0", "0.3.0"], ""),
        (
            ["0.3.0", "0.2.0", "0.3.0"],
            "Workers of 2 releases of seqd are up: 0.2.0 (1), 0.3.0 (2). " + SIDE_BY_SIDE,
        ),
        (
            ["0.2.0", "0.2.0"],
            "The workers are of seqd 0.2.0 (2), this command of 0.3.0. " + SIDE_BY_SIDE,
        ),
    ],
    ids=["no worker", "all of one", "of two", "none of this command's"],
)
def test_it_says_when_workers_are_not_all_of_the_commands_release(versions: list[str], line: str):
    workers = [a_worker_status(seqd_version=version) for version in versions]

    assert releases_line(releases_of(workers), "0.3.0") == line

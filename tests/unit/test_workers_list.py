"""The rows of `seqd workers list`: who is up, and what is known of who is not heard of any more."""

import pytest

from builders import a_worker_status
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.workers import print_rules, print_workers_list
from seqd.views.workers import seen_workers
from seqd_schemas import Cordon, WorkerState

NOW_MS = 1_000_000


def test_a_silent_worker_has_what_it_said_last_or_what_its_name_has():
    last = a_worker_status(worker="w1", host="h1", slot="cuda:1", pid=77, seqd_version="0.3.0")
    silent = {"w1": NOW_MS - 60_000, "cpu-0@h2-a1b2c3": NOW_MS - 1_000, "w2": NOW_MS}

    seen = seen_workers([], silent, {}, NOW_MS, in_hand={"w1": (1, 2)}, last={"w1": last})
    rows = [one.as_json() for one in seen]

    named, given, unknown = rows
    assert (given["host"], given["slot"], given["pid"]) == ("h1", "cuda:1", 77)
    assert (given["seqd_version"], given["units_in_hand"]) == ("0.3.0", 2)
    assert (given["state"], given["age_s"]) == ("silent", 60)
    assert (named["host"], named["slot"]) == ("h2", "cpu-0")
    assert "host" not in unknown


@pytest.mark.parametrize(
    "state", [{"cordon": Cordon(phase="drained", since_ms=1)}, {"state": WorkerState.STARTING}]
)
def test_a_worker_without_a_child_has_none_that_is_up(capsys, state):
    without_child = a_worker_status(**state, started_at_ms=1_000)

    print_workers_list(Screen(), seen_workers([without_child], {}, {}, NOW_MS))

    assert capsys.readouterr().out.splitlines()[1].split()[9] == "-"


def test_rules_that_the_user_may_not_read_are_not_known(capsys):
    print_rules(Screen(), None, [], NOW_MS)

    said = "Rules of operators are not known: this user may not read them."
    assert capsys.readouterr().out.strip() == said

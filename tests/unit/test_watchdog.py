"""When a child hangs, by what it says in the channel and its parent's own count of time."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.worker.channel import Channel
from seqd.worker.deaths import Hang
from seqd.worker.unit_budgets import Budget
from seqd.worker.watchdog import Judge

MAX_SILENT_S, HEARTBEAT_S, LOOK_S = 60.0, 5.0, 1.0


class Child:
    """A child that runs in this process, as its parent sees it; each look comes a second later."""

    def __init__(self) -> None:
        self.channel = Channel()
        self.channel.beat()
        self.judge = Judge(MAX_SILENT_S, HEARTBEAT_S, LOOK_S)
        self._now_s = 1_000.0
        self.look()

    def look(
        self, *, after_s: float = LOOK_S, waited_s: float = 0.0, beats: bool = True
    ) -> Hang | None:
        if beats:
            self.channel.beat()
        self._now_s += after_s
        signs = self.channel.signs()
        assert signs is not None
        return self.judge.look(signs, self._now_s, lambda passed_s: waited_s)

    def hang_in(self, looks: int, **how: float | bool) -> Hang | None:
        """Return the first hang within so many looks."""
        found = (self.look(**how) for _ in range(looks))
        return next(filter(None, found), None)


@pytest.fixture
def child():
    return Child()


@contextmanager
def computing(child: Child, budget: Budget | None = None) -> Iterator[None]:
    with child.channel.computing(), child.channel.within(budget):
        child.look()
        yield


def test_a_plugin_that_does_not_ask_hangs_and_one_that_computes_nothing_may_be_silent(child):
    assert child.hang_in(200) is None
    with computing(child):
        assert child.hang_in(60) is None
        child.channel.hear()
        assert child.hang_in(61) is None
        hang = child.look()

    assert hang == Hang(61.0)


@pytest.mark.parametrize("is_computing", [True, False])
def test_a_child_without_a_heartbeat_is_told_of_as_such_a_heartbeat_later(child, is_computing):
    budget = None
    with computing(child, budget) if is_computing else child.channel.within(budget):
        assert child.hang_in(65, beats=False) is None
        hang = child.look(beats=False)

    assert hang == Hang(66.0, has_no_heartbeat=True)


def test_what_computes_past_its_budget_is_a_hang_though_it_asks_whether_to_stop(child):
    def asks() -> Iterable[Hang | None]:
        while True:
            child.channel.hear()
            yield child.look()

    with computing(child, Budget(0.5, silent_s=5.0, unit_s=20.0)):
        hang = next(filter(None, asks()))

    assert hang == Hang(21.0, expected_s=0.5)


@pytest.mark.parametrize("beats", [True, False])
def test_what_is_silent_for_longer_than_its_budget_hangs_also_where_it_keeps_the_lock(child, beats):
    with computing(child, Budget(0.5, silent_s=10.0, unit_s=20.0)):
        assert child.hang_in(20, beats=beats) == Hang(11.0)


def test_what_a_child_waits_for_a_processor_or_a_disk_keeps_to_its_budget(child):
    with computing(child, Budget(0.5, silent_s=10.0, unit_s=10.0)):
        assert child.hang_in(50, waited_s=1.0) is None
        assert child.hang_in(10) is not None


def test_an_hour_in_which_the_watcher_was_frozen_too_counts_as_two_looks(child):
    with computing(child):
        assert child.look(after_s=3_600.0, beats=False) is None
        assert child.judge.still_s == 2 * LOOK_S


def test_a_child_that_was_stopped_is_given_all_its_time_anew(child):
    with computing(child):
        assert child.hang_in(50) is None
        child.judge.forgive()

        assert child.hang_in(60) is None


@given(st.lists(st.floats(min_value=0, max_value=1e6), max_size=30))
def test_a_child_with_a_heartbeat_between_all_looks_never_stands_still(pauses_s):
    child = Child()

    for pause_s in pauses_s:
        assert child.look(after_s=pause_s) is None
        assert child.judge.still_s == 0.0


def test_a_new_child_goes_on_with_the_counts_of_the_one_before_and_has_nothing_in_hand():
    memory = Channel.create()
    before = Channel.of_parent(memory.path)
    before.numbers[before.place("items", "classify", "m", "succeeded", "")] += 2
    before.beat()
    with before.computing(), before.within(Budget(0.5, silent_s=5.0, unit_s=20.0)):
        hanging = memory.signs()
        after = Channel.of_parent(memory.path)
        begun = memory.signs()
    after.numbers[after.place("items", "classify", "m", "succeeded", "")] += 3

    assert hanging is not None and begun is not None
    assert (hanging.is_computing, hanging.budget) == (True, Budget(0.5, 5.0, 20.0))
    assert (begun.is_computing, begun.budget) == (False, None)
    assert [(one.name, one.numbers) for one in memory.series()] == [("items", (5.0,))]


def test_a_child_that_cannot_reach_its_parents_memory_works_without_it(caplog):
    with Channel.of_parent("/nowhere").computing():
        pass

    (said,) = caplog.messages
    assert said.startswith(
        "no memory shared with the parent: hangs will not be noticed, rules late: "
    )

"""For how long items may be computed: by what others of their kind have cost."""

from math import inf

import pytest

from clock_fixtures import HeldClock
from seqd.local.process_states import RunDelay
from seqd.worker.unit_budgets import (
    CALLS_KEPT,
    KINDS_KEPT,
    NO_BUDGETS,
    RECENT_S,
    Budget,
    BudgetRule,
    Expected,
    UnitCosts,
    UnitSize,
)


def a_cost(costs: UnitCosts, size: UnitSize, *, written: int = 0) -> None:
    costs.note("kind", 1, size, 0.01, written)


def seconds_of(costs: UnitCosts, size: UnitSize) -> float:
    """What a call of the one kind should take, of which something is known."""
    expected = costs.expected("kind", 1, size)
    assert expected is not None
    return expected.seconds


def test_nothing_is_expected_of_what_was_never_measured_or_was_loaded_anew():
    costs, size = UnitCosts(), UnitSize(items=8, characters=800, longest=100)
    before = costs.expected("kind", 1, size)
    a_cost(costs, size)

    assert before is None
    assert costs.expected("another kind", 1, size) is None
    assert costs.expected("kind", 2, size) is None
    like = costs.expected("kind", 1, size)
    smaller = costs.expected("kind", 1, UnitSize(items=1, characters=100, longest=100))
    assert like is not None and smaller is not None
    assert (like.floors, smaller.floors) == (1, None)


def test_a_task_that_writes_is_expected_to_write_all_that_it_may():
    costs = UnitCosts()
    size = UnitSize(items=1, characters=10, longest=10, most_written=1_000)
    a_cost(costs, size, written=10)

    assert seconds_of(costs, size) >= 1.0  # a hundred times what ten characters took


def test_the_slowest_of_the_last_calls_counts_and_memory_is_bounded():
    costs, size = UnitCosts(), UnitSize(items=1, characters=1, longest=1)
    costs.note("kind", 1, size, 0.5)
    for _ in range(CALLS_KEPT - 1):
        costs.note("kind", 1, size, 0.0)
    slow_s = seconds_of(costs, size)
    costs.note("kind", 1, size, 0.0)
    fast_s = seconds_of(costs, size)
    for number in range(KINDS_KEPT):
        costs.note(f"kind {number}", 1, size, 0.0)

    assert (slow_s, fast_s) == (0.5, 0.0)
    assert costs.expected("kind", 1, size) is None


DAY = BudgetRule(factor=50.0, floor_s=60.0, max_silent_s=600.0)
SMALL = UnitSize(items=8, characters=800, longest=100)


@pytest.mark.parametrize(
    "other",
    [
        UnitSize(items=512, characters=51_200, longest=100),
        UnitSize(items=8, characters=40_000, longest=5_000),
    ],
)
def test_the_first_batch_of_another_size_may_compile_for_as_long_as_a_plugin_may_be_silent(other):
    costs = UnitCosts()
    a_cost(costs, SMALL)

    like, first = (costs.expected("kind", 1, size) for size in (SMALL, other))
    a_cost(costs, other)
    second = costs.expected("kind", 1, other)

    assert like is not None and first is not None and second is not None
    for expected, least_s in ((like, 60.0), (first, 600.0), (second, 60.0)):
        budget = DAY.budget(expected)
        assert budget is not None
        assert budget.silent_s == least_s
        assert budget.unit_s >= least_s


def test_what_grows_by_the_square_of_its_size_keeps_to_its_budget():
    costs, factor = UnitCosts(), 200
    a_cost(costs, SMALL)
    longer = UnitSize(items=8, characters=800 * factor, longest=100 * factor)

    assert seconds_of(costs, longer) >= 0.01 * factor**2


def test_what_was_long_at_rest_may_be_silent_for_as_long_as_any_plugin():
    clock = HeldClock()
    costs = UnitCosts(clock=clock)
    a_cost(costs, SMALL)
    clock.now_s += RECENT_S

    expected = costs.expected("kind", 1, SMALL)

    assert expected is not None
    assert DAY.budget(expected) == Budget(0.01, silent_s=600.0, unit_s=600.0)


@pytest.mark.parametrize(("floors", "least_s"), [(1, 60.0), (5, 300.0), (None, 600.0)])
def test_the_less_is_known_of_a_call_the_longer_it_may_take(floors, least_s):
    budget = DAY.budget(Expected(0.01, floors))

    assert budget == Budget(0.01, silent_s=least_s, unit_s=least_s)


def test_the_thread_that_waited_longest_for_a_processor_counts(tmp_path):
    def write(thread: str, waited_ns: int) -> None:
        (tmp_path / thread).mkdir(exist_ok=True)
        (tmp_path / thread / "schedstat").write_text(f"5 {waited_ns} 7\n")

    delay = RunDelay(tmp_path)
    write("10", 9_000_000_000)
    first_s = delay.since_last_s()
    write("10", 9_500_000_000)
    write("11", 4_000_000_000)  # it is new: what it waited before is not known
    second_s = delay.since_last_s()
    write("11", 6_000_000_000)
    third_s = delay.since_last_s()

    assert (first_s, second_s, third_s) == (0.0, 0.5, 2.0)


def test_a_factor_of_zero_bounds_nothing():
    assert NO_BUDGETS.budget(Expected(1.0)) is None
    assert NO_BUDGETS.least_s == inf

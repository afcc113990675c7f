"""For how long items may be computed: by what others of their kind have cost."""

from collections.abc import Callable
from math import inf
from pathlib import Path
from time import sleep

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.local.run_delay import RunDelay
from seqd.worker.silence import Hang, Silence
from seqd.worker.unit_budgets import (
    CALLS_KEPT,
    KINDS_KEPT,
    NO_BUDGETS,
    RECENT_S,
    Basis,
    Budget,
    BudgetRule,
    Expected,
    UnitCosts,
    UnitSize,
)
from worker_fixtures import wait_until

SECONDS = st.floats(min_value=0.0, max_value=1e6)
RULES = st.builds(
    BudgetRule,
    factor=st.floats(min_value=0.01, max_value=1e5),
    floor_s=st.floats(min_value=0.1, max_value=86_400.0),
    max_silent_s=st.floats(min_value=0.1, max_value=86_400.0),
)
SIZES = st.builds(
    UnitSize,
    items=st.integers(1, 10_000),
    characters=st.integers(1, 10**7),
    longest=st.integers(1, 10**6),
)


def known(seconds: float, basis: Basis = Basis.LIKE_CALLS) -> Expected:
    return Expected(seconds, basis)


@given(RULES, SECONDS)
def test_a_budget_is_never_below_the_floor_nor_a_silence_above_the_limit(
    rule: BudgetRule, expected_s: float
) -> None:
    budget = rule.budget(known(expected_s))

    assert budget is not None
    assert budget.unit_s >= max(rule.floor_s, rule.factor * expected_s)
    assert min(rule.floor_s, rule.max_silent_s) <= budget.silent_s <= rule.max_silent_s


def a_cost(costs: UnitCosts, size: UnitSize, *, load: int = 1, written: int = 0) -> None:
    with costs.measuring("kind", load, size) as measured:
        sleep(0.01)
        measured.written = written


def seconds_of(costs: UnitCosts, size: UnitSize) -> float:
    """What a call of the one kind should take, of which something is known."""
    expected = costs.expected("kind", 1, size)
    assert expected is not None
    return expected.seconds


@given(SIZES, SIZES)
def test_more_and_longer_items_are_expected_to_take_longer(one: UnitSize, other: UnitSize) -> None:
    costs, first = UnitCosts(), UnitSize(items=8, characters=800, longest=100)
    with costs.measuring("kind", 1, first):
        pass
    more = UnitSize(
        max(one.items, other.items),
        max(one.characters, other.characters),
        max(one.longest, other.longest),
    )

    expected_s = [seconds_of(costs, size) for size in (one, other, more)]

    assert max(expected_s) == expected_s[2]


def test_nothing_is_expected_of_what_was_never_measured_raised_or_was_loaded_anew() -> None:
    costs, size = UnitCosts(), UnitSize(items=8, characters=800, longest=100)
    with pytest.raises(ValueError, match="broken"), costs.measuring("kind", 1, size):
        raise ValueError("broken")
    before = costs.expected("kind", 1, size)
    a_cost(costs, size)

    assert before is None
    assert costs.expected("another kind", 1, size) is None
    assert costs.expected("kind", 2, size) is None
    like = costs.expected("kind", 1, size)
    smaller = costs.expected("kind", 1, UnitSize(items=1, characters=100, longest=100))
    assert like is not None and smaller is not None
    assert (like.basis, smaller.basis) == (Basis.LIKE_CALLS, Basis.LARGER_CALLS)


def test_a_task_that_writes_is_expected_to_write_all_that_it_may() -> None:
    costs = UnitCosts()
    size = UnitSize(items=1, characters=10, longest=10, most_written=1_000)
    a_cost(costs, size, written=10)

    assert seconds_of(costs, size) >= 1.0  # a hundred times what ten characters took


def test_the_slowest_of_the_last_calls_counts_and_memory_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    costs, size = UnitCosts(), UnitSize(items=1, characters=1, longest=1)
    now_s = 1_000.0
    monkeypatch.setattr("seqd.worker.unit_budgets.monotonic", lambda: now_s)
    with costs.measuring("kind", 1, size):
        now_s += 0.5
    for _ in range(CALLS_KEPT - 1):
        with costs.measuring("kind", 1, size):
            pass
    slow_s = seconds_of(costs, size)
    with costs.measuring("kind", 1, size):
        pass
    fast_s = seconds_of(costs, size)
    for number in range(KINDS_KEPT):
        with costs.measuring(f"kind {number}", 1, size):
            pass

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
def test_the_first_batch_of_another_size_may_compile_for_as_long_as_a_plugin_may_be_silent(
    other: UnitSize,
) -> None:
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


def test_what_grows_by_the_square_of_its_size_keeps_to_its_budget() -> None:
    costs, factor = UnitCosts(), 200
    a_cost(costs, SMALL)
    longer = UnitSize(items=8, characters=800 * factor, longest=100 * factor)

    assert seconds_of(costs, longer) >= 0.01 * factor**2


def test_what_was_long_at_rest_may_be_silent_for_as_long_as_any_plugin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    costs, now_s = UnitCosts(), 1_000.0
    monkeypatch.setattr("seqd.worker.unit_budgets.monotonic", lambda: now_s)
    a_cost(costs, SMALL)
    now_s += RECENT_S

    expected = costs.expected("kind", 1, SMALL)

    assert expected is not None
    assert DAY.budget(expected) == Budget(0.0, silent_s=600.0, unit_s=600.0)


@pytest.mark.parametrize(
    ("basis", "least_s"),
    [(Basis.LIKE_CALLS, 60.0), (Basis.LARGER_CALLS, 300.0), (Basis.QUEUE, 300.0)],
)
def test_the_less_is_known_of_a_call_the_longer_it_may_take(basis: Basis, least_s: float) -> None:
    budget = DAY.budget(known(0.01, basis))

    assert budget == Budget(0.01, silent_s=least_s, unit_s=least_s)


Work = Callable[[Silence, list[Hang]], None]


def hangs_of(budget: Budget | None, work: Work, max_silent_s: float = 60.0) -> list[Hang]:
    """Return the hangs that are found while something works, which is told of them."""
    hangs: list[Hang] = []
    silence = Silence(max_silent_s, hangs.append, least_s=0.1)
    silence.start()
    try:
        with silence.computing(), silence.within(budget):
            work(silence, hangs)
    finally:
        silence.close()
    return hangs


def asks_until_found(silence: Silence, hangs: list[Hang]) -> None:
    """Ask whether to stop all the time, on a busy machine for longer: its waits do not count."""

    def asks() -> bool:
        silence.hear()
        return hangs != []

    wait_until(asks, "a hang is found")


def test_what_computes_past_its_budget_is_a_hang_though_it_asks_whether_to_stop() -> None:
    found = hangs_of(Budget(0.01, silent_s=10.0, unit_s=0.1), asks_until_found)

    assert found[0].expected_s == 0.01
    assert found[0].seconds > 0.1
    assert str(found[0]) == (
        "The plugin computed for 0 s at items that should take 0.01 s, as earlier ones did "
        "(SEQD_UNIT_BUDGET_FACTOR)"
    )


def test_the_thread_that_waited_longest_for_a_processor_counts(tmp_path: Path) -> None:
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


class SeenDelay(RunDelay):
    """The waits of a thread of a folder, with what happens before each look at them."""

    def __init__(self, tasks: Path, before: Callable[[int], None] = lambda looks: None) -> None:
        super().__init__(tasks)
        self.looks = 0
        self._before = before

    def waits_for_disk(self) -> bool:
        self.looks += 1
        self._before(self.looks)
        return super().waits_for_disk()

    def wait_for_looks(self, count: int) -> None:
        """Wait for so many more."""
        due = self.looks + count
        wait_until(lambda: self.looks >= due, f"it is looked {count} times")


#: Looks of 25 ms and more each: together they take several times a budget of 100 ms.
MANY_LOOKS = 20


def test_work_that_waits_for_a_processor_keeps_to_its_budget(tmp_path: Path) -> None:
    thread, found = tmp_path / "10", list[Hang]()
    thread.mkdir()

    def wait(looks: int) -> None:
        (thread / "schedstat").write_text(f"5 {looks}000000000 7\n")

    delay = SeenDelay(tmp_path, wait)
    silence = Silence(60.0, found.append, least_s=0.1, delay=delay)
    silence.start()

    with silence.computing(), silence.within(Budget(0.01, silent_s=0.1, unit_s=0.1)):
        delay.wait_for_looks(MANY_LOOKS)
    silence.close()

    assert found == []


def test_work_that_waits_for_a_disk_keeps_to_its_budget(tmp_path: Path) -> None:
    thread, found = tmp_path / "10", list[Hang]()
    thread.mkdir()
    (thread / "stat").write_text("10 (a) R (python) D 1 10 10 0\n")
    delay = SeenDelay(tmp_path)
    silence = Silence(60.0, found.append, least_s=0.1, delay=delay)
    silence.start()

    with silence.computing(), silence.within(Budget(0.01, silent_s=0.1, unit_s=0.1)):
        delay.wait_for_looks(MANY_LOOKS)
        assert found == []
        (thread / "stat").write_text("10 (a) D (python) S 1 10 10 0\n")
        wait_until(lambda: found != [], "a hang is found")
    silence.close()


def test_a_factor_of_zero_bounds_nothing() -> None:
    assert NO_BUDGETS.budget(known(1.0)) is None
    assert NO_BUDGETS.least_s == inf

"""A lease counts as lost where a commit or a stop came of it, and not where its work was done."""

from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from clock_fixtures import HeldClock
from seqd.errors import LeaseLost, Stopped
from seqd.ledger.units import Unit
from seqd.ledger.work import CommitOutcome, Renewal
from seqd.worker.leases import LeaseKeeper

ONE, TWO = (Unit(name, "0", 2, 0, b"", started_job=False) for name in ("one", "two"))


class Keeper(LeaseKeeper):
    """A keeper whose ledger has lost what a test says, and which renews when a test says so."""

    def __init__(self, **options: Any) -> None:
        self.gone: set[Unit] = set()
        self.asked: list[Unit] = []
        #: What the thread that works does while the next renewal is under way.
        self.meanwhile: Callable[[], None] | None = None
        work = SimpleNamespace(renew=self._renewed)
        super().__init__(SimpleNamespace(work=work), heartbeat_s=60, **options)

    def _renewed(self, units: list[Unit]) -> list[Renewal]:
        self.asked = units
        act, self.meanwhile = self.meanwhile, None
        if act is not None:
            act()
        return [Renewal.LOST if unit in self.gone else Renewal.KEPT for unit in units]

    def lose(self, *units: Unit) -> None:
        """Lose leases, and renew as the next heartbeat does."""
        self.gone |= set(units)
        self._try_to_renew()


def commit(*outcomes: CommitOutcome, loses: bool = True) -> Callable[[Keeper], None]:
    """Lose the first unit, and commit it behind that."""

    def steps(keeper: Keeper) -> None:
        if loses:
            keeper.lose(ONE)
        for outcome in outcomes:
            keeper.committed(ONE, outcome)
        keeper.lose()

    return steps


def stop(*lost: Unit) -> Callable[[Keeper], None]:
    def steps(keeper: Keeper) -> None:
        keeper.lose(*lost)
        assert keeper.should_end() == bool(lost)
        raise Stopped

    return steps


def told_by_the_work(keeper: Keeper) -> None:
    raise LeaseLost("Another worker has it.")


@pytest.mark.parametrize(
    ("steps", "count"),
    [
        # A heartbeat just behind a commit, which is not noted here yet.
        (commit(CommitOutcome.COMPLETED), 0),
        (commit(CommitOutcome.ENDED), 1),
        (commit(CommitOutcome.FENCED), 1),
        # It was sent twice, since the first reply did not come; or another worker was first.
        (commit(CommitOutcome.DUPLICATE, loses=False), 0),
        (commit(CommitOutcome.DUPLICATE), 1),
        (stop(), 0),  # a drain
        (stop(ONE, TWO), 2),
        (told_by_the_work, 2),  # though no renewal has noticed
    ],
)
def test_leases_count_as_lost_once_where_their_work_came_to_nothing(steps, count):
    keeper = Keeper()

    with suppress(Stopped, LeaseLost), keeper.holding([ONE, TWO]):
        steps(keeper)

    assert keeper.lost_count == count


def test_a_plugin_goes_on_for_nothing_until_it_has_computed_however_late_the_commit_is():
    keeper = Keeper()
    said = []

    for _ in range(2):
        with keeper.holding([ONE, TWO]):
            keeper.lose(ONE, TWO)
            said.append(keeper.goes_on_for_nothing())
            # The commit waits for its reply, or has taken the leases that the renewal then missed.
            keeper.computed()
            said.append(keeper.goes_on_for_nothing())

    assert said == [True, False] * 2


def test_a_lease_is_not_renewed_that_was_committed_or_given_up_while_others_are_worked_on():
    keeper = Keeper()

    with keeper.holding([ONE, TWO]):
        keeper.given_up(ONE)
        keeper.lose(ONE)
        asked = [keeper.asked]
        keeper.committed(TWO, CommitOutcome.COMPLETED)
        keeper.asked = []
        keeper.lose()
        asked.append(keeper.asked)

    assert asked == [[TWO], []]
    assert keeper.lost_count == 0


def test_a_plugin_that_asks_while_a_renewal_is_under_way_is_not_told_to_go_on_for_nothing():
    clock = HeldClock()
    keeper, said = Keeper(clock=clock), list[bool]()

    with keeper.holding([ONE]):
        # A worker that was frozen: the thread that renews and the one that works go on at once.
        clock.now_s += 5.0
        keeper.meanwhile = lambda: said.append(keeper.should_end())
        keeper.lose(ONE)

    assert said == [True]

"""A lease counts as lost where a commit or a stop came of it, and not where its work was done."""

from contextlib import suppress
from types import SimpleNamespace

import pytest

from seqd.errors import LeaseLost, Stopped
from seqd.ledger.units import Unit
from seqd.ledger.work import CommitOutcome, Renewal
from seqd.worker.leases import LeaseKeeper


def a_unit(job_id: str = "j") -> Unit:
    return Unit(job_id, "0", attempt=2, crashes=0, blob=b"", started_job=False)


class Keeper:
    """A keeper whose ledger has lost what a test says, and which renews when a test says so."""

    def __init__(self) -> None:
        self.gone: set[Unit] = set()
        self.asked: list[Unit] = []
        work = SimpleNamespace(renew=self._renewed)
        self.leases = LeaseKeeper(SimpleNamespace(work=work), heartbeat_s=60, max_silent_s=60)

    def _renewed(self, units: list[Unit]) -> list[Renewal]:
        self.asked = units
        return [Renewal.LOST if unit in self.gone else Renewal.KEPT for unit in units]

    def renew(self) -> None:
        """Renew as the next heartbeat does."""
        self.leases._try_to_renew()


def test_a_heartbeat_just_behind_a_commit_finds_no_lease_and_counts_none() -> None:
    keeper, unit = Keeper(), a_unit()

    with keeper.leases.holding([unit]):
        keeper.gone.add(unit)  # it is committed, and that is not noted here yet
        keeper.renew()
        keeper.leases.committed(unit, CommitOutcome.COMPLETED)
        keeper.renew()

    assert keeper.asked == []
    assert keeper.leases.lost_count == 0


def test_a_lease_is_not_renewed_that_was_given_up_while_others_are_worked_on() -> None:
    keeper, units = Keeper(), [a_unit("split"), a_unit("slow")]

    with keeper.leases.holding(units), suppress(Stopped):
        keeper.leases.given_up(units[0])
        keeper.gone.add(units[0])
        keeper.renew()
        assert keeper.asked == [units[1]]
        assert not keeper.leases.should_end()
        raise Stopped("the worker drains")

    assert keeper.leases.lost_count == 0


@pytest.mark.parametrize("outcome", [CommitOutcome.ENDED, CommitOutcome.FENCED])
def test_a_commit_that_comes_too_late_counts_its_lease_once(outcome: CommitOutcome) -> None:
    keeper, unit = Keeper(), a_unit()

    with keeper.leases.holding([unit]):
        keeper.gone.add(unit)
        keeper.renew()
        keeper.leases.committed(unit, outcome)
        keeper.renew()

    assert keeper.leases.lost_count == 1


def test_a_commit_that_was_sent_twice_loses_no_lease_and_one_of_another_worker_does() -> None:
    keeper, unit = Keeper(), a_unit()

    with keeper.leases.holding([unit]):
        keeper.leases.committed(unit, CommitOutcome.DUPLICATE)  # the first reply did not come
    of_own = keeper.leases.lost_count
    with keeper.leases.holding([unit]):
        keeper.gone.add(unit)
        keeper.renew()
        keeper.leases.committed(unit, CommitOutcome.DUPLICATE)

    assert (of_own, keeper.leases.lost_count) == (0, 1)


def test_work_that_stops_since_its_leases_are_lost_counts_them() -> None:
    keeper, units = Keeper(), [a_unit("one"), a_unit("two")]

    with pytest.raises(Stopped), keeper.leases.holding(units):
        keeper.gone |= set(units)
        keeper.renew()
        assert keeper.leases.should_end()
        raise Stopped

    assert keeper.leases.lost_count == 2


def test_work_that_is_told_of_its_lost_lease_counts_it_though_no_renewal_has_noticed() -> None:
    keeper, unit = Keeper(), a_unit()

    with pytest.raises(LeaseLost), keeper.leases.holding([unit]):
        raise LeaseLost("Another worker has it.")

    assert keeper.leases.lost_count == 1


def test_a_drain_loses_no_lease() -> None:
    keeper = Keeper()

    with pytest.raises(Stopped), keeper.leases.holding([a_unit()]):
        keeper.renew()
        raise Stopped

    assert keeper.leases.lost_count == 0

"""Redis goes away for a moment while a worker works: no job may be blamed for it.

The ledger is a stand-in that fails at a chosen call, since a real server cannot be made to
go away between two calls of one unit.
"""

from dataclasses import replace

from seqd.ledger.units import Unit
from seqd.ledger.work import Renewal
from seqd.worker.leases import LeaseKeeper


def a_unit(**changes: object) -> Unit:
    unit = Unit(job_id="j1", name="0", attempt=1, crashes=0, blob=b"", started_job=False)
    return replace(unit, **changes)  # type: ignore[arg-type]


def test_a_late_answer_about_an_earlier_claim_costs_no_later_one_its_lease():
    keeper: LeaseKeeper
    later = a_unit(attempt=2)

    class Renewing:
        """Loses the first claim, and answers when the unit has been claimed again."""

        def __init__(self) -> None:
            self.work = self

        def renew(self, units: list[Unit]) -> list[Renewal]:
            with keeper.holding([later]):
                answered.append(keeper.should_end())
            keeper._units = (later,)
            return [Renewal.LOST for _ in units]

    answered: list[bool] = []
    keeper = LeaseKeeper(Renewing(), heartbeat_s=10, max_silent_s=60)  # type: ignore[arg-type]
    with keeper.holding([a_unit(attempt=1)]):
        keeper._renew()
        lost = keeper.should_end()

    assert (answered, lost) == ([False], False)

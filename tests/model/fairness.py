"""Fair shares over many claims: of a class among tenants, of a tenant among its queues and jobs.

A bound, not an order: of two flows that have had units to be claimed all the while, none gets more
than `SLACK` full units beyond what the other got, by their weights. The bound holds where any unit
may come next, so it is looked at while all that can be claimed of a class and queue is alike.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction

#: Full units of a flow of weight 1: one that is served as the other is due, on either side, and one
#: by which a new flow may stand behind.
SLACK = Fraction(3)


class Fairness:
    """The shares of some flows."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._served: dict[str, Fraction] = {}
        #: Of two flows, what the first had beyond the second when both had work at first, and the
        #: least that it had beyond it when the second was served.
        self._base: dict[tuple[str, str], Fraction] = {}
        self._least: dict[tuple[str, str], Fraction] = {}

    def note_backlog(self, with_work: Iterable[str]) -> None:
        """Say which flows have work now; of others nothing is known any more."""
        flows = set(with_work)
        for pair in list(self._base):
            if pair[0] not in flows or pair[1] not in flows:
                del self._base[pair], self._least[pair]
        for one in flows:
            for other in flows:
                if one != other and (one, other) not in self._base:
                    self._base[one, other] = self._ahead(one, other)
                    self._least[one, other] = Fraction(0)

    def serve(self, flow: str, work: Fraction, weights: Mapping[str, float]) -> None:
        """Note that a flow was served, and check that it was not too far ahead of the others."""
        for one, other in list(self._base):
            if one != flow:
                continue
            ahead = self._ahead(one, other) - self._base[one, other]
            most = self._least[one, other] + SLACK / Fraction(
                min(weights.get(one, 1.0), weights.get(other, 1.0))
            )
            assert ahead <= most, f"{self._what} {one} is {ahead} units ahead of {other}"
            self._least[other, one] = min(self._least[other, one], -ahead)
        more = work / Fraction(weights.get(flow, 1.0))
        self._served[flow] = self._served.get(flow, Fraction(0)) + more

    def _ahead(self, one: str, other: str) -> Fraction:
        return self._served.get(one, Fraction(0)) - self._served.get(other, Fraction(0))

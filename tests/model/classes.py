"""How a worker is shared among classes of work: what it got of each, by their weights."""

from collections.abc import Collection
from dataclasses import dataclass, field
from fractions import Fraction

from seqd_schemas import Priority

WEIGHTS = {Priority.INTERACTIVE: 16, Priority.NORMAL: 4, Priority.BULK: 1}

#: The least that a claim counts for, in full units.
LEAST_WORK = Fraction(1, 16)

FORGOTTEN_MS = 3_600_000


@dataclass
class _Share:
    """What one worker got."""

    time: Fraction = Fraction(0)
    of_class: dict[Priority, Fraction] = field(default_factory=dict)
    noted_ms: int = 0


class Classes:
    """The shares of all workers."""

    def __init__(self) -> None:
        self._shares: dict[str, _Share] = {}
        #: Workers of which it is not known what they were charged.
        self._unsure: dict[str, int] = {}

    def charge(
        self,
        worker: str,
        served: Priority,
        work: Fraction,
        had_work: Collection[Priority],
        may_have_had: Collection[Priority],
        now_ms: int,
    ) -> None:
        """Check that a class was served whose turn it was, and charge it.

        `may_have_had` are classes whose queues have jobs that nobody may claim from, which a claim
        finds out when it looks.
        """
        share = self._shares.get(worker, _Share())
        if now_ms - share.noted_ms > FORGOTTEN_MS:
            share = _Share()
        if now_ms - self._unsure.get(worker, -FORGOTTEN_MS) <= FORGOTTEN_MS or may_have_had:
            self._unsure[worker] = now_ms
            return
        if len(had_work) < 2:
            return
        times = {one: max(share.of_class.get(one, Fraction(0)), share.time) for one in had_work}
        due = min(had_work, key=lambda one: (times[one], list(Priority).index(one)))
        assert served is due, f"{worker} got {served}, and {due} was due: {times}"
        share.time = times[served]
        share.of_class[served] = times[served] + max(work, LEAST_WORK) / WEIGHTS[served]
        share.noted_ms = now_ms
        self._shares[worker] = share

"""How far each combination of a sweep is, as its events and results tell. Pure; draws nothing.

Used by `sweep_view`, which shows it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from seqd_schemas import (
    Epoch,
    Event,
    ItemFailure,
    ItemSuccess,
    Log,
    Step,
    TrainedVersion,
)

Result = ItemSuccess | ItemFailure


@dataclass(slots=True)
class Row:
    """One combination."""

    name: str
    #: Share of its steps that are done, None until it tells.
    share: float | None = None
    epoch: int = 0
    epochs: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    result: Result | None = None
    #: When it was first heard of, on the monotonic clock.
    began_s: float | None = None

    @property
    def state(self) -> str:
        """Say in a word how far it is."""
        if self.result is not None:
            return "trained" if isinstance(self.result, ItemSuccess) else "failed"
        return "waiting" if self.began_s is None else "training"

    def seconds(self, now_s: float) -> float | None:
        """Give the seconds that it took, or has taken as far as was seen."""
        if isinstance(self.result, ItemSuccess) and isinstance(self.result.output, TrainedVersion):
            return self.result.output.seconds
        if self.result is not None or self.began_s is None:
            return None
        return now_s - self.began_s


class SweepBoard:
    """All combinations of a sweep, in order."""

    def __init__(self, names: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self.rows = {name: Row(name) for name in names}
        self._clock = clock

    def take(self, event: Event) -> Row | None:
        """Take in an event; gives the row that it is about, if any."""
        if not isinstance(event, Step | Epoch | Log) or event.run is None:
            return None
        row = self.rows.get(event.run)
        if row is None or row.result is not None:
            return row
        if row.began_s is None:
            row.began_s = self._clock()
        if not isinstance(event, Log):
            row.metrics |= event.metrics
        if isinstance(event, Epoch):
            row.epoch, row.epochs = event.epoch, event.epochs
        elif isinstance(event, Step) and event.total:
            row.share = event.done / event.total
        return row

    def settle(self, results: Mapping[str, Result]) -> list[Row]:
        """Take in the results that are there; gives the rows that were not done before."""
        new = []
        for name, result in results.items():
            row = self.rows.get(name)
            if row is not None and row.result is None:
                row.result = result
                if isinstance(result, ItemSuccess) and isinstance(result.output, TrainedVersion):
                    row.metrics = dict(result.output.metrics)
                new.append(row)
        return new

    def counted(self) -> dict[str, int]:
        """Count the rows by state, those without any left out, in the order of a sweep's course."""
        states = [row.state for row in self.rows.values()]
        order = ("trained", "failed", "training", "waiting")
        return {state: states.count(state) for state in order if state in states}

    def shown(self, most: int) -> tuple[list[Row], int]:
        """Give the rows to show where there is room for `most`, and how many are left out.

        Those that are being trained come first, then the last ones that are done.
        """
        rows = list(self.rows.values())
        rank = {"training": 0, "trained": 1, "failed": 1, "waiting": 2}
        latest = sorted(range(len(rows)), key=lambda at: (rank[rows[at].state], _recent(rows, at)))
        kept = sorted(latest[:most])
        return [rows[at] for at in kept], len(rows) - len(kept)


def _recent(rows: Sequence[Row], at: int) -> int:
    """Order by place, of those that are done the last one first."""
    return at if rows[at].result is None else -at

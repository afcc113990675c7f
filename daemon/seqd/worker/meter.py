"""Counts what a worker's child does with items, for its status: units, batches, seconds.

Written to by the thread that works, read by the thread that publishes the status: a reading may
be of the moment before. Not a profile of trainings, whose events tell their own times.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Literal

from seqd_schemas import WorkTotals

#: Stages that the daemon times itself; plugins tell of the others.
Stage = Literal["claim_s", "unpack_s", "commit_s"]


class WorkMeter:
    """A child's totals since it started."""

    def __init__(self) -> None:
        self._counts = {"units": 0, "items": 0, "batches": 0, "batch_items": 0}
        self._tokens = {"real_tokens": 0, "computed_tokens": 0}
        self._seconds = dict.fromkeys(
            ("claim_s", "unpack_s", "vectorise_s", "compute_s", "commit_s"), 0.0
        )

    def totals(self) -> WorkTotals:
        """Read all of them."""
        return WorkTotals(**self._counts, **self._tokens, **self._seconds)

    def committed(self, items: int) -> None:
        """Count a unit."""
        self._counts["units"] += 1
        self._counts["items"] += items

    def add(self, stage: Stage, seconds: float) -> None:
        """Add to a stage's time."""
        self._seconds[stage] += seconds

    @contextmanager
    def timing(self, stage: Stage) -> Iterator[None]:
        """Add the time of a block to a stage."""
        began = perf_counter()
        try:
            yield
        finally:
            self.add(stage, perf_counter() - began)

    def batch(
        self,
        *,
        items: int,
        real_tokens: int,
        computed_tokens: int,
        vectorise_s: float,
        compute_s: float,
    ) -> None:
        """Count what a plugin says of one batch; see `RunContext.batch`."""
        self._counts["batches"] += 1
        self._counts["batch_items"] += items
        self._tokens["real_tokens"] += real_tokens
        self._tokens["computed_tokens"] += computed_tokens
        self._seconds["vectorise_s"] += vectorise_s
        self._seconds["compute_s"] += compute_s

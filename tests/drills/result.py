"""What a drill came to, and how it is counted."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from types import TracebackType
from typing import Self

from seqd_schemas import ItemFailure, ItemSuccess

HEADINGS = ("drill", "items", "stall s", "lost", "doubled", "failed")

#: The first two lines of the table, as Markdown.
HEAD = f"| {' | '.join(HEADINGS)} |\n|{' --- |' * len(HEADINGS)}"

LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class DrillResult:
    """One row of the table of drills."""

    name: str
    #: Longest time without any progress, from the fault on.
    stall_s: float
    lost: int
    doubled: int
    failed: int
    items: int = 0
    #: Seconds that the Sentinels took for a failover, which the stall includes.
    failover_s: float = 0.0

    @property
    def passed(self) -> bool:
        """True where nothing was lost, doubled or failed."""
        return self.lost == self.doubled == self.failed == 0

    def row(self) -> str:
        """Return the row as Markdown."""
        cells = (self.name, f"{self.items:,}", f"{self.stall_s:.1f}")
        return f"| {' | '.join((*cells, *map(str, (self.lost, self.doubled, self.failed))))} |"


def table(results: Iterable[DrillResult]) -> str:
    """Return the table of drills as Markdown."""
    return "\n".join([HEAD, *(result.row() for result in results)])


def counted(
    name: str,
    expected: Sequence[str],
    results: Iterable[ItemSuccess | ItemFailure],
    stall_s: float,
) -> DrillResult:
    """Return the result of a drill from the items that were sent and what came back."""
    came = list(results)
    times = Counter(result.custom_id for result in came)
    return DrillResult(
        name=name,
        stall_s=stall_s,
        lost=sum(1 for custom_id in expected if not times[custom_id]),
        doubled=sum(count - 1 for count in times.values() if count > 1),
        failed=sum(1 for result in came if isinstance(result, ItemFailure)),
        items=len(expected),
    )


class StallClock:
    """Watches a number that should grow, and keeps the longest time that it did not."""

    def __init__(self, progress: Callable[[], int]) -> None:
        """`progress` is asked again and again, in a thread; it may wait."""
        self._progress = progress
        self._end = Event()
        self._changed_at = time.monotonic()
        self._value = -1
        self._longest_s = 0.0
        self._error: Exception | None = None
        self._thread = Thread(target=self._run, name="stall-clock")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    @property
    def value(self) -> int:
        """The number as it was last seen; raises what `progress` has raised."""
        if self._error is not None:
            raise self._error
        return self._value

    @property
    def stall_s(self) -> float:
        """Seconds of the longest standstill since `start_over`."""
        return self._longest_s

    def start_over(self) -> None:
        """Forget the standstills so far: the fault comes now."""
        self._longest_s = 0.0

    def _run(self) -> None:
        try:
            self._watch()
        except Exception as error:  # noqa: BLE001 - `value` raises it
            self._error = error

    def _watch(self) -> None:
        while not self._end.wait(LOOK_S):
            value, now = self._progress(), time.monotonic()
            if value != self._value:
                if self._value >= 0:
                    self._longest_s = max(self._longest_s, now - self._changed_at)
                self._value, self._changed_at = value, now

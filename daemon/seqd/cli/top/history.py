"""What one overview does not say: the course of the rate, and what each worker does a second."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from seqd.ledger.overview import FleetOverview

#: Seconds that a worker's rate is of: it notes what it has done each second, or at a heartbeat.
WINDOW_S: Final = 15.0

#: Seconds between two points of a course, and how many points are kept: ten minutes.
STEP_S: Final = 2.0
_MOST_POINTS: Final = 300


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast it went, as far as was looked at."""

    #: Items a second of the fleet, the last one last; a point each `STEP_S` seconds.
    items_course: tuple[float, ...] = ()
    #: Items a second by worker; none before two reads.
    by_worker: Mapping[str, float] = field(default_factory=dict)


class History:
    """Keeps what workers had done in the last seconds, and the rates of the last minutes."""

    def __init__(self) -> None:
        #: When that was, and by worker and when it started, items since then.
        self._done: deque[tuple[float, Mapping[tuple[str, int], int]]] = deque()
        self._course: deque[float] = deque(maxlen=_MOST_POINTS)
        self._stepped_at_s = float("-inf")

    def add(self, overview: "FleetOverview") -> Rates:
        """Add a read, and return the rates behind it."""
        now_s = overview.at_ms / 1000
        done = {(one.worker, one.started_at_ms): one.work.items for one in overview.workers}
        if self._done and now_s < self._done[-1][0]:
            self._done.clear()  # the server's clock was set back, or it is another server
        self._done.append((now_s, done))
        while len(self._done) > 2 and self._done[1][0] <= now_s - WINDOW_S:
            self._done.popleft()
        if now_s - self._stepped_at_s >= STEP_S:
            self._stepped_at_s = now_s
            self._course.append(overview.items_per_s)
        then_s, before = self._done[0]
        seconds = now_s - then_s
        by_worker = {
            name: max(0, items - before[name, started]) / seconds
            for (name, started), items in done.items()
            if (name, started) in before and seconds >= WINDOW_S / 2
        }
        return Rates(tuple(self._course), by_worker)

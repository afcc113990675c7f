"""Rates of the last seconds, from the differences between reads, and their course of minutes."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from seqd.ledger.overview import FleetOverview

#: Seconds that a rate is of: a worker notes what it has done each second, or at a heartbeat.
WINDOW_S: Final = 15.0

#: Seconds between two points of a course, and how many points are kept: ten minutes.
STEP_S: Final = 2.0
_MOST_POINTS: Final = 300

Route = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast it goes at one moment; without two reads, the means of the last minute."""

    items_per_s: float = 0.0
    errors_per_min: float = 0.0
    #: Items a second, and errors a second, by task and model.
    by_route: Mapping[Route, float] = field(default_factory=dict)
    errors_by_route: Mapping[Route, float] = field(default_factory=dict)
    by_worker: Mapping[str, float] = field(default_factory=dict)
    #: Items a second, the last one last; a point each `STEP_S` seconds.
    items_course: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sample:
    """What was counted at one moment."""

    at_s: float
    done: Mapping[Route, tuple[int, int]]
    #: By worker and when it started, items since then.
    workers: Mapping[tuple[str, int], int]


class History:
    """Keeps what was counted in the last seconds, and the rates of the last minutes."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()
        self._items: deque[float] = deque(maxlen=_MOST_POINTS)
        self._stepped_at_s = float("-inf")

    def add(self, overview: "FleetOverview") -> Rates:
        """Add a read, and return the rates behind it."""
        now = _sample_of(overview)
        if self._samples and now.at_s < self._samples[-1].at_s:
            self._samples.clear()  # the server's clock was set back, or it is another server
        self._samples.append(now)
        while len(self._samples) > 2 and self._samples[1].at_s <= now.at_s - WINDOW_S:
            self._samples.popleft()
        rates = self._rates(overview, self._samples[0], now)
        if now.at_s - self._stepped_at_s >= STEP_S:
            self._stepped_at_s = now.at_s
            self._items.append(rates.items_per_s)
        return replace(rates, items_course=tuple(self._items))

    def _rates(self, overview: "FleetOverview", before: _Sample, now: _Sample) -> Rates:
        seconds = now.at_s - before.at_s
        if seconds < WINDOW_S / 2:
            return _recent(overview)
        by_route, errors_by_route = {}, {}
        for route, (items, errors) in now.done.items():
            known_items, known_errors = before.done.get(route, (0, 0))
            by_route[route] = max(0, items - known_items) / seconds
            errors_by_route[route] = max(0, errors - known_errors) / seconds
        by_worker = {
            name: max(0, items - before.workers[name, started]) / seconds
            for (name, started), items in now.workers.items()
            if (name, started) in before.workers
        }
        return _rates_of(by_route, errors_by_route, by_worker)


def _recent(overview: "FleetOverview") -> Rates:
    """Return the means of the last minute, as workers have noted them."""
    by_route = {(one.task, one.model): one.rate_per_s or 0.0 for one in overview.queues}
    errors = {(one.task, one.model): one.errors_per_s or 0.0 for one in overview.queues}
    return _rates_of(by_route, errors, {})


def _rates_of(
    by_route: Mapping[Route, float], errors: Mapping[Route, float], by_worker: Mapping[str, float]
) -> Rates:
    return Rates(
        items_per_s=sum(by_route.values()),
        errors_per_min=sum(errors.values()) * 60,
        by_route=by_route,
        errors_by_route=errors,
        by_worker=by_worker,
    )


def _sample_of(overview: "FleetOverview") -> _Sample:
    return _Sample(
        at_s=overview.at_ms / 1000,
        done={(one.task, one.model): (one.items_done, one.errors) for one in overview.queues},
        workers={(one.worker, one.started_at_ms): one.work.items for one in overview.workers},
    )

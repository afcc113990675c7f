"""The metrics, by name, help text and labels.

Where Redis is away there is `seqd_up 0` and nothing else of the fleet: an autoscaler has to see
that nobody knows, and not that there is no work. No worker, job or tenant is a label.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from prometheus_client.core import GaugeMetricFamily, Metric

from seqd import __version__
from seqd.ledger.backlog import FleetState, by_state
from seqd.scaling import RouteWork
from seqd_schemas import WorkerState

#: Tasks of models that have labels of their own, those with the most work; the others of a task
#: are summed up under this name.
MOST_ROUTES = 100
OTHER = "other"

_ROUTE = ("task", "model")


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the fleet."""

    #: None where Redis could not be read in time.
    state: FleetState | None
    seconds: float


def metrics_of(reading: Reading) -> Iterator[Metric]:
    """Yield all metrics of a reading."""
    yield _gauge(
        "seqd_build_info", "Version of this exporter, always 1.", {(__version__,): 1}, ("version",)
    )
    yield _gauge(
        "seqd_up",
        "1 where Redis could be read for this answer, else 0; then nothing is known of the fleet.",
        {(): reading.state is not None},
    )
    yield _gauge("seqd_read_seconds", "Seconds that the read took.", {(): reading.seconds})
    if reading.state is not None:
        yield from _of_work(bounded(reading.state.routes))
        yield from _of_fleet(reading.state)


def bounded(routes: Iterable[RouteWork], most: int = MOST_ROUTES) -> list[RouteWork]:
    """Return at most `most` routes and, by task, the sum of the others."""
    ordered = sorted(routes, key=lambda route: (-route.seconds, route.task, route.model))
    kept = {(route.task, route.model): route for route in ordered[:most]}
    for route in ordered[most:]:
        key = (route.task, OTHER)
        known = kept.get(key, RouteWork(route.task, OTHER))
        waits = [s for s in (known.oldest_wait_s, route.oldest_wait_s) if s is not None]
        kept[key] = replace(
            known,
            seconds=known.seconds + route.seconds,
            unserved_s=known.unserved_s + route.unserved_s,
            items=known.items + route.items,
            leased_items=known.leased_items + route.leased_items,
            busy_workers=known.busy_workers + route.busy_workers,
            oldest_wait_s=max(waits, default=None),
        )
    return sorted(kept.values(), key=lambda route: (route.task, route.model))


def _of_work(routes: list[RouteWork]) -> Iterator[Metric]:
    yield _gauge(
        "seqd_work_left_seconds",
        "Seconds for which one slot would have to work at all that is left of a task and model, "
        "work in hand included, paused jobs not. The signal to scale by.",
        {(route.task, route.model): route.seconds for route in routes},
        _ROUTE,
    )
    yield _gauge(
        "seqd_unserved_work_seconds",
        "Those of seqd_work_left_seconds that no worker that is up can run.",
        {(route.task, route.model): route.unserved_s for route in routes},
        _ROUTE,
    )
    yield _gauge(
        "seqd_queue_items",
        "Items that wait: nobody has done them, and no worker holds them.",
        {(route.task, route.model): route.items - route.leased_items for route in routes},
        _ROUTE,
    )
    yield _gauge(
        "seqd_leased_items",
        "Items that workers hold.",
        {(route.task, route.model): route.leased_items for route in routes},
        _ROUTE,
    )
    yield _gauge(
        "seqd_busy_workers",
        "Workers that hold items of a task and model.",
        {(route.task, route.model): route.busy_workers for route in routes},
        _ROUTE,
    )
    yield _gauge(
        "seqd_oldest_wait_seconds",
        "Seconds since the oldest job was made that no worker has begun; 0 without such a job.",
        {(route.task, route.model): route.oldest_wait_s or 0.0 for route in routes},
        _ROUTE,
    )


def _of_fleet(state: FleetState) -> Iterator[Metric]:
    workers = by_state(state.workers)
    yield _gauge(
        "seqd_workers",
        "Workers that are up, by what they do.",
        {(str(name),): workers[str(name)] for name in WorkerState},
        ("state",),
    )
    yield _gauge(
        "seqd_jobs",
        "Jobs: open, uploading (of those, with input still to come), quarantined (so far).",
        {(name,): count for name, count in state.jobs.items()},
        ("state",),
    )
    if state.memory_ratio is not None:
        yield _gauge(
            "seqd_redis_memory_ratio",
            "Share of Redis's maxmemory that is used; absent without a maxmemory.",
            {(): state.memory_ratio},
        )


def _gauge(
    name: str, text: str, values: dict[tuple[str, ...], float], labels: tuple[str, ...] = ()
) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), float(value))
    return family

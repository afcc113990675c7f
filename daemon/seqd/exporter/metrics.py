"""The metrics, by name, help text and labels.

Where Redis is away there is `seqd_up 0` and nothing else of the fleet: an autoscaler has to see
that nobody knows, and not that there is no work. What could not be read of it is left out. No
worker or job is a label, and of models and tenants only so many are.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from prometheus_client.core import GaugeMetricFamily, Metric

from seqd import __version__
from seqd.ledger.figures import FleetFigures, ServerState
from seqd.ledger.retention import Evictions
from seqd.ledger.tenants import used_share, waiting_shares
from seqd.scaling import RouteWork
from seqd_schemas import PluginState, TenantRecord, UnfitCode, WorkerState, WorkerStatus

#: Tasks of models that have labels of their own, those with the most work; the others of a task
#: are summed up under this name.
MOST_ROUTES = 100
OTHER = "other"

#: Tenants that have labels of their own, those that use most of what they may.
MOST_TENANTS = 50

_ROUTE = ("task", "model")


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the fleet."""

    #: None where Redis could not be read in time.
    figures: FleetFigures | None
    seconds: float
    #: Rights that the user lacks; None where that is not known.
    missing_rights: int | None = None


def metrics_of(reading: Reading) -> Iterator[Metric]:
    """Yield all metrics of a reading."""
    yield _gauge(
        "seqd_build_info", "Version of this exporter, always 1.", {(__version__,): 1}, ("version",)
    )
    yield _gauge(
        "seqd_up",
        "1 where Redis could be read for this answer, else 0; then nothing is known of the fleet.",
        {(): reading.figures is not None},
    )
    yield _gauge("seqd_read_seconds", "Seconds that the read took.", {(): reading.seconds})
    if reading.missing_rights is not None:
        yield _gauge(
            "seqd_missing_rights",
            "Rights of the role exporter that the user of Redis lacks; the log names them.",
            {(): reading.missing_rights},
        )
    figures = reading.figures
    if figures is None:
        return
    yield from _of_work(bounded(figures.routes))
    yield from _of_fleet(figures)
    yield from _of_workers(figures.workers, figures.now_ms)
    if figures.silent_workers is not None:
        yield _gauge(
            "seqd_silent_workers",
            "Workers of the last day that are not heard of any more and did not end in order.",
            {(): figures.silent_workers},
        )
    if figures.failures is not None:
        yield _gauge("seqd_failures", "Entries of the dead letters.", {(): figures.failures})
    if figures.tenants is not None:
        yield from _of_tenants(figures.tenants)
    if figures.evictions is not None:
        yield from _of_evictions(figures.evictions)
    if figures.inbox is not None:
        entries, oldest_s = figures.inbox.entries, figures.inbox.oldest_age_s or 0.0
        yield _gauge("seqd_inbox_entries", "Entries that wait in the inbox.", {(): entries})
        yield _gauge(
            "seqd_inbox_oldest_seconds",
            "Seconds since the oldest entry was added that waits in the inbox; 0 without one.",
            {(): oldest_s},
        )
    if figures.server is not None:
        yield from _of_server(figures.server)


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
            leased_units=known.leased_units + route.leased_units,
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
        "seqd_units_in_flight",
        "Units that workers hold under a lease.",
        {(route.task, route.model): route.leased_units for route in routes},
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


def _of_fleet(figures: FleetFigures) -> Iterator[Metric]:
    workers = Counter(str(worker.state) for worker in figures.workers)
    yield _gauge(
        "seqd_workers",
        "Workers that are up, by what they do.",
        {(str(name),): workers[str(name)] for name in WorkerState},
        ("state",),
    )
    yield _gauge(
        "seqd_jobs",
        "Jobs: open, uploading (of those, with input still to come).",
        {(name,): count for name, count in figures.jobs.items()},
        ("state",),
    )


def _of_workers(workers: list[WorkerStatus], now_ms: int) -> Iterator[Metric]:
    codes = [{one.code for one in worker.unfit} for worker in workers]
    broken = {
        plugin.name
        for worker in workers
        for plugin in worker.plugins
        if plugin.state is PluginState.BROKEN
    }
    silence_s = max((now_ms - worker.seen_at_ms for worker in workers), default=0) / 1000
    yield _gauge(
        "seqd_longest_silence_seconds",
        "Of the workers that are up, the longest time since a heartbeat; 0 without a worker.",
        {(): max(0.0, silence_s)},
    )
    offsets_ms = [one.clock_offset_ms for one in workers if one.clock_offset_ms is not None]
    if offsets_ms:
        yield _gauge(
            "seqd_clock_offset_seconds",
            "Of the workers that are up, the farthest that a machine's clock is off that of Redis, "
            "either way; absent where none says it.",
            {(): max(map(abs, offsets_ms)) / 1000},
        )
    yield _gauge(
        "seqd_unfit_workers",
        "Workers that are up and cannot run a version or trainings now; `seqd status` has why.",
        {(): sum(bool(of_worker - {UnfitCode.BREAKER_OPEN}) for of_worker in codes)},
    )
    yield _gauge(
        "seqd_breaker_open_workers",
        "Workers that are up and have left a queue since its plugin raised for all items.",
        {(): sum(UnfitCode.BREAKER_OPEN in of_worker for of_worker in codes)},
    )
    yield _gauge(
        "seqd_broken_plugins",
        "Plugins that are broken on any worker that is up.",
        {(): len(broken)},
    )
    yield _gauge(
        "seqd_releases",
        "Releases of seqd that the workers that are up run.",
        {(): len({worker.seqd_version for worker in workers})},
    )
    yield _gauge(
        "seqd_cordoned_workers",
        "Workers that are up and claim nothing, since a rule of an operator asks for it.",
        {(): sum(worker.cordon is not None for worker in workers)},
    )


def _of_tenants(tenants: list[TenantRecord]) -> Iterator[Metric]:
    items = dict[tuple[str], int]()
    for label, one in _labelled(tenants, _waiting_ratio):
        items[label] = items.get(label, 0) + one.waiting_items
    yield _gauge(
        "seqd_tenant_items",
        "Items of a tenant that wait or are worked on.",
        dict(sorted(items.items())),
        ("tenant",),
    )
    yield _gauge(
        "seqd_tenant_share_ratio",
        "Used share of what a tenant may have waiting: the highest of jobs, items and bytes.",
        _highest(tenants, _waiting_ratio),
        ("tenant",),
    )
    yield _gauge(
        "seqd_tenant_kept_ratio",
        "Used share of the bytes of results and ended jobs that a tenant may keep. At 1 the oldest "
        "of its ended jobs are removed before their time.",
        # More than 1 where its last ended job is larger.
        _highest(tenants, lambda one: used_share(one.kept_bytes, one.limits.kept_bytes)),
        ("tenant",),
    )


def _highest(
    tenants: list[TenantRecord], ratio: Callable[[TenantRecord], float]
) -> dict[tuple[str, ...], float]:
    """Return a ratio of each tenant that has a label of its own, and the highest of the others."""
    ratios = dict[tuple[str, ...], float]()
    for label, one in _labelled(tenants, ratio):
        ratios[label] = max(ratios.get(label, 0.0), ratio(one))
    return dict(sorted(ratios.items()))


def _labelled(
    tenants: list[TenantRecord], ratio: Callable[[TenantRecord], float]
) -> Iterator[tuple[tuple[str], TenantRecord]]:
    """Yield tenants with their labels; those with the highest ratio have one of their own."""
    ordered = sorted(tenants, key=lambda one: (-ratio(one), -one.waiting_items, one.tenant))
    for place, one in enumerate(ordered):
        yield (one.tenant if place < MOST_TENANTS else OTHER,), one


def _of_evictions(evictions: Evictions) -> Iterator[Metric]:
    yield _gauge(
        "seqd_evicted_jobs",
        "Ended jobs that were removed before their time so far: tenant_kept_bytes (their tenant "
        "kept more than it may), memory (Redis was short of it).",
        {
            ("tenant_kept_bytes",): evictions.tenant_kept_bytes,
            ("memory",): evictions.memory,
        },
        ("reason",),
    )
    yield _gauge(
        "seqd_evicted_within_hour_jobs",
        "Those of seqd_evicted_jobs that had ended less than an hour before.",
        {(): evictions.within_hour},
    )


def _of_server(server: ServerState) -> Iterator[Metric]:
    if server.memory_ratio is not None:
        yield _gauge(
            "seqd_redis_memory_ratio",
            "Share of Redis's maxmemory that is used; absent without a maxmemory.",
            {(): server.memory_ratio},
        )
    yield _gauge("seqd_redis_memory_bytes", "Memory that Redis uses.", {(): server.memory_bytes})
    yield _gauge(
        "seqd_redis_is_primary",
        "1 where the server that is read is a primary, 0 where it is a replica.",
        {(): server.is_primary},
    )
    yield _gauge(
        "seqd_redis_connected_replicas", "Replicas that follow Redis.", {(): server.replicas}
    )
    yield _gauge(
        "seqd_redis_persistence_ok",
        "0 where Redis's last snapshot, or write to or of its append-only file, has failed.",
        {(): server.is_persistence_ok},
    )


def _gauge(
    name: str, text: str, values: dict[tuple[str, ...], float], labels: tuple[str, ...] = ()
) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), float(value))
    return family


def _waiting_ratio(one: TenantRecord) -> float:
    """Return the highest share of what waits."""
    return max(waiting_shares(one).values())

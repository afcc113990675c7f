"""The metrics of one worker, by name, help text and labels."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from platform import python_version

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from seqd import __version__
from seqd.worker.channel import Series
from seqd.worker.metrics.counting import BOUNDS

_ROUTE = ("task", "model")


@dataclass(frozen=True, slots=True)
class _Description:
    family: Callable[..., Metric]
    text: str
    labels: tuple[str, ...] = ()


#: What a child counts, by its name in the memory.
_COUNTED = {
    "items": _Description(
        CounterMetricFamily,
        "Items of units that were committed; code is that of the item's error.",
        (*_ROUTE, "outcome", "code"),
    ),
    "wait_seconds": _Description(
        HistogramMetricFamily, "Seconds from a job's acceptance to its first claim.", _ROUTE
    ),
    "unit_seconds": _Description(
        HistogramMetricFamily,
        "Seconds of the stages of a claim: small units that are claimed together count as one.",
        (*_ROUTE, "stage"),
    ),
    "job_seconds": _Description(
        HistogramMetricFamily,
        "Seconds from a job's acceptance to its end, of the jobs that this worker has ended.",
        _ROUTE,
    ),
    "busy_seconds": _Description(
        CounterMetricFamily, "Seconds from claim to commit, work in hand included.", _ROUTE
    ),
    "leases_lost": _Description(
        CounterMetricFamily,
        "Leases that ran out, or ended with their job, and with them work in hand or done.",
    ),
    "tokens": _Description(
        CounterMetricFamily, "Tokens of items, as the plugin counts them.", ("model",)
    ),
    "padding_tokens": _Description(
        CounterMetricFamily, "Tokens that were computed beside those, to fill batches.", ("model",)
    ),
    "breaker_open": _Description(
        GaugeMetricFamily, "1 while it has left a queue since its plugin raised for all items."
    ),
    "model_bytes": _Description(
        GaugeMetricFamily, "Memory that a model's versions take that are loaded.", ("model",)
    ),
}


def metrics_of_work(series: Iterable[Series]) -> Iterator[Metric]:
    """Yield the metrics of what was counted; one that nothing was counted of is left out."""
    families: dict[str, Metric] = {}
    for one in series:
        described = _COUNTED.get(one.name)
        if described is None:
            continue
        if one.name not in families:
            families[one.name] = described.family(
                f"seqd_worker_{one.name}", described.text, labels=described.labels
            )
        _add(families[one.name], one)
    yield from families.values()


def metrics_of_worker(slot: str, host: str) -> Iterator[Metric]:
    """Yield what a worker is."""
    build = GaugeMetricFamily(
        "seqd_worker_build_info",
        "Versions of this worker and of its Python, always 1.",
        labels=("version", "python"),
    )
    build.add_metric([__version__, python_version()], 1)
    yield build
    info = GaugeMetricFamily(
        "seqd_worker_info", "Slot and machine of this worker, always 1.", labels=("slot", "host")
    )
    info.add_metric([slot, host], 1)
    yield info
    yield GaugeMetricFamily("seqd_worker_up", "1: this worker's parent answers.", value=1)


def metric_of_deaths(deaths: dict[str, int]) -> Metric:
    """Return how often a child has died, by cause."""
    family = CounterMetricFamily(
        "seqd_worker_child_deaths", "Children that have died, by cause.", labels=("cause",)
    )
    for cause, count in deaths.items():
        family.add_metric([cause], count)
    return family


def metric_of_heartbeat(age_s: float) -> Metric:
    """Return the age of the child's last heartbeat."""
    return GaugeMetricFamily(
        "seqd_worker_heartbeat_age_seconds", "Since the last heartbeat of the child.", value=age_s
    )


def metric_of_gpu(used: int, total: int) -> Metric:
    """Return the memory of the worker's device, and how much any program uses of it."""
    family = GaugeMetricFamily(
        "seqd_worker_gpu_memory_bytes",
        "Memory of the device, and what all programs use of it.",
        labels=("kind",),
    )
    family.add_metric(["used"], used)
    family.add_metric(["total"], total)
    return family


def _add(family: Metric, series: Series) -> None:
    labels = list(series.labels)
    if isinstance(family, HistogramMetricFamily):
        *counts, total = series.numbers
        bounds = [*map(str, BOUNDS), "+Inf"]
        buckets = list(zip(bounds, accumulate(counts), strict=True))
        family.add_metric(labels, buckets=buckets, sum_value=total)
    elif isinstance(family, CounterMetricFamily | GaugeMetricFamily):
        family.add_metric(labels, series.numbers[0])

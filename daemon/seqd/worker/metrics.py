"""Metrics of one worker, served by its parent, which answers also while its child hangs in C code.

The child counts its work (`counting`) in the channel. This module needs prometheus-client; without
SEQD_WORKER_METRICS_PORT nothing is counted or served.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from platform import python_version
from threading import Thread
from time import monotonic, sleep

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from seqd import __version__
from seqd.errors import InvalidSettings
from seqd.local.gpus import Gpu, list_gpus
from seqd.local.metrics_server import MetricsServer
from seqd.settings import Settings
from seqd.worker.channel import Channel, Series
from seqd.worker.context import Identity
from seqd.worker.counting import BOUNDS
from seqd_schemas import DeathCause

log = logging.getLogger(__name__)

#: Seconds until a port is tried again that is taken, such as by the worker that this one replaces.
RETRY_S = 2.0

#: Seconds for which the driver is waited for, and for which its answer holds.
_DRIVER_S = 0.5
_DEVICE_S = 5.0

#: What the next child has to say anew.
_OF_THE_CHILD = ("model_bytes", "breaker_open")


class MetricsEndpoint:
    """Serves the metrics. Nothing depends on it."""

    def __init__(self, settings: Settings, identity: Identity, channel: Channel) -> None:
        """`channel` is where the child counts."""
        self._host, self._port = settings.worker_metrics_host, settings.worker_metrics_port
        self._identity = identity
        self._channel = channel
        self._deaths = {cause.value: 0 for cause in DeathCause}
        self._device: tuple[float, Gpu | None] = (0.0, None)

    def start(self) -> None:
        """Serve until this process ends; a port that is taken is tried again and again."""
        Thread(target=self._serve, name="seqd-metrics", daemon=True).start()

    def child_died(self, cause: DeathCause) -> None:
        """Count a death; what the child had in memory is gone with it."""
        self._deaths[cause.value] += 1
        for name in _OF_THE_CHILD:
            self._channel.clear(name)

    def metrics(self) -> Iterator[Metric]:
        """Yield all metrics as they are now."""
        slot, host = self._identity.slot.name, self._identity.host
        yield _family(
            GaugeMetricFamily,
            "seqd_worker_build_info",
            "Versions of this worker and of its Python, always 1.",
            ("version", "python"),
            {(__version__, python_version()): 1},
        )
        yield _family(
            GaugeMetricFamily,
            "seqd_worker_info",
            "Slot and machine of this worker, always 1.",
            ("slot", "host"),
            {(slot, host): 1},
        )
        yield GaugeMetricFamily("seqd_worker_up", "1: this worker's parent answers.", value=1)
        yield _family(
            CounterMetricFamily,
            "seqd_worker_child_deaths",
            "Children that have died, by cause.",
            ("cause",),
            {(cause,): count for cause, count in self._deaths.items()},
        )
        signs = self._channel.signs()
        if signs is not None:
            yield GaugeMetricFamily(
                "seqd_worker_heartbeat_age_seconds",
                "Since the last heartbeat of the child.",
                value=max(0.0, monotonic() - signs.heartbeat.at_s),
            )
        if (gpu := self._gpu()) is not None:
            used = max(0, gpu.memory_bytes - gpu.free_bytes)
            yield _family(
                GaugeMetricFamily,
                "seqd_worker_gpu_memory_bytes",
                "Memory of the device, and what all programs use of it.",
                ("kind",),
                {("used",): used, ("total",): gpu.memory_bytes},
            )
        yield from metrics_of_work(self._channel.series())

    def _serve(self) -> None:
        is_told = False
        while True:
            try:
                server = MetricsServer(
                    self._host, self._port, self.metrics, "The worker", "SEQD_WORKER_METRICS"
                )
            except InvalidSettings as error:
                if not is_told:
                    is_told = True
                    log.warning("no metrics are served, tried again each %g s: %s", RETRY_S, error)
                sleep(RETRY_S)
            else:
                log.info("metrics at http://%s/metrics", server.address)
                server.serve_forever()

    def _gpu(self) -> Gpu | None:
        pinned = self._identity.slot.gpu
        if pinned is None:
            return None
        read_s, gpu = self._device
        if monotonic() - read_s > _DEVICE_S:
            found = list_gpus(_DRIVER_S).find(pinned.uuid)
            gpu = found if isinstance(found, Gpu) else None
            self._device = (monotonic(), gpu)
        return gpu


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


def _family(
    kind: type[CounterMetricFamily | GaugeMetricFamily],
    name: str,
    text: str,
    labels: tuple[str, ...],
    values: Mapping[tuple[str, ...], float],
) -> Metric:
    family = kind(name, text, labels=labels)
    for of, value in values.items():
        family.add_metric(list(of), value)
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

"""The endpoint of a worker's metrics, served by its parent."""

import logging
from collections.abc import Iterator
from threading import Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING

from seqd.errors import InvalidSettings
from seqd.local.gpus import Gpu, list_gpus
from seqd.settings import Settings
from seqd.worker.channel import Channel
from seqd_schemas import DeathCause

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from seqd.worker.context import Identity

log = logging.getLogger(__name__)

#: Seconds until a port is tried again that is taken, such as by the worker that this one replaces.
RETRY_S = 2.0

#: Seconds for which the driver is waited for, and for which its answer holds.
_DRIVER_S = 0.5
_DEVICE_S = 5.0

#: What the next child has to say anew.
_OF_THE_CHILD = ("model_bytes", "breaker_open")


class MetricsEndpoint:
    """Serves the metrics; without a port it does nothing. Nothing depends on it."""

    def __init__(self, settings: Settings, identity: "Identity", channel: Channel) -> None:
        """`channel` is where its child counts. Raises InvalidSettings without the library."""
        self._host, self._port = settings.worker_metrics_host, settings.worker_metrics_port
        self._identity = identity
        self._channel = channel
        self._deaths = {cause.value: 0 for cause in DeathCause}
        self._device: tuple[float, Gpu | None] = (0.0, None)
        if self._port:
            _check_library()

    def start(self) -> None:
        """Serve until this process ends; a port that is taken is tried again and again."""
        if self._port:
            Thread(target=self._serve, name="seqd-metrics", daemon=True).start()

    def child_died(self, cause: DeathCause) -> None:
        """Count a death; what the child had in memory is gone with it."""
        self._deaths[cause.value] += 1
        for name in _OF_THE_CHILD:
            self._channel.clear(name)

    def metrics(self) -> "Iterator[Metric]":
        """Yield all metrics as they are now."""
        from seqd.worker.metrics import exposition

        identity = self._identity
        yield from exposition.metrics_of_worker(identity.slot.name, identity.host)
        yield exposition.metric_of_deaths(dict(self._deaths))
        signs = self._channel.signs()
        if signs is not None:
            yield exposition.metric_of_heartbeat(max(0.0, monotonic() - signs.heartbeat.at_s))
        if (gpu := self._gpu()) is not None:
            used = max(0, gpu.memory_bytes - gpu.free_bytes)
            yield exposition.metric_of_gpu(used, gpu.memory_bytes)
        yield from exposition.metrics_of_work(self._channel.series())

    def _serve(self) -> None:
        from seqd.local.metrics_server import MetricsServer

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


def _check_library() -> None:
    try:
        import prometheus_client  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "prometheus_client":
            raise
        raise InvalidSettings(
            "SEQD_WORKER_METRICS_PORT needs prometheus-client, which is not installed: "
            "pip install 'seqd[exporter]'"
        ) from error

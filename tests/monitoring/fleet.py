"""A fleet that Prometheus watches: a Redis, an exporter, workers with metrics of their own."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli_builders import clean_environment
from held_ports import Holder, hold_port
from monitoring.prometheus import Prometheus, prometheus
from redis_fixtures import PrivateServer
from seqd.local.parent_death import launch_command
from seqd.local.redis_binaries import find_server_binaries
from worker_fixtures import Cluster, LiveWorker, live_settings, wait_until


@dataclass(frozen=True)
class WatchedFleet:
    """A fleet, and the Prometheus that watches it."""

    server: PrivateServer
    cluster: Cluster
    prometheus: Prometheus
    #: Ports of the workers' metrics, by name.
    ports: dict[str, int]

    def start(self, name: str, **settings: object) -> LiveWorker:
        """Start a worker with its metrics."""
        settings = {"worker_metrics_port": self.ports[name], **settings}
        return self.cluster.start(name, **settings)

    def start_apart(self, name: str, sick: str = "", **settings: object) -> LiveWorker:
        """Start a worker with its metrics, and with a folder of data of its own."""
        settings = {"worker_metrics_port": self.ports[name], **settings}
        return self.cluster.start_apart(name, sick, **settings)

    def wait_until_read(self) -> None:
        """Wait until Prometheus has read the exporter and each worker."""
        wait_until(
            lambda: self.prometheus.targets_up() == 1 + len(self.ports), "all targets are read"
        )


@contextmanager
def watched_fleet(
    folder: Path, rules: str, workers: tuple[str, ...], **settings: object
) -> Iterator[WatchedFleet]:
    """Run Redis, the exporter and Prometheus until the block ends; workers are started in it."""
    with ExitStack() as ends:
        server = PrivateServer(
            find_server_binaries()[0], _made(folder / "redis"), ("maxmemory 200mb",)
        )
        server.start()
        ends.callback(server.stop)
        ends.callback(server.thaw)
        changed = live_settings(server, folder).model_copy(update=settings)
        cluster = Cluster(changed, folder)
        ends.callback(cluster.close)
        holder = Holder()
        port = hold_port(holder)
        ends.enter_context(_exporter(server.url, changed.prefix, port))
        ports = {name: hold_port(holder) for name in workers}
        targets = {
            "seqd-exporter": [f"127.0.0.1:{port}"],
            "seqd-workers": [f"127.0.0.1:{one}" for one in ports.values()],
        }
        watching = ends.enter_context(prometheus(_made(folder / "prometheus"), rules, targets))
        yield WatchedFleet(server, cluster, watching, ports)


@contextmanager
def _exporter(redis_url: str, prefix: str, port: int) -> Iterator[None]:
    program = subprocess.Popen(
        launch_command(
            [sys.executable, "-m", "seqd", "exporter", "--port", str(port)], signal.SIGKILL
        ),
        env=clean_environment(SEQD_REDIS_URL=redis_url, SEQD_PREFIX=prefix),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        program.kill()
        program.wait()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder

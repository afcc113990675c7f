"""What an endless run looks at: each process, Redis, and the files that the hosts have written."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
from redis import Redis

from endless.curves import Curve
from endless.fleet import Fleet

MB = 1e6


class Sampler:
    """Takes samples; each is a curve and its value, by the curve's name."""

    def __init__(self, fleet: Fleet) -> None:
        self._hosts = (fleet.first, fleet.second)
        self._redis = Redis.from_url(fleet.url)

    def sample(self) -> dict[str, tuple[Curve, float]]:
        """Look at everything once."""
        rows = [*self._processes(), *self._server(), *self._files()]
        return {curve.name: (curve, value) for curve, value in rows}

    def _processes(self) -> Iterator[tuple[Curve, float]]:
        processes = {"client": psutil.Process(os.getpid())}
        for host in self._hosts:
            processes |= host.processes()
        for name, process in processes.items():
            try:
                with process.oneshot():
                    memory = process.memory_info().rss / MB
                    files, threads = process.num_fds(), process.num_threads()
            except psutil.Error:  # it has just ended
                continue
            yield Curve(f"{name}, MB", 0.03, 3.0), memory
            yield Curve(f"{name}, open files", 0.0, 3.0, by_peaks=True), files
            yield Curve(f"{name}, threads", 0.0, 2.0, by_peaks=True), threads

    def _server(self) -> Iterator[tuple[Curve, float]]:
        memory = self._redis.info("memory")
        yield Curve("Redis used, MB", 0.05, 2.0), memory["used_memory_dataset"] / MB
        yield Curve("keys", 0.05, 100), self._redis.dbsize()
        connections = Curve("connections", 0.0, 5.0, by_peaks=True)
        yield connections, self._redis.info("clients")["connected_clients"]

    def _files(self) -> Iterator[tuple[Curve, float]]:
        logs = sum(_bytes_of(host.folder / "logs")[1] for host in self._hosts)
        yield Curve("logs, MB", 0.1, 0.2, by_peaks=True), logs / MB
        pairs = [_bytes_of(host.folder) for host in self._hosts]
        count, size = (sum(pair) for pair in zip(*pairs, strict=True))
        yield Curve("files", 0.02, 8.0, by_peaks=True), count
        yield Curve("files, MB", 0.2, 20.0, by_peaks=True), size / MB


def _bytes_of(folder: Path) -> tuple[int, int]:
    """Return how many files are under a folder, and how many bytes they take."""
    count = size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.stat(os.path.join(place, name)).st_size
            except FileNotFoundError:  # it has just been removed
                continue
            count += 1
    return count, size

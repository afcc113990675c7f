"""What a soak looks at: each process, Redis, and the files that the hosts have written."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
from redis import Redis

from soak.curves import Curve
from soak.hosts import Host, Hosts
from soak.traffic import Traffic

MB = 1e6


class Sampler:
    """Takes samples; each is a curve and its value, by the curve's name."""

    def __init__(self, hosts: Hosts, traffic: Traffic) -> None:
        self._hosts = hosts
        self._traffic = traffic
        self._redis = Redis.from_url(hosts.url)
        self._last: tuple[float, int] | None = None

    def sample(self, second: float) -> dict[str, tuple[Curve, float]]:
        """Look at everything once."""
        rows = [*self._processes(), *self._server(), *self._files(), *self._rate(second)]
        return {curve.name: (curve, value) for curve, value in rows}

    def _processes(self) -> Iterator[tuple[Curve, float]]:
        processes = {"client": psutil.Process(os.getpid())}
        for host in (self._hosts.first, self._hosts.second):
            processes |= host.processes()
        for name, process in processes.items():
            try:
                with process.oneshot():
                    memory = process.memory_info().rss / MB
                    files, threads = process.num_fds(), process.num_threads()
            except psutil.Error:  # it has just ended
                continue
            yield Curve(f"{name}, MB", "memory of processes, MB", 0.03, 3.0), memory
            yield Curve(f"{name}, open files", "open files", 0.0, 3.0, by_peaks=True), files
            yield Curve(f"{name}, threads", "threads", 0.0, 2.0, by_peaks=True), threads

    def _server(self) -> Iterator[tuple[Curve, float]]:
        memory = self._redis.info("memory")
        used = Curve("Redis used, MB", "Redis, MB", 0.05, 2.0)
        yield used, memory["used_memory_dataset"] / MB
        keys = Curve("keys", "keys in Redis", 0.05, 100)
        yield keys, self._redis.dbsize()
        connections = Curve("connections", "connections to Redis", 0.0, 5.0, by_peaks=True)
        yield connections, self._redis.info("clients")["connected_clients"]

    def _files(self) -> Iterator[tuple[Curve, float]]:
        hosts = (self._hosts.first, self._hosts.second)
        logs = sum(_bytes_of(host.folder / "logs")[1] for host in hosts)
        yield Curve("logs, MB", "logs, MB", 0.1, 0.2, by_peaks=True), logs / MB
        count, size = (sum(pair) for pair in zip(*map(_files_of, hosts), strict=True))
        yield Curve("files", "files on disk", 0.02, 8.0, by_peaks=True), count
        disk = Curve("files, MB", "files on disk, MB", 0.2, 20.0, by_peaks=True)
        yield disk, size / MB

    def _rate(self, second: float) -> Iterator[tuple[Curve, float]]:
        items = sum(self._traffic.items.values())
        before, self._last = self._last, (second, items)
        if before is not None:
            rate = Curve("items a second", "items a second", 0.0, 0.0, is_judged=False)
            yield rate, (items - before[1]) / (second - before[0])


def _files_of(host: Host) -> tuple[int, int]:
    return _bytes_of(host.folder)


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

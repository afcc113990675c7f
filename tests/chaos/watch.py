"""Watches a chaos run from a thread: how long nothing moved, and who needed how much memory.

Looks five times a second, and changes nothing.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic

import redis

from chaos.environment import Environment, patiently
from chaos.processes import resident_mb
from seqd.client import JobHandle
from seqd.errors import REDIS_ERRORS
from seqd_schemas import WorkerState

LOOK_S = 0.2


class Watch:
    """What was seen."""

    def __init__(self, environment: Environment) -> None:
        self.longest_stall_s = 0.0
        #: The most that one process of a worker has grown since it first said it was ready.
        self.worker_growth_mb = 0.0
        self.worker_peak_mb = 0.0
        self.client_peak_mb = 0.0
        self.redis_peak_mb = 0.0
        self._environment = environment
        self._ready_mb: dict[tuple[str, int], float] = {}
        self._job: JobHandle | None = None
        self._done, self._moved_at = -1, monotonic()
        self._ended = threading.Event()

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look until the block ends."""
        thread = threading.Thread(target=self._look_on, name="chaos-watch")
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def follow(self, job: JobHandle | None) -> None:
        """Measure this job's stalls from now on; None's are none."""
        self._job = job

    def _look_on(self) -> None:
        while not self._ended.wait(LOOK_S):
            self.client_peak_mb = max(self.client_peak_mb, resident_mb(os.getpid()))
            with suppress(*REDIS_ERRORS, redis.RedisError):
                self._look_at_job(self._job)
                self._look_at_workers()
                self._look_at_redis()

    def _look_at_job(self, job: JobHandle | None) -> None:
        if job is None:
            self._done, self._moved_at = -1, monotonic()
            return
        record = patiently(job.record)
        now = monotonic()
        if not record.state.is_terminal:
            self.longest_stall_s = max(self.longest_stall_s, now - self._moved_at)
        if record.counts.done != self._done:
            self._done, self._moved_at = record.counts.done, now

    def _look_at_workers(self) -> None:
        for worker in self._environment.client.workers():
            if worker.state not in (WorkerState.READY, WorkerState.BUSY):
                continue
            with suppress(ProcessLookupError):
                for pid in {worker.pid, os.getpgid(worker.pid)}:
                    self._look_at_process(worker.worker, pid)

    def _look_at_process(self, worker: str, pid: int) -> None:
        now_mb = resident_mb(pid)
        ready_mb = self._ready_mb.setdefault((worker, pid), now_mb)
        self.worker_growth_mb = max(self.worker_growth_mb, now_mb - ready_mb)
        self.worker_peak_mb = max(self.worker_peak_mb, now_mb)

    def _look_at_redis(self) -> None:
        with redis.Redis.from_url(self._environment.url) as client:
            peak_mb = client.info("memory")["used_memory_peak"] / 1e6
        self.redis_peak_mb = max(self.redis_peak_mb, peak_mb)

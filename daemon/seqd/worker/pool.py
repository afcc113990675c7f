"""Celery's pool of one child, which says when the child has ended, however it did.

Celery itself tells of a child that was lost with a task in hand by one signal, of one that it
has ended at a time limit by the same with another exception, and of a terminated one by another.
"""

from time import monotonic, sleep

from celery.concurrency.asynpool import AsynPool, Worker
from celery.concurrency.prefork import TaskPool
from celery.utils.dispatch import Signal

#: Seconds after which Celery kills a child that is not ready. Its default of 4 s kills one that is
#: still importing, in a loop.
START_LIMIT_S = 180.0

#: Sent in the parent with `pid` and `exit_code` (minus the signal) of a child that has ended,
#: before another takes its place.
child_ended = Signal(name="child_ended", providing_args={"pid", "exit_code"})


#: Seconds for which a child that ends waits until its parent has counted what it has answered.
#: billiard waits 30 s, and some are never counted where the parent has lost its connection to Redis
#: meanwhile: one drain in ten took so long.
COUNTED_WITHIN_S = 1.0


class Child(Worker):  # type: ignore[misc] # Celery has no types
    """What runs in the child process: takes wakeups from its parent and answers them."""

    def _ensure_messages_consumed(self, completed: int) -> bool:
        deadline = monotonic() + COUNTED_WITHIN_S
        while self.on_ready_counter is not None and self.on_ready_counter.value < completed:
            if monotonic() > deadline:
                return False
            sleep(0.02)
        return True


class WatchedPool(AsynPool):  # type: ignore[misc]
    """Celery's pool; sends `child_ended`."""

    Worker = Child

    def _join_exited_workers(self, shutdown: bool = False) -> list[int]:
        before = [(child, child.pid) for child in self._pool]
        try:
            exit_codes: list[int] = super()._join_exited_workers(shutdown=shutdown)
            return exit_codes
        finally:
            for child, pid in before:
                if child not in self._pool:
                    child_ended.send(sender=self, pid=pid, exit_code=child.exitcode)


class ChildPool(TaskPool):  # type: ignore[misc]
    """What `worker_pool` names."""

    Pool = WatchedPool

"""The workers of this machine with the ledger behind them: what `seqd up` and the demo run.

The supervisor knows no ledger; this tells it when a worker is ready, and gives a dead worker's
leases back, so that its work goes on at once rather than after their end.
"""

import logging
import time
from collections.abc import Sequence

from seqd.errors import RedisFull, RedisUnreachable
from seqd.ledger import Ledger, connect
from seqd.ledger.wakeup import Wakeup
from seqd.local import OnChange, Supervisor
from seqd.local.slots import Slot
from seqd.settings import Settings
from seqd_schemas import WorkerState

log = logging.getLogger(__name__)

#: Seconds between two looks at the workers' records, of all starting workers together.
_LOOK_S = 0.25


class Daemon:
    """Workers on `slots`, on a Redis server that runs. Runs once."""

    def __init__(
        self, settings: Settings, redis_url: str, slots: Sequence[Slot], on_change: OnChange
    ) -> None:
        # One retry: while the server is away, signals and restarts must not wait for it.
        redis = connect(redis_url, retries=1)
        self._ledger = Ledger(redis, settings, Wakeup(redis_url, settings).notify)
        self._looked_at_s = float("-inf")
        self._ready: frozenset[str] = frozenset()
        self._supervisor = Supervisor(
            settings,
            redis_url,
            slots,
            on_change=on_change,
            on_worker_death=self._give_back,
            is_ready=self._is_ready,
        )

    def check_server(self) -> None:
        """Raise RedisUnreachable or RedisRefused, before workers are started in vain."""
        self._ledger.fleet.now_ms()

    def run(self) -> int:
        """Run the workers until a signal or `stop`; gives the exit status. See `Supervisor`."""
        return self._supervisor.run()

    def stop(self) -> None:
        """Ask the workers to end; safe from any thread."""
        self._supervisor.request_stop()

    def _is_ready(self, worker_id: str) -> bool:
        now_s = time.monotonic()
        if now_s - self._looked_at_s >= _LOOK_S:
            self._looked_at_s = now_s
            self._ready = self._look()
        return worker_id in self._ready

    def _look(self) -> frozenset[str]:
        try:
            workers = self._ledger.fleet.workers()
        except (RedisUnreachable, RedisFull) as error:
            log.warning("cannot see whether workers are ready: %s", error)
            return self._ready
        able = (WorkerState.READY, WorkerState.BUSY)
        return frozenset(worker.worker for worker in workers if worker.state in able)

    def _give_back(self, worker_id: str) -> None:
        try:
            self._ledger.work.release_worker(worker_id, crashed=True)
            self._ledger.fleet.forget_worker(worker_id)
        except (RedisUnreachable, RedisFull) as error:
            # Its leases run out by themselves, and the reconciler sees to the rest.
            log.warning("leases of %s not given back: %s", worker_id, error)

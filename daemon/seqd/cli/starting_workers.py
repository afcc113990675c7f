"""Records of workers that `seqd up` has just started, until they publish their own.

A worker is silent while it imports its plugins. By its record clients know that one is coming,
which may bring a model that no other has.
"""

import logging
import socket

from seqd import __version__
from seqd.errors import REDIS_ERRORS
from seqd.ledger import Ledger
from seqd.local.process_states import start_ticks_of
from seqd.local.slots import Slot
from seqd.local.supervisor import Change, WorkerChange
from seqd.settings import Settings
from seqd_schemas import WorkerState, WorkerStatus

log = logging.getLogger(__name__)

#: Seconds for which a worker is expected to publish itself: most of it are imports of plugins.
START_S = 120.0


class StartingWorkers:
    """The workers of this `seqd up` that are started and not ready."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._settings = settings
        self._names: set[str] = set()

    def note(self, change: WorkerChange, slot: Slot) -> None:
        """Publish a worker that was started, and remove one that ended before it was ready.

        A Redis that is away has its way: the worker publishes itself a moment later.
        """
        name = change.worker_id
        try:
            if change.change is Change.STARTED:
                self._names.add(name)
                self._ledger.fleet.publish_worker(self._status(change, slot), START_S)
            elif change.change is not Change.KEPT and name in self._names:
                self._names.discard(name)
                if change.change not in (Change.READY, Change.DRAINED):
                    self._ledger.fleet.forget_worker(name)
        except REDIS_ERRORS as error:
            log.debug("a worker that starts is not published: %s", error)

    def _status(self, change: WorkerChange, slot: Slot) -> WorkerStatus:
        now_ms = self._ledger.fleet.now_ms()
        before = self._ledger.fleet.last_of_place(change.worker_id)[-1:]
        return WorkerStatus(
            worker=change.worker_id,
            slot=slot.name,
            tasks=slot.tasks,
            host=socket.gethostname(),
            pid=change.pid,
            pid_start_ticks=start_ticks_of(change.pid),
            state=WorkerState.STARTING,
            plugins=(),
            deaths=tuple(death for one in before for death in one.deaths),
            labels=dict(self._settings.labels),
            supervised=True,
            seqd_version=__version__,
            started_at_ms=now_ms,
            seen_at_ms=now_ms,
        )

"""Looks after work that nobody looks after, for the whole fleet; one worker at a time does it.

Makes units claimable whose lease or back-off ran out, and rings for claimable units when no
wakeup hangs. A lock in Redis keeps the chore with one worker; it expires by itself, so that
nothing waits for a worker that was killed while it held the lock. What each worker looks after
for itself: wakeups of its own routes, and its models in the catalog, which a new and empty Redis
does not have.
"""

import logging
from collections.abc import Callable
from time import monotonic

from seqd.errors import RedisFull
from seqd.ledger import Ledger
from seqd.settings import Settings
from seqd.worker.chores import Chore

log = logging.getLogger(__name__)

#: Seconds between two removals of what has outlived its time to live.
TIDY_EVERY_S = 60.0


class Reconciler(Chore):
    """The chore."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        worker: str,
        routes: tuple[str, ...],
        publish_catalog: Callable[[], None],
    ) -> None:
        """`publish_catalog` says again which models this worker can run."""
        super().__init__("reconciler", settings.reconcile_s)
        self._ledger = ledger
        self._abandoned_s = settings.abandoned_upload_s
        self._worker = worker
        self._routes = routes
        self._models = frozenset(route.partition(".")[2] for route in routes)
        self._publish_catalog = publish_catalog
        self._tidied_at = 0.0

    def look(self) -> None:
        """Look once: wake what is due, ring for what waits, end what was abandoned."""
        if self._is_my_turn():
            woken = self._ledger.work.expire()
            if woken:
                log.info("woke units=%d", woken)
            self._ledger.control.fail_abandoned(self._abandoned_s, self._ledger.fleet.now_ms())
            self._tidy()
        # Every worker rings for its own routes: another may not know them.
        self._ledger.work.notify_where_due(self._routes)
        self._mend_catalog()

    def _is_my_turn(self) -> bool:
        try:
            return self._ledger.fleet.take_lock("reconciler", self._worker, self._pause_s * 3)
        except RedisFull as error:
            # A lock takes memory; to wake work takes none, and that work may be what makes room.
            # Two workers that look at once do what one does.
            log.warning("reconciling without the lock: %s", error)
            return True

    def _mend_catalog(self) -> None:
        """Publish the models again on a Redis that does not know them: a new or emptied one."""
        if not self._ledger.fleet.is_published(self._models):
            log.warning("Redis has lost the catalog of models; publishing it again")
            self._publish_catalog()

    def _tidy(self) -> None:
        if monotonic() - self._tidied_at >= TIDY_EVERY_S:
            self._tidied_at = monotonic()
            self._ledger.fleet.prune()
            self._ledger.jobs.forget_expired()

"""Workers of this machine that have died, until their leases are released."""

import logging
import time

from seqd.errors import REDIS_ERRORS
from seqd.ledger import Ledger

log = logging.getLogger(__name__)

#: Seconds between two tries to release the leases of dead workers.
_RELEASE_EVERY_S = 1.0


class DeadWorkers:
    """Releases what dead workers held; what Redis does not take now is tried again."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        #: Those whose leases are to be released, and those that nobody had asked to end.
        self._dead: list[str] = []
        self._unasked = set[str]()
        self._tried_at_s = float("-inf")
        #: What was logged last; '' since all are released.
        self._told = ""

    def note_unasked(self, worker_id: str) -> None:
        """Note that nobody had asked a worker to end that took work: the next one tells of it."""
        self._unasked.add(worker_id)

    def add(self, worker_id: str) -> None:
        """Add a worker whose leases are to be released."""
        self._dead.append(worker_id)

    def is_due(self) -> bool:
        """Return True where some are left, and the last try was a second ago."""
        return bool(self._dead) and time.monotonic() - self._tried_at_s >= _RELEASE_EVERY_S

    def release(self) -> None:
        """Release the leases; a fault is logged once, and again when it is another or over."""
        self._tried_at_s = time.monotonic()
        while self._dead:
            worker_id = self._dead[0]
            try:
                self._ledger.work.release_worker(worker_id, crashed=True)
                if worker_id in self._unasked:
                    self._ledger.fleet.note_gone(worker_id)
                else:
                    self._ledger.fleet.forget_worker(worker_id)
            except REDIS_ERRORS as error:
                cause = getattr(error, "cause", error)
                if self._told != (told := f"leases of {worker_id} not released yet: {cause}"):
                    log.warning("%s", told)
                self._told = told
                return
            self._dead.pop(0)
        if self._told:
            log.warning("leases of all dead workers are released")
        self._told = ""

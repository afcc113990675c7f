"""Reads the fleet's state over one connection; has an answer in time also where Redis has none.

One read at a time, whoever asks. A read that takes too long goes on by itself; who asks meanwhile
waits for it, and is told that nothing is known where it does not end in time.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as OutOfTime
from threading import Lock
from time import monotonic

from redis.exceptions import RedisError

from seqd.errors import REDIS_ERRORS
from seqd.exporter.metrics import Reading
from seqd.ledger.backlog import FleetState

log = logging.getLogger(__name__)

#: Seconds within which a scrape has its answer.
ANSWER_S = 0.9


class FleetReader:
    """Reads on request. Safe to share between threads."""

    def __init__(self, read: Callable[[], FleetState], answer_s: float = ANSWER_S) -> None:
        """`read` reads the state, and raises what the ledger raises."""
        self._read = read
        self._answer_s = answer_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="seqd-read")
        self._lock = Lock()
        self._pending: Future[FleetState] | None = None
        self._is_away = False

    def reading(self) -> Reading:
        """Return the state as it is now, or that it cannot be read, within `answer_s` seconds."""
        began = monotonic()
        with self._lock:
            if self._pending is None or self._pending.done():
                # What a late read found is not what there is now.
                self._pending = self._thread.submit(self._read)
            pending = self._pending
        try:
            state = pending.result(timeout=self._answer_s)
        except OutOfTime:
            return self._away(began, f"no answer within {self._answer_s:g} s")
        except (*REDIS_ERRORS, RedisError) as error:
            return self._away(began, str(error))
        if self._is_away:
            self._is_away = False
            log.info("Redis is back: the fleet is known again")
        return Reading(state, monotonic() - began)

    def close(self) -> None:
        """Begin no further read; does not wait."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _away(self, began: float, why: str) -> Reading:
        if not self._is_away:  # one line for an outage, however often it is asked
            self._is_away = True
            log.warning("nothing is known of the fleet, seqd_up is 0: %s", why)
        return Reading(None, monotonic() - began)

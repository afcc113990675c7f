"""Reads the fleet's state over one connection; has an answer in time also where Redis has none.

One read at a time, whoever asks, and at most one a second: who asks sooner gets what the last one
found. A read that takes too long goes on by itself; who asks meanwhile waits for it, and is told
that nothing is known where it does not end in time.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as OutOfTime
from contextlib import suppress
from math import inf
from threading import Lock
from time import monotonic

from redis.exceptions import RedisError

from seqd.errors import REDIS_ERRORS, RedisNoPermission
from seqd.exporter.metrics import Reading, metrics_of
from seqd.exporter.rights import RightsWatch
from seqd.ledger.figures import FleetFigures
from seqd.local.metrics_server import MetricsServer

log = logging.getLogger(__name__)

#: Seconds within which a scrape has its answer.
ANSWER_S = 0.9

#: Seconds for which what was read is the answer to all who ask.
SHARED_S = 1.0


class FleetReader:
    """Reads on request. Safe to share between threads."""

    def __init__(
        self,
        read: Callable[[], FleetFigures],
        rights: RightsWatch,
        answer_s: float = ANSWER_S,
        shared_s: float = SHARED_S,
    ) -> None:
        """`read` reads the figures, and raises what the ledger raises."""
        self._read = read
        self._rights = rights
        self._answer_s = answer_s
        self._shared_s = shared_s
        self._last: tuple[float, Reading] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="seqd-read")
        self._lock = Lock()
        self._pending: Future[FleetFigures] | None = None
        self._began = -inf
        self._looking: Future[None] | None = None
        self._is_away = False

    def reading(self) -> Reading:
        """Return the figures, or that they cannot be read, within `answer_s` seconds.

        Those of a read that is over are at most `shared_s` seconds old.
        """
        began = monotonic()
        with self._lock:
            if self._last is not None and began - self._last[0] < self._shared_s:
                return self._last[1]
            if self._pending is None or (
                # What a late read found is not what there is now.
                self._pending.done() and began - self._began >= self._shared_s
            ):
                self._began = began
                self._pending = self._thread.submit(self._read)
                self._looking = self._thread.submit(self._look, self._pending)
            pending, looking, read_at_s = self._pending, self._looking, self._began
        reading = self._reading_of(pending, looking, began)
        with self._lock:
            self._last = (monotonic() if reading.figures is None else read_at_s, reading)
        return reading

    def _look(self, read: Future[FleetFigures]) -> None:
        """Look whether rights are missing, behind a read, which is what matters."""
        error = read.exception()
        if error is None or isinstance(error, RedisNoPermission):
            self._rights.look(is_denied=error is not None)

    def _reading_of(
        self, pending: Future[FleetFigures], looking: Future[None] | None, began: float
    ) -> Reading:
        try:
            figures = pending.result(timeout=self._answer_s)
            self._wait_for(looking, began)
        except OutOfTime:
            return self._away(began, f"no answer within {self._answer_s:g} s")
        except (*REDIS_ERRORS, RedisError) as error:
            self._wait_for(looking, began)
            rights = self._rights.missing if isinstance(error, RedisNoPermission) else None
            return self._away(began, str(error), rights)
        if self._is_away:
            self._is_away = False
            log.info("Redis is back: the fleet is known again")
        return Reading(figures, monotonic() - began, self._rights.missing)

    def _wait_for(self, looking: Future[None] | None, began: float) -> None:
        if looking is not None:
            with suppress(OutOfTime):
                looking.result(timeout=max(0.0, began + self._answer_s - monotonic()))

    def close(self) -> None:
        """Begin no further read; does not wait."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _away(self, began: float, why: str, missing_rights: int | None = None) -> Reading:
        if not self._is_away:  # one line for an outage, however often it is asked
            self._is_away = True
            log.warning("nothing is known of the fleet, seqd_up is 0: %s", why)
        return Reading(None, monotonic() - began, missing_rights)


class ExporterServer(MetricsServer):
    """Answers scrapes with what a reader has, until `shutdown`."""

    def __init__(self, host: str, port: int, reader: FleetReader) -> None:
        """Listen. Raises InvalidSettings where that is not possible."""
        self.reader = reader
        super().__init__(
            host, port, lambda: metrics_of(reader.reading()), "The exporter", "SEQD_EXPORTER"
        )

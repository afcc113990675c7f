"""Reads the fleet's state over one connection; has an answer in time also where Redis has none.

One read at a time, whoever asks, and at most one a second: who asks sooner gets what the last one
found. A read that takes too long goes on by itself; who asks meanwhile waits for it, and is told
that nothing is known where it does not end in time.

Which rights the exporter's user of Redis lacks is in the log by name, in the metrics by number.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as OutOfTime
from contextlib import suppress
from math import inf
from threading import Lock
from time import monotonic
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from seqd.errors import REDIS_ERRORS, RedisNoPermission
from seqd.exporter.metrics import Reading, metrics_of
from seqd.ledger.acl import Role
from seqd.ledger.figures import FleetFigures
from seqd.ledger.redis import user_of
from seqd.ledger.rights import OPTIONAL, missing_rights
from seqd.local.metrics_server import MetricsServer
from seqd_schemas import Keys

log = logging.getLogger(__name__)

#: Seconds within which a scrape has its answer.
ANSWER_S = 0.9

#: Seconds for which what was read is the answer to all who ask.
SHARED_S = 1.0

#: Seconds between two looks while all goes well, and after a read was denied.
LOOK_S = 300.0
DENIED_LOOK_S = 15.0

#: What costs no metric; without `info` there are none of Redis itself.
_NOT_NEEDED = OPTIONAL - {"info"}


class RightsWatch:
    """Tries the user's rights from time to time; used by one thread."""

    def __init__(self, find: Callable[[], list[str]], user: str) -> None:
        """`find` returns the rights that are missing, as `missing_rights` does."""
        self._find = find
        self._user = user
        self._rights: list[str] | None = None
        self._looked_s = 0.0

    @classmethod
    def of(cls, redis: Redis, keys: Keys) -> Self:
        """Return the watch of a connection's user."""
        return cls(lambda: missing_rights(redis, Role.EXPORTER, keys), user_of(redis))

    @property
    def missing(self) -> int | None:
        """How many rights are missing; None where that is not known."""
        return None if self._rights is None else len(self._rights)

    def look(self, *, is_denied: bool) -> None:
        """Try the rights, unless that was done a moment ago; log what has changed."""
        wait_s = DENIED_LOOK_S if is_denied or self._rights else LOOK_S
        if self._rights is not None and monotonic() - self._looked_s < wait_s:
            return
        try:
            found = [right for right in self._find() if right[1:] not in _NOT_NEEDED]
        except REDIS_ERRORS as error:
            log.debug("the rights are not known: %s", error)  # the read says the same
            return
        before, self._rights, self._looked_s = self._rights or [], found, monotonic()
        if found and found != before:
            log.warning(
                "the user %r of Redis lacks %d rights of the role exporter: %s. What it may not "
                "read has no metric. Give it the rights that `seqd redis acl --role exporter "
                "--user %s` prints",
                *(self._user, len(found), " ".join(found), self._user),
            )
        elif before and not found:
            log.info("the user %r of Redis has all rights of the role exporter again", self._user)


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

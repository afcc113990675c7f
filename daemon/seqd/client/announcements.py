"""Ends of a client's own jobs, as its completion stream announces them: one read for all that wait.

The stream is a hint. Whoever waits looks at the job itself now and then; where many wait, so that
each looks seldom, all of them are looked at here, many in one step.
"""

import logging
from itertools import islice
from time import monotonic
from weakref import WeakValueDictionary

from redis.exceptions import ResponseError

from seqd.errors import SeqdError
from seqd.ledger import LedgerParts
from seqd.ledger.exchange import LOOK_S, Exchange, Pause, Signal, Start, Until

log = logging.getLogger(__name__)

#: Seconds for which the stream is read though nobody waits: the next job comes soon.
LINGER_S = 5.0

#: Seconds between two tries to read it.
RETRY_S = 0.5

#: Jobs looked at in one step, under a millisecond of the server's time, and in two seconds.
LOOK_AT = 256
LOOK_AT_ONCE = 8 * LOOK_AT


class Announced:
    """What is known of the end of one job, for as long as its handles are held."""

    __slots__ = (
        "__weakref__",
        "_announcements",
        "_session",
        "has_ended",
        "job_id",
        "signal",
        "waiting",
    )

    def __init__(self, announcements: "Announcements", job_id: str) -> None:
        self._announcements = announcements
        self._session = announcements.session
        self.job_id = job_id
        self.signal = Signal()
        #: True once the end of the job was announced.
        self.has_ended = False
        #: Tasks that wait for it.
        self.waiting = 0

    @property
    def is_heard(self) -> bool:
        """True while the stream has been read all the time since before the job was sent."""
        return self._announcements.is_reading and self._announcements.session == self._session

    def wait(self, wait_s: float) -> Exchange[bool]:
        """Wait until the end of the job is announced, at most `wait_s` seconds."""
        if self.has_ended:
            return True
        return (yield from self._announcements.wait(self, wait_s))

    def note_running(self, *, had_ended: bool) -> None:
        """Take back an end that was announced before a look which found the job running.

        After a failover it runs all the same, and is waited for. `had_ended` is of before the look:
        an end that was announced meanwhile is one.
        """
        if had_ended:
            self.has_ended = False


class Announcements:
    """What a client hears of the ends of its jobs. Holds nothing of one without a handle."""

    def __init__(self, ledger: LedgerParts, stream: str) -> None:
        """`stream` names the client's completion stream."""
        self._ledger = ledger
        self.stream = stream
        #: Jobs whose handles are held.
        self._known = WeakValueDictionary[str, Announced]()
        #: Jobs that somebody waits for, those that were looked at least lately first.
        self._waited = dict[str, Announced]()
        self._place = "0-0"
        self.is_reading = False
        #: Counts how often the reading has begun.
        self.session = 0
        self._used_s = 0.0
        self._looked_s = 0.0

    def expect(self, job_id: str) -> Exchange[Announced]:
        """Begin to listen for the end of a job, which is about to be sent."""
        yield from self._begin()
        announced = Announced(self, job_id)
        self._known[job_id] = announced
        return announced

    def wait(self, announced: Announced, wait_s: float) -> Exchange[bool]:
        """Wait until the end of a job is announced, at most `wait_s` seconds."""
        yield from self._begin()
        announced.waiting += 1
        self._waited.setdefault(announced.job_id, announced)
        try:
            return bool((yield Until(announced.signal, lambda: announced.has_ended, wait_s)))
        finally:
            announced.waiting -= 1
            self._used_s = monotonic()
            if not announced.waiting:
                self._waited.pop(announced.job_id, None)

    def _begin(self) -> Exchange[None]:
        self._used_s = monotonic()
        if not self.is_reading:
            self.is_reading = True
            self.session += 1
            yield Start(self._read(), "seqd-completions", is_daemon=True)

    def _read(self) -> Exchange[None]:
        try:
            while self._waited or monotonic() - self._used_s < LINGER_S:
                try:
                    self._place, jobs = yield from self._ledger.jobs.completions.steps(
                        self.stream, self._place, longest_wait_s=LOOK_S
                    )
                    for job_id in jobs:
                        self._note_end(job_id)
                    yield from self._look()
                except (SeqdError, ResponseError) as error:
                    log.debug("completions are not read: %s", error)
                    yield Pause(RETRY_S)
        finally:
            self.is_reading = False

    def _look(self) -> Exchange[None]:
        """Look at some of those that are waited for, where each of them looks seldom itself."""
        now = monotonic()
        if self._ledger.look_s <= LOOK_S or now - self._looked_s < LOOK_S:
            return
        self._looked_s = now
        due = list(islice(self._waited, LOOK_AT_ONCE))
        for first in range(0, len(due), LOOK_AT):
            names = due[first : first + LOOK_AT]
            for job_id, row in zip(
                names, (yield from self._ledger.jobs.ended.steps(names)), strict=True
            ):
                if row.state is not None or not row.is_kept:
                    self._note_end(job_id)
                elif (announced := self._waited.pop(job_id, None)) is not None:
                    self._waited[job_id] = announced

    def _note_end(self, job_id: str) -> None:
        announced = self._known.get(job_id)
        if announced is not None:
            announced.has_ended = True
            announced.signal.notify_all()

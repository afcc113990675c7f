"""Renews the leases of the claimed units, from a thread, and notices when one is lost.

While a plugin computes, this thread renews every `heartbeat_s` seconds and has the worker's status
published. Numeric libraries let other threads run while they compute. Of a plugin that does
not, `watchdog` has the parent renew.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Lock, Thread
from time import monotonic

from seqd.errors import LeaseLost
from seqd.ledger import Ledger
from seqd.ledger.units import Unit
from seqd.ledger.work import CommitOutcome, Renewal
from seqd.worker.channel import Channel
from seqd.worker.logs import try_now

log = logging.getLogger(__name__)

#: Seconds for which the end of a worker's threads waits for what they publish.
CLOSE_S = 5.0

#: Seconds between two renewals when a plugin asks whether to stop: a cancel takes at most this
#: long to be noticed, and asking costs one round trip to Redis.
STOP_CHECK_S = 0.5

#: Seconds until leases are renewed again that could not be: an outage of Redis must end in time.
OUTAGE_RETRY_S = 0.5


class LeaseKeeper:
    """The leases of one worker. One thread works, this one's own thread renews."""

    def __init__(
        self,
        ledger: Ledger,
        heartbeat_s: float,
        channel: Channel | None = None,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`channel` is where the watchdog reads what is at work; without one nobody does."""
        self._ledger = ledger
        self._heartbeat_s = heartbeat_s
        self._channel = channel or Channel()
        self._clock = clock
        self._lock = Lock()
        #: Units in hand by `id`: those whose leases are held, and those whose are lost.
        self._held = dict[int, Unit]()
        self._lost = dict[int, Unit]()
        #: True once no plugin computes any more for what is in hand: its commit follows.
        self._is_computed = False
        #: Leases that were lost so far, and with them what was done or under way.
        self.lost_count = 0
        self._is_revoked = False
        self._is_reached = True
        self._checked_at = self._clock()
        self._closed = Event()
        self._thread: Thread | None = None

    def start(self, on_heartbeat: Callable[[], None]) -> None:
        """Renew from now on, to the end of the process or until it is closed.

        Calls `on_heartbeat` each time.
        """
        self._thread = Thread(
            target=self._run, args=[on_heartbeat], name="seqd-leases", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Renew no more, and wait for the end of its thread."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(CLOSE_S)

    @contextmanager
    def holding(self, units: Sequence[Unit]) -> Iterator[None]:
        """Keep these units' leases alive for the time of the block, or until they are given up.

        Where the block raises, those that were lost by then are counted.
        """
        with self._lock:
            self._held, self._lost = {id(unit): unit for unit in units}, {}
            self._is_revoked = self._is_computed = False
            self._checked_at = self._clock()
        try:
            with self._channel.computing():
                yield
        except BaseException as error:
            with self._lock:
                also = len(self._held) if isinstance(error, LeaseLost) else 0
                self.lost_count += len(self._lost) + also
            raise
        finally:
            with self._lock:
                self._held, self._lost = {}, {}

    def computed(self) -> None:
        """Note that the plugin has done what is in hand: from now on its commit is waited for."""
        self._is_computed = True

    def goes_on_for_nothing(self) -> bool:
        """Return True while a plugin computes that of which no lease is left.

        A commit deletes leases, too: a renewal that comes before its reply finds none.
        """
        return self.is_all_lost() and not self._is_computed

    def committed(self, unit: Unit, outcome: CommitOutcome) -> None:
        """Take a unit as done with; its lease counts as lost where the commit came too late.

        One that finds its unit done may be our own, sent again since its reply was lost: that is
        no lost lease unless a renewal has said so.
        """
        too_late = (CommitOutcome.ENDED, CommitOutcome.FENCED)
        with self._lock:
            is_known = outcome is CommitOutcome.DUPLICATE and id(unit) in self._lost
            self.lost_count += outcome in too_late or is_known
        self.given_up(unit)

    def given_up(self, unit: Unit) -> None:
        """Renew a lease no more: this worker has split or failed its unit, or committed it.

        Else a heartbeat would find none, and take it for lost.
        """
        with self._lock:
            self._held.pop(id(unit), None)
            self._lost.pop(id(unit), None)

    def should_end(self) -> bool:
        """Return True when no lease in hand is left, or they are revoked: their job is paused.

        Asks the ledger at most twice a second. A plugin that asks is alive, and the contract has
        it ask in each batch or step. Raises nothing: it is called from inside a plugin, where an
        error of ours would count as an item's. A lease that was not renewed is not lost yet.
        """
        self._channel.hear()
        if self._is_reached and self._clock() - self._checked_at >= STOP_CHECK_S:
            # Else Redis is away: the thread goes on trying, and the plugin need not wait for it.
            self._try_to_renew()
        return self.is_all_lost() or self._is_revoked

    def is_all_lost(self) -> bool:
        """Return True when no lease in hand is left, and none was given up last."""
        with self._lock:
            return bool(self._lost) and not self._held

    def note_lost(self, units: Sequence[Unit]) -> None:
        """Take leases as lost of which another call to the ledger has found that they are."""
        with self._lock:
            self._lose(units)

    def _lose(self, units: Iterable[Unit]) -> None:
        for unit in units:
            if self._held.pop(id(unit), None) is not None:
                self._lost[id(unit)] = unit

    def _run(self, on_heartbeat: Callable[[], None]) -> None:
        while not self._closed.wait(self._wait_s()):
            self._try_to_renew()
            if self._is_reached:
                try_now("a heartbeat is not done", on_heartbeat, is_repeated=True)

    def _wait_s(self) -> float:
        return self._heartbeat_s if self._is_reached else min(self._heartbeat_s, OUTAGE_RETRY_S)

    def _try_to_renew(self) -> None:
        """Renew, unless Redis is away: then it is tried again soon."""
        self._is_reached = try_now("leases not renewed", self._renew, is_repeated=True)

    def _renew(self) -> None:
        with self._lock:
            asked = list(self._held.values())
        answers = self._ledger.work.renew(asked)
        # Only now: who asks meanwhile whether to stop is not told by what was known before.
        self._checked_at = self._clock()
        lost = [unit for unit, one in zip(asked, answers, strict=True) if one is Renewal.LOST]
        with self._lock:
            # Of what is in hand now, not of what a late renewal asked for.
            if any(id(unit) in self._held for unit in asked):
                self._is_revoked = Renewal.REVOKED in answers
            self._lose(lost)

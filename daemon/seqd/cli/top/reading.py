"""Reads the fleet in a thread of its own, again and again: no key waits for Redis."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Event, Thread
from time import monotonic
from typing import Final

from redis.exceptions import RedisError

from seqd.client.failures import FailureGroup, FailureGroups
from seqd.errors import REDIS_ERRORS
from seqd.ledger import Ledger, connect
from seqd.ledger.overview import FleetOverview, fleet_overview
from seqd.local.endpoint import redis_url_of
from seqd.local.redis_access import RedisAccess
from seqd.masking import without_password
from seqd.settings import Settings

#: A read that takes long is not done more often than this many times its seconds: watching takes
#: a fleet a fifth of a connection at most.
_REST: Final = 4.0

#: Seconds without an answer from Redis, after which a connection is closed: reads fail soon, since
#: they are done again anyway.
_REDIS_TIMEOUT_S: Final = 2.0

#: Seconds after which a read that goes on is told of.
_SLOW_S: Final = 2.0

#: Seconds that a worker's rate is of: it notes what it has done each second, or at a heartbeat.
_WINDOW_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Away:
    """Since when Redis could not be read, and what was said of it last."""

    since_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class TopState:
    """What was read last."""

    server: str
    #: None before the first read.
    overview: FleetOverview | None = None
    #: Items a second by worker; none before two reads.
    rates: Mapping[str, float] = field(default_factory=dict)
    #: Its dead letters, those with one cause together, those with the newest first.
    failures: Sequence[FailureGroup] = ()
    #: When that was, by this machine's clock that never goes back.
    read_at_s: float = 0.0
    #: None while Redis answers.
    away: Away | None = None


class History:
    """What workers had done in the last seconds, by which one look alone has no rate of each."""

    def __init__(self) -> None:
        #: When that was, and by worker and when it started, items since then.
        self._done: deque[tuple[float, Mapping[tuple[str, int], int]]] = deque()

    def add(self, overview: FleetOverview) -> dict[str, float]:
        """Add a read, and return the rates of the workers behind it."""
        now_s = overview.at_ms / 1000
        done = {(one.worker, one.started_at_ms): one.work.items for one in overview.workers}
        if self._done and now_s < self._done[-1][0]:
            self._done.clear()  # the server's clock was set back, or it is another server
        self._done.append((now_s, done))
        while len(self._done) > 2 and self._done[1][0] <= now_s - _WINDOW_S:
            self._done.popleft()
        then_s, before = self._done[0]
        seconds = now_s - then_s
        return {
            name: max(0, items - before[name, started]) / seconds
            for (name, started), items in done.items()
            if (name, started) in before and seconds >= _WINDOW_S / 2
        }


def state_of(server: str, overview: FleetOverview, rates: Mapping[str, float]) -> TopState:
    """Return a state of what was read just now."""
    groups = FailureGroups(records=overview.failures or ())
    failures = sorted(groups.listed(), key=lambda group: -group.last_at_ms)
    return TopState(server, overview, rates, failures, monotonic())


class Reader:
    """Reads until it is closed; hands each state, or an error that nobody foresaw, on."""

    def __init__(
        self,
        ledger: Ledger,
        server: str,
        every_s: float,
        on_state: Callable[[TopState], None],
        on_fault: Callable[[Exception], None],
    ) -> None:
        self._ledger = ledger
        self._every_s = every_s
        self._on_state, self._on_fault = on_state, on_fault
        self._state = TopState(server)
        self._history = History()
        self._closed = Event()
        #: When the read began that goes on; None between two reads.
        self._began_s: float | None = None
        # A daemon thread: where Redis hangs, nobody waits for it at the end.
        self._thread = Thread(target=self._run, name="seqd-top-read", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """Begin no further read; does not wait."""
        self._closed.set()

    def as_it_stands(self, state: TopState) -> TopState:
        """Return a state, with Redis away where it has not answered the read that goes on."""
        began_s = self._began_s
        if state.away is not None or began_s is None or monotonic() - began_s < _SLOW_S:
            return state
        return replace(state, away=Away(began_s, "Redis has not answered yet."))

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                began = monotonic()
                self._read()
                rest_s = max(self._every_s - (monotonic() - began), _REST * (monotonic() - began))
                self._closed.wait(rest_s if self._state.away is None else self._every_s)
        except Exception as error:  # noqa: BLE001  raised again by the thread that draws
            self._on_fault(error)

    def _read(self) -> None:
        self._began_s = began_s = monotonic()
        try:
            overview = self._ledger.transport.run(fleet_overview(self._ledger))
        except (*REDIS_ERRORS, RedisError) as error:
            since_s = began_s if self._state.away is None else self._state.away.since_s
            self._state = replace(self._state, away=Away(since_s, str(error)))
        else:
            rates = self._history.add(overview)
            self._state = state_of(self._state.server, overview, rates)
        finally:
            self._began_s = None
        if not self._closed.is_set():
            self._on_state(self._state)


def open_for_reads(settings: Settings) -> Ledger:
    """Return the ledger of the server that the settings name; no outage of it is waited for."""
    access = RedisAccess.of(settings)
    redis = connect(redis_url_of(settings), access=access, retries=1, timeout_s=_REDIS_TIMEOUT_S)
    return Ledger(redis, settings)


def server_of(settings: Settings) -> str:
    """Return the address of the server that the settings name, without its password."""
    return without_password(redis_url_of(settings))

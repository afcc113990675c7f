"""Reads the fleet in a thread of its own, again and again: no key waits for Redis."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from seqd.cli.top.history import History, Rates
from seqd.errors import REDIS_ERRORS, SeqdError

if TYPE_CHECKING:
    from seqd.client.explaining.records import Explanation
    from seqd.client.failures import FailureGroup
    from seqd.ledger import Ledger
    from seqd.ledger.activity import JobActivity
    from seqd.ledger.overview import FleetOverview
    from seqd.settings import Settings
    from seqd_schemas import JobRecord

#: A read that takes long is not done more often than this many times its seconds: watching takes
#: a fleet a fifth of a connection at most.
_REST: Final = 4.0

#: Seconds without an answer from Redis, after which a connection is closed: reads fail soon, since
#: they are done again anyway.
_REDIS_TIMEOUT_S: Final = 2.0

#: Seconds after which a read that goes on is told of.
_SLOW_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Away:
    """Since when Redis could not be read, and what was said of it last."""

    since_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class JobDetail:
    """One job as it was read; `gone` says why there is no record of it."""

    job_id: str
    record: "JobRecord | None" = None
    activity: "JobActivity | None" = None
    #: Why it stands where it does, as `seqd explain` says it.
    found: "Explanation | None" = None
    gone: str = ""


@dataclass(frozen=True, slots=True)
class TopState:
    """What was read last."""

    server: str
    #: None before the first read.
    overview: "FleetOverview | None" = None
    rates: Rates = field(default_factory=Rates)
    #: Its dead letters, those with one cause together, those with the newest first.
    failures: "Sequence[FailureGroup]" = ()
    #: When that was, by this machine's clock that never goes back.
    read_at_s: float = 0.0
    #: None while Redis answers.
    away: Away | None = None
    #: None until the job that was asked for is read.
    job: JobDetail | None = None


def state_of(
    server: str, overview: "FleetOverview", rates: Rates, job: JobDetail | None = None
) -> TopState:
    """Return a state of what was read just now."""
    from seqd.client.failures import FailureGroups

    groups = FailureGroups()
    for record in overview.failures or ():
        groups.add(record)
    failures = sorted(groups.listed(), key=lambda group: -group.last_at_ms)
    return TopState(server, overview, rates, failures, monotonic(), None, job)


class Reader:
    """Reads until it is closed; hands each state, or an error that nobody foresaw, on."""

    def __init__(
        self,
        ledger: "Ledger",
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
        self._lock = Lock()
        self._wanted_job: str | None = None
        self._is_wanted = Event()
        self._is_closed = False
        #: When the read began that goes on; None between two reads.
        self._began_s: float | None = None
        # A daemon thread: where Redis hangs, nobody waits for it at the end.
        self._thread = Thread(target=self._run, name="seqd-top-read", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """Begin no further read; does not wait."""
        self._is_closed = True
        self._is_wanted.set()

    def want_job(self, job_id: str | None) -> None:
        """Read a job with each state from now on, and at once."""
        with self._lock:
            if job_id == self._wanted_job:
                return
            self._wanted_job = job_id
        if job_id is not None:
            self._is_wanted.set()

    def as_it_stands(self, state: TopState) -> TopState:
        """Return a state, with Redis away where it has not answered the read that goes on."""
        began_s = self._began_s
        if state.away is not None or began_s is None or monotonic() - began_s < _SLOW_S:
            return state
        return replace(state, away=Away(began_s, "Redis has not answered yet."))

    def _run(self) -> None:
        try:
            while not self._is_closed:
                began = monotonic()
                self._read()
                rest_s = max(self._every_s - (monotonic() - began), _REST * (monotonic() - began))
                self._is_wanted.wait(rest_s if self._state.away is None else self._every_s)
                self._is_wanted.clear()
        except Exception as error:  # noqa: BLE001  raised again by the thread that draws
            self._on_fault(error)

    def _read(self) -> None:
        from seqd.ledger.overview import fleet_overview

        with self._lock:
            wanted = self._wanted_job
        self._began_s = began_s = monotonic()
        try:
            overview = self._ledger.transport.run(fleet_overview(self._ledger))
            job = None if wanted is None else _job_detail(self._ledger, wanted)
        except (*REDIS_ERRORS, RedisError) as error:
            since_s = began_s if self._state.away is None else self._state.away.since_s
            self._state = replace(self._state, away=Away(since_s, str(error)))
        else:
            rates = self._history.add(overview)
            self._state = state_of(self._state.server, overview, rates, job)
        finally:
            self._began_s = None
        if not self._is_closed:
            self._on_state(self._state)


def _job_detail(ledger: "Ledger", job_id: str) -> JobDetail:
    from seqd.client.explaining.reading import explained
    from seqd.ledger.activity import activity_of

    try:
        record = ledger.jobs.get(job_id)
        activity = ledger.transport.run(activity_of(ledger.keys, record))
        found = ledger.transport.run(explained(ledger, job_id))
    except REDIS_ERRORS:
        raise
    except SeqdError as error:  # it has vanished meanwhile, or is damaged
        return JobDetail(job_id, gone=str(error))
    return JobDetail(job_id, record, activity, found)


def open_for_reads(settings: "Settings") -> "Ledger":
    """Return the ledger of the server that the settings name; no outage of it is waited for."""
    from seqd.ledger import Ledger, connect
    from seqd.local.endpoint import redis_url_of
    from seqd.local.redis_access import RedisAccess

    access = RedisAccess.of(settings)
    redis = connect(redis_url_of(settings), access=access, retries=1, timeout_s=_REDIS_TIMEOUT_S)
    return Ledger(redis, settings)


def server_of(settings: "Settings") -> str:
    """Return the address of the server that the settings name, without its password."""
    from seqd.local.endpoint import redis_url_of
    from seqd.masking import without_password

    return without_password(redis_url_of(settings))

"""How clients wait for jobs: for one, for many at once, and why none of them goes on.

The ends of a client's own jobs are announced in its completion stream, which one read hears for all
that wait (`Announcements`), and from which `as_completed` takes many jobs as they end. The stream
is a hint: whoever waits looks at the job itself now and then, or all of them are looked at, many in
one step.

Of a job that no worker that is up can run, its record says so, and why. Whoever waits for it is
told: by a line in the log, by a callback of theirs, and by an error where they have said how long
they wait for a worker.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from math import inf
from time import monotonic, time
from typing import Protocol, TypedDict, TypeVar
from weakref import WeakValueDictionary

from redis.exceptions import ResponseError

from seqd.errors import (
    InvalidRequest,
    JobOutOfReach,
    NoWorker,
    RedisUnreachable,
    SeqdError,
    UnknownJob,
)
from seqd.ledger import LedgerParts
from seqd.ledger.exchange import (
    LOOK_S,
    Exchange,
    Give,
    Pause,
    Reading,
    Signal,
    Start,
    Until,
    mapped,
)
from seqd.ledger.jobs import last_id
from seqd.ledger.outage import waiting_at_most
from seqd.validation import shown
from seqd_schemas import JobRecord, JobState, Waiting, WaitingCode

log = logging.getLogger(__name__)

#: Seconds for which what workers have published is not read again. A job is read often.
_WORKERS_AGE_S = 2.0

#: Age up to which a job is not looked at: most small jobs have ended by then, and the first look
#: takes a client 15 ms, to build what reads the records of workers.
_YOUNG_S = 1.0

#: Looks in the time after which somebody gives up for want of a worker, and the most in a second.
_LOOKS = 4
_SHORTEST_S = 0.05

#: Seconds for which the stream is read though nobody waits: the next job comes soon.
LINGER_S = 5.0

#: Seconds between two tries to read it.
RETRY_S = 0.5

#: Jobs looked at in one step, under a millisecond of the server's time, and in two seconds.
LOOK_AT = 256
LOOK_AT_ONCE = 8 * LOOK_AT

#: Seconds of silence after which all jobs are looked at again.
LONGEST_SILENCE_S = 2.0


class WaitOptions(TypedDict, total=False):
    """What all that waits for a job can be given."""

    #: Called with each reason why no worker of the fleet can run the job, once. It must not block;
    #: what it raises, the wait raises.
    on_waiting: Callable[[Waiting], object] | None
    #: Seconds after which NoWorker is raised when no worker could run the job for as long.
    no_worker_timeout_s: float | None


def with_waiting(
    ledger: LedgerParts, records: Sequence[JobRecord], *, at_once: bool = False, age_s: float = 2.0
) -> Exchange[list[JobRecord]]:
    """Return the records, those of open jobs with the reason why nobody can go on with them.

    Of jobs younger than a second only `at_once`. What workers publish may be `age_s` seconds old.
    """
    now_s = time()
    if all(
        record.state.is_terminal or (_is_young(record, now_s) and not at_once) for record in records
    ):
        return list(records)
    from seqd.ledger.model_pauses import paused_waiting
    from seqd.serving import waiting_of_each

    age_s = min(age_s, _WORKERS_AGE_S)
    workers = yield from ledger.fleet.recent_workers.steps(age_s)
    pauses = yield from ledger.model_pauses.recent.steps(age_s)
    paused = [paused_waiting(record, pauses) if pauses else None for record in records]
    unserved = [
        None if pause else reason
        for pause, reason in zip(paused, waiting_of_each(records, workers), strict=True)
    ]
    if any(unserved) and (refusal := (yield from ledger.writing.refusal.steps())):
        from seqd.ledger.writing import no_writes_line

        no_writes = Waiting(code=WaitingCode.NO_WRITES, message=no_writes_line(refusal))
        unserved = [None if reason is None else no_writes for reason in unserved]
    reasons = [first or second for first, second in zip(paused, unserved, strict=True)]
    return [
        record if reason is None else record.model_copy(update={"waiting": reason})
        for record, reason in zip(records, reasons, strict=True)
    ]


def check_limit(limit: int, what: str) -> None:
    """Raise InvalidRequest where a number of things to be listed is none."""
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise InvalidRequest(f"limit is {shown(limit)}; allowed: 1 or more {what}.")


class WaitingNotice:
    """Tells in the log why a job waits that somebody waits for: each reason once."""

    def __init__(self, ledger: LedgerParts) -> None:
        self._ledger = ledger
        self._told = ""

    @property
    def look_s(self) -> float:
        """Seconds after which to look, where nothing is heard of the job."""
        return self._ledger.look_s

    def look(
        self, record: JobRecord, *, at_once: bool = False, age_s: float = 2.0
    ) -> Exchange[Waiting | None]:
        """Tell what is new, and return it; called when nothing has been heard of the job."""
        (record,) = yield from with_waiting(self._ledger, [record], at_once=at_once, age_s=age_s)
        waiting = record.waiting
        if waiting is not None and _reason_in(waiting) != self._told:
            self.has_told(waiting)
            log.warning("job=%s waits: %s", record.job_id, waiting.message)
        return waiting

    def has_told(self, waiting: Waiting) -> None:
        """Do not tell this one: a command has, in its own way."""
        self._told = _reason_in(waiting)


class Watch:
    """One wait for a job: tells its caller of the reasons, and gives up when it was told to."""

    def __init__(
        self,
        notice: WaitingNotice,
        options: WaitOptions,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Raise InvalidRequest for a time that is no number of seconds."""
        limit_s = options.get("no_worker_timeout_s")
        if limit_s is not None and not (_is_number(limit_s) and limit_s >= 0):
            raise InvalidRequest(
                f"no_worker_timeout_s is {shown(limit_s)}; allowed: 0 or more seconds, or None."
            )
        self._notice = notice
        self._clock = clock
        self._call = options.get("on_waiting")
        self._limit_s = limit_s
        self._told = ""
        #: When it was first seen that no worker can run the job; None while one can.
        self._since: float | None = None

    @property
    def look_s(self) -> float:
        """Seconds after which to look, where nothing is heard of the job."""
        if self._limit_s is None:
            return self._notice.look_s
        return min(self._notice.look_s, max(_SHORTEST_S, self._limit_s / _LOOKS))

    def look(self, record: JobRecord) -> Exchange[Waiting | None]:
        """Tell what is new of the job; raise NoWorker when there was none for too long."""
        limit_s, age_s = self._limit_s, self.look_s / 2
        waiting = yield from self._notice.look(record, at_once=limit_s is not None, age_s=age_s)
        if waiting is None:
            self._since = None
            return None
        if self._call is not None and _reason_in(waiting) != self._told:
            self._told = _reason_in(waiting)
            self._call(waiting)
        if waiting.code in (WaitingCode.STARTING, WaitingCode.NO_WRITES):
            self._since = None  # soon one can, or nobody knows whether one could
            return waiting
        now_s = self._clock()
        self._since = now_s if self._since is None else self._since
        if limit_s is not None and now_s - self._since >= limit_s:
            raise NoWorker(record.job_id, waiting, limit_s)
        return waiting


def check_timeout(timeout_s: float | None) -> None:
    """Raise InvalidRequest for a time to wait that is neither None nor 0 or more seconds."""
    if timeout_s is not None and not (_is_number(timeout_s) and timeout_s >= 0):
        raise InvalidRequest(
            f"timeout_s is {shown(timeout_s)}; allowed: 0 or more seconds, or None for no end."
        )


def _reason_in(waiting: Waiting) -> str:
    """Return what two sentences have in common that give one reason: workers load one by one."""
    return waiting.code if waiting.code is WaitingCode.STARTING else waiting.message


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_young(record: JobRecord, now_s: float) -> bool:
    # One from the future was made by a server whose clock is ahead of ours, and may be old.
    return 0 <= now_s - record.created_at_ms / 1_000 < _YOUNG_S


class Announced:
    """What is known of the end of one job, for as long as its handles are held."""

    __slots__ = (
        "__weakref__",
        "_announcements",
        "_session",
        "job_id",
        "news",
        "signal",
        "waiting",
    )

    def __init__(self, announcements: "Announcements", job_id: str) -> None:
        self._announcements = announcements
        self._session = announcements.session
        self.job_id = job_id
        self.signal = Signal()
        #: How often the end of the job was announced: once, and after a failover again.
        self.news = 0
        #: Tasks that wait for it.
        self.waiting = 0

    @property
    def is_heard(self) -> bool:
        """True while the stream has been read all the time since before the job was sent."""
        return self._announcements.is_reading and self._announcements.session == self._session

    def wait(self, seen: int, wait_s: float) -> Exchange[bool]:
        """Wait until there is more news than was `seen` before the last look, at most `wait_s`."""
        if self.news != seen:
            return True
        return (yield from self._announcements.wait(self, seen, wait_s))


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

    def wait(self, announced: Announced, seen: int, wait_s: float) -> Exchange[bool]:
        """Wait until the end of a job is announced, at most `wait_s` seconds."""
        yield from self._begin()
        announced.waiting += 1
        self._waited.setdefault(announced.job_id, announced)
        try:
            return bool((yield Until(announced.signal, lambda: announced.news != seen, wait_s)))
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
            announced.news += 1
            announced.signal.notify_all()


class _Steps(Protocol):
    def out_of_reach(self, error: RedisUnreachable) -> JobOutOfReach:
        """Return the error for a Redis that was away for too long, with how to go on."""


class Handle(Protocol):
    """A job's handle, of either client."""

    @property
    def job_id(self) -> str:
        """The job's identifier."""

    @property
    def steps(self) -> _Steps:
        """What it does."""


E = TypeVar("E")
H = TypeVar("H", bound=Handle)


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that has ended, how, and its results where they are one row."""

    job_id: str
    state: JobState
    blob: bytes | None


def by_identifier(handles: Iterable[H], kind: type[object]) -> dict[str, H]:
    """Return handles by their job's identifier. Raises InvalidRequest for what is no handle."""
    if isinstance(handles, str) or not isinstance(handles, Iterable):
        raise InvalidRequest(f"The jobs are {shown(handles)}; allowed: a list of handles.")
    found = {}
    for handle in handles:
        if not isinstance(handle, kind):
            raise InvalidRequest(
                f"One of the jobs is {shown(handle)}; allowed: handles. That of an identifier is "
                "client.job(JOB)."
            )
        found[handle.job_id] = handle
    return found


def ended_handles(
    ledger: LedgerParts,
    completion_stream: str,
    handles: Iterable[H],
    timeout_s: float | None,
    kind: type[object],
    ended: Callable[[H, JobState, bytes | None], E],
) -> Reading[E]:
    """Give what `ended` makes of handles of a kind, in the order in which their jobs end.

    See `Client.as_completed`.
    """
    check_timeout(timeout_s)
    by_id = by_identifier(handles, kind)
    steps = {job_id: handle.steps for job_id, handle in by_id.items()}
    wait = _Wait(ledger, completion_stream, steps, timeout_s)
    return mapped(wait.ended(), lambda row: ended(by_id[row.job_id], row.state, row.blob))


class _Wait:
    """One wait for a set of jobs."""

    def __init__(
        self,
        ledger: LedgerParts,
        completion_stream: str,
        jobs: Mapping[str, _Steps],
        timeout_s: float | None,
    ) -> None:
        self._ledger = ledger
        self._completion_stream = completion_stream
        self._pending = dict(jobs)
        self._notice = WaitingNotice(ledger)
        self._total = len(self._pending)
        self._timeout_s = timeout_s
        self._deadline = monotonic() + (inf if timeout_s is None else timeout_s)

    def ended(self) -> Reading[Ended]:
        """Give the jobs in the order in which they end."""
        if not self._pending:
            return
        jobs, stream = self._ledger.jobs, self._completion_stream
        # Read before the jobs: who ends after that is announced after this id.
        with self._in_reach():
            place = yield from last_id(self._ledger.keys.completions(stream))
        yield from self._ended_among(list(self._pending))
        heard_at = monotonic()
        while self._pending:
            with self._in_reach():
                place, announced = yield from jobs.completions.steps(
                    stream,
                    place,
                    longest_wait_s=max(0.001, min(self._deadline - monotonic(), LONGEST_SILENCE_S)),
                )
            ours = [job_id for job_id in announced if job_id in self._pending]
            if ours:
                yield from self._ended_among(ours)
                heard_at = monotonic()
            elif monotonic() - heard_at >= LONGEST_SILENCE_S or monotonic() >= self._deadline:
                yield from self._ended_among(list(self._pending))
                self._check_time()
                yield from self._look_why_one_waits()
                heard_at = monotonic()

    def _ended_among(self, job_ids: list[str]) -> Reading[Ended]:
        """Give those that have ended, and wait for them no longer. Raises UnknownJob."""
        for first in range(0, len(job_ids), LOOK_AT):
            names = job_ids[first : first + LOOK_AT]
            with self._in_reach():
                rows = yield from self._ledger.jobs.ended.steps(names)
            for job_id, row in zip(names, rows, strict=True):
                if not row.is_kept:
                    del self._pending[job_id]
                    raise (yield from self._ledger.retention.unknown_job.steps(job_id))
                if row.state is not None:
                    del self._pending[job_id]
                    yield Give((Ended(job_id, row.state, row.blob),))

    def _look_why_one_waits(self) -> Exchange[None]:
        """Tell why the first that is left waits; most jobs of one call are for one model."""
        if self._pending:
            job_id = next(iter(self._pending))
            with self._in_reach(), suppress(UnknownJob):  # removed just now: told of next time
                record = yield from self._ledger.jobs.get.steps(job_id)
                yield from self._notice.look(record)

    @contextmanager
    def _in_reach(self) -> Iterator[None]:
        """Wait for a Redis that is away no longer than for the jobs; then name one of them."""
        try:
            with waiting_at_most(self._deadline - monotonic()):
                yield
        except RedisUnreachable as error:
            self._check_time()
            if isinstance(error, JobOutOfReach):
                raise
            raise next(iter(self._pending.values())).out_of_reach(error) from None

    def _check_time(self) -> None:
        if self._pending and monotonic() >= self._deadline:
            raise TimeoutError(
                f"{len(self._pending):,} of {self._total:,} jobs have not ended after "
                f"{self._timeout_s:g} s, job {next(iter(self._pending))} among them."
            )

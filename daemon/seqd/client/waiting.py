"""Jobs that no worker that is up can run, as clients see them: their records say so, and why.

Whoever waits for such a job is told: by a line in the log, by a callback of theirs, and by an error
where they have said how long they wait for a worker.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from time import monotonic, time
from typing import TypedDict, cast

from seqd.errors import InvalidRequest, NoWorker
from seqd.ledger import LedgerParts
from seqd.ledger.exchange import Exchange
from seqd.ledger.job_filter import FoundJobs, JobFilters, job_filter
from seqd.validation import shown
from seqd_schemas import JobRecord, Waiting, WaitingCode

log = logging.getLogger(__name__)

#: Seconds for which what workers have published is not read again. A job is read often.
_WORKERS_AGE_S = 2.0

#: Age up to which a job is not looked at: most small jobs have ended by then, and the first look
#: takes a client 15 ms, to build what reads the records of workers.
_YOUNG_S = 1.0

#: Looks in the time after which somebody gives up for want of a worker, and the most in a second.
_LOOKS = 4
_SHORTEST_S = 0.05


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
    from seqd.serving import waiting_of

    age_s = min(age_s, _WORKERS_AGE_S)
    workers = yield from ledger.fleet.recent_workers.steps(age_s)
    pauses = yield from ledger.model_pauses.recent.steps(age_s)
    paused = [paused_waiting(record, pauses) if pauses else None for record in records]
    unserved = [
        None if pause else waiting_of(record, workers)
        for record, pause in zip(records, paused, strict=True)
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


def jobs_found(ledger: LedgerParts, limit: int, filters: JobFilters) -> Exchange[FoundJobs]:
    """Return the newest jobs that match; see `Client.jobs`."""
    _check_limit(limit)
    found = yield from ledger.jobs.newest.steps(limit, job_filter(filters))
    found[:] = yield from with_waiting(ledger, found)
    return found


def open_jobs_found(ledger: LedgerParts, limit: int) -> Exchange[list[JobRecord]]:
    """Return the newest jobs that have not ended; see `Client.open_jobs`."""
    _check_limit(limit)
    records = yield from ledger.jobs.newest_open.steps(limit)
    return (yield from with_waiting(ledger, records))


def _check_limit(limit: int) -> None:
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise InvalidRequest(f"limit is {shown(limit)}; allowed: 1 or more jobs.")


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


def refuse_unknown(options: Mapping[str, object], known: type) -> None:
    """Raise InvalidRequest for an option that is none of those of a TypedDict."""
    names = sorted(cast(Mapping[str, object], known.__annotations__))
    for name in options:
        if name not in names:
            raise InvalidRequest(f"There is no option {name!r}. Known options: {', '.join(names)}.")


def _reason_in(waiting: Waiting) -> str:
    """Return what two sentences have in common that give one reason: workers load one by one."""
    return waiting.code if waiting.code is WaitingCode.STARTING else waiting.message


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_young(record: JobRecord, now_s: float) -> bool:
    # One from the future was made by a server whose clock is ahead of ours, and may be old.
    return 0 <= now_s - record.created_at_ms / 1_000 < _YOUNG_S

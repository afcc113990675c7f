"""What a record of a log is about: the work in hand, and the worker that writes it.

A worker's child has one claim in hand at a time. What its own thread logs is about that claim, and
so is what plugins and libraries log and print, in whatever thread. Other threads of seqd's own
speak for themselves.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType

#: Jobs that a record names at most: a batch may have units of many.
MAX_JOBS = 16

#: Characters of a trace that is no `traceparent`.
_TRACE = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")

#: Logger of what is printed, by whatever code: see `seqd.worker.logs`.
PRINTED = "seqd.printed"

#: Loggers of what is said of Redis, such as of an outage: it is about no job in particular.
_OF_REDIS = "seqd.ledger."

#: How a message of seqd's own names the job that it is about.
_NAMED_JOB = re.compile(r"\bjob=([A-Za-z0-9][A-Za-z0-9_-]{0,63})")


@dataclass(frozen=True, slots=True)
class LoggedWork:
    """The work that a record is about."""

    #: At most `MAX_JOBS`.
    jobs: tuple[str, ...]
    #: None where there are several.
    unit: str | None = None
    model: str | None = None
    #: The trace that the caller has named in the metadata of the job; None where there are several.
    trace: str | None = None

    @property
    def fields(self) -> dict[str, str | list[str]]:
        """The fields that are known, by their names in a log."""
        fields: dict[str, str | list[str]] = {}
        if len(self.jobs) == 1:
            fields["job"] = self.jobs[0]
        elif self.jobs:
            fields["jobs"] = list(self.jobs)
        named = {"unit": self.unit, "model": self.model, "trace": self.trace}
        return fields | {name: value for name, value in named.items() if value}

    def __str__(self) -> str:
        """Return the fields as a line of text has them."""
        parts = self.fields.items()
        return " ".join(f"{k}={v if isinstance(v, str) else ','.join(v)}" for k, v in parts)


@dataclass(frozen=True, slots=True)
class LoggedWorker:
    """The worker that writes a log."""

    worker: str
    slot: str
    host: str


@dataclass(slots=True)
class _OfThisProcess:
    """What holds for all threads of this process."""

    worker: LoggedWorker | None = None
    in_hand: LoggedWork | None = None


_process = _OfThisProcess()
_of_thread: ContextVar[LoggedWork | None] = ContextVar("seqd_logged_work", default=None)


#: For whom this context acts, such as a request to the gateway and its key: by their names in the
#: audit.
acting_for: ContextVar[Mapping[str, object]] = ContextVar(
    "seqd_acting_for", default=MappingProxyType({})
)


def name_worker(worker: LoggedWorker) -> None:
    """Have the records of this process name its worker from now on."""
    _process.worker = worker


def this_worker() -> LoggedWorker | None:
    """Return the worker of this process; None where it is none's."""
    return _process.worker


@contextmanager
def working_on(work: LoggedWork) -> Iterator[None]:
    """Have what is logged within a `with` block be about this work."""
    before, token = _process.in_hand, _of_thread.set(work)
    _process.in_hand = work
    try:
        yield
    finally:
        _process.in_hand = before
        _of_thread.reset(token)


def note_work(record: logging.LogRecord) -> bool:
    """Note on a record what it is about, as a filter of a handler; returns True."""
    work = _of_thread.get()
    if work is None and _is_of_others(record.name):
        work = _process.in_hand
    elif record.name.startswith(_OF_REDIS):
        work = None
    record.work = work
    return True


def work_of(record: logging.LogRecord) -> LoggedWork | None:
    """Return what a record is about; None where that is not known."""
    work = getattr(record, "work", None)
    return work if isinstance(work, LoggedWork) else None


def jobs_of(record: logging.LogRecord) -> tuple[str, ...]:
    """Return the jobs that a record is about: those that its message names, or those in hand."""
    work = work_of(record)
    if work is not None:
        return work.jobs
    if "job=" not in str(record.msg):
        return ()
    try:
        return tuple(_NAMED_JOB.findall(record.getMessage())[:MAX_JOBS])
    except Exception:  # noqa: BLE001  an argument's __str__ may raise anything
        return ()


def names_its_job(record: logging.LogRecord, message: str) -> bool:
    """Return True where a message of seqd's own says which job it is about.

    What others print may look the same, and is no such message.
    """
    return not _is_of_others(record.name) and _NAMED_JOB.search(message) is not None


def first_jobs(jobs: Iterable[str]) -> tuple[str, ...]:
    """Return the jobs that a record names, each once, in their order."""
    return tuple(islice(dict.fromkeys(jobs), MAX_JOBS))


def trace_of(metadata: dict[str, str]) -> str | None:
    """Return the trace of a job's metadata: that of `traceparent` (W3C), or `trace_id`."""
    parent = _TRACEPARENT.fullmatch(metadata.get("traceparent", ""))
    if parent is not None:
        return parent[1]
    named = metadata.get("trace_id", "")
    return named if _TRACE.fullmatch(named) else None


def _is_of_others(logger: str) -> bool:
    return logger == PRINTED or not (logger == "seqd" or logger.startswith("seqd."))

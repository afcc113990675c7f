"""Bounds what repeats in a log: what was left out of it is counted, and the count is logged.

A plugin that raises for each of five million items would fill a disk with one traceback. Of records
that are alike (`kind_of`) a few a minute are logged, and one line says how many more there were.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import TextIO

from seqd.escaping import one_line
from seqd.log_context import LoggedWork, first_jobs, jobs_of, note_work, work_of
from seqd.log_lines import type_name

#: Seconds for which like records are counted together.
WINDOW_S = 60.0

#: Records of one kind that are logged in a window: with a traceback, warnings and errors without
#: one, and others, such as what a plugin prints.
MOST_TRACEBACKS = 1
MOST_WARNINGS = 20
MOST_OTHERS = 1_000

#: Innermost calls by which the places of two exceptions are told apart.
_PLACE_CALLS = 3

#: Jobs that are told apart among the records of one kind.
MOST_JOBS = 1_000

#: Characters of the first record that the line with the count repeats.
_REPEATED_CHARS = 300

#: Records that are data, one for each job, and never left out.
UNLIMITED = "seqd.jobs"

Kind = tuple[object, ...]


def kind_of(record: logging.LogRecord) -> Kind:
    """Return what records have in common that are alike.

    The line of code that logs, the model (`extra={"subject": …}`), and the type and place of the
    exception. Not the message, nor the job: they may differ from item to item.
    """
    where = (record.name, record.levelno, record.pathname, record.lineno)
    subject = getattr(record, "subject", "")
    if not record.exc_info or record.exc_info[1] is None:
        return (*where, subject)
    error = record.exc_info[1]
    return (*where, subject, type_name(error), _place_of(error.__traceback__))


def _place_of(trace: TracebackType | None) -> tuple[tuple[str, int], ...]:
    calls: list[tuple[str, int]] = []
    while trace is not None:
        calls.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    return tuple(calls[-_PLACE_CALLS:])


@dataclass(slots=True)
class _Count:
    """What was done with the records of one kind since its window began."""

    began_s: float
    first: logging.LogRecord
    logged: int = 0
    left_out: int = 0
    #: Those that the records are about that were left out, the first of them.
    jobs: dict[str, None] = field(default_factory=dict)

    def leave_out(self, record: logging.LogRecord) -> None:
        """Count a record that is not logged."""
        self.left_out += 1
        if len(self.jobs) < MOST_JOBS:
            self.jobs |= dict.fromkeys(jobs_of(record))


@dataclass(slots=True)
class Repeats:
    """Decides which records are logged. Not safe between threads: its handler has a lock."""

    window_s: float = WINDOW_S
    _counts: dict[Kind, _Count] = field(default_factory=dict)

    def admit(self, record: logging.LogRecord, now_s: float) -> bool:
        """Return True where the record is to be logged; else it is counted."""
        if record.name == UNLIMITED:
            return True
        has_trace = bool(record.exc_info)
        kind = kind_of(record)
        count = self._counts.get(kind)
        if count is None:
            count = self._counts[kind] = _Count(now_s, _without_objects(record))
        if count.logged < _most(record.levelno, has_trace=has_trace):
            count.logged += 1
            return True
        count.leave_out(record)
        return False

    def ended(self, now_s: float, *, is_last: bool = False) -> Iterator[logging.LogRecord]:
        """Yield a record with the count of each kind whose window is over, and forget the kind.

        All windows are over where `is_last`.
        """
        while self._counts:
            # In order of their beginnings, since a dict keeps the order in which they came.
            kind, count = next(iter(self._counts.items()))
            if now_s - count.began_s < self.window_s and not is_last:
                return
            del self._counts[kind]
            if count.left_out:
                yield _count_record(count, now_s)


def _most(level: int, *, has_trace: bool) -> int:
    if has_trace:
        return MOST_TRACEBACKS
    return MOST_WARNINGS if level >= logging.WARNING else MOST_OTHERS


def _without_objects(record: logging.LogRecord) -> logging.LogRecord:
    """Return a copy that keeps no object alive: frames of a traceback hold a batch's memory."""
    try:
        said = record.getMessage()
    except Exception:  # noqa: BLE001  an argument's __str__ may raise anything
        said = str(record.msg)
    if record.exc_info and record.exc_info[1] is not None:
        said = f"{said}: {type_name(record.exc_info[1])}"
    copy = logging.LogRecord(
        record.name,
        record.levelno,
        record.pathname,
        record.lineno,
        one_line(said, _REPEATED_CHARS),
        None,
        None,
    )
    copy.work = work_of(record)
    return copy


def _count_record(count: _Count, now_s: float) -> logging.LogRecord:
    first = count.first
    seconds = max(1.0, now_s - count.began_s)
    jobs, first_work = len(count.jobs), work_of(first)
    more = " or more" if jobs >= MOST_JOBS else ""
    of = f", of {jobs:,}{more} jobs" if jobs > 1 else ""
    said = f"… {count.left_out:,} more like it in {seconds:.0f} s{of}: {first.msg}"
    record = logging.LogRecord(
        first.name, first.levelno, first.pathname, first.lineno, said, None, None
    )
    if jobs:
        record.work = LoggedWork(
            first_jobs(count.jobs), model=None if first_work is None else first_work.model
        )
    return record


class BoundedHandler(logging.StreamHandler[TextIO]):
    """Writes records to a stream, those that repeat as `Repeats` allows.

    A count is written before the first record behind the end of its window, or when the handler is
    closed. What cannot be written is lost, as when the disk is full: nobody who logs is held up by
    it or told.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.addFilter(note_work)
        self._repeats = Repeats()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it. The caller holds the handler's lock."""
        now_s = monotonic()
        self._write_counts(now_s)
        if self._repeats.admit(record, now_s):
            super().emit(record)

    def write_counts(self) -> None:
        """Write all counts now, as before the end of a process."""
        self.acquire()
        try:
            self._write_counts(monotonic(), is_last=True)
        finally:
            self.release()

    def close(self) -> None:
        """Write the counts and close the handler; its stream stays open."""
        self.write_counts()
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Do nothing: logging's own would print the record to standard error as it came."""

    def _write_counts(self, now_s: float, *, is_last: bool = False) -> None:
        for record in self._repeats.ended(now_s, is_last=is_last):
            super().emit(record)

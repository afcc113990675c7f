"""The lines of a log: one for each record, those of a traceback behind it, and what is left out.

What a record quotes comes from outside as often as not: names of jobs and files, messages of
plugins, items. None of it can write a line of its own, obey a terminal, show a password, or fill
the disk by its length. Nor by repeating: a plugin that raises for each of five million items would
write as many tracebacks. Of records that are alike (`_kind_of`) a few a minute are logged, and one
line says how many more there were.
"""

import json
import logging
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from types import TracebackType
from typing import TextIO

from seqd.escaping import one_line, printable
from seqd.log_context import (
    LoggedWork,
    acting_for,
    first_jobs,
    jobs_of,
    names_its_job,
    note_work,
    this_worker,
    work_of,
)
from seqd.masking import mask_passwords

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

#: Characters of the message of an exception in a traceback, calls shown of it, and exceptions of
#: its chain: a record is some 20 kB at most.
MAX_MESSAGE_CHARS = 2_000
MAX_CALLS = 20
MAX_CHAIN = 4

#: Notes of an exception, and exceptions of a group, that are shown.
_MAX_PARTS = 5

#: Characters of the place and source line of a call.
_MAX_CALL_CHARS = 400

_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"

#: Seconds for which like records are counted together.
_WINDOW_S = 60.0

#: Records of one kind that are logged in a window: with a traceback, warnings and errors without
#: one, and others, such as what a plugin prints.
_MOST_TRACEBACKS = 1
MOST_WARNINGS = 20
MOST_OTHERS = 1_000

#: Innermost calls by which the places of two exceptions are told apart.
_PLACE_CALLS = 3

#: Jobs that are told apart among the records of one kind.
_MOST_JOBS = 1_000

#: Characters of the first record that the line with the count repeats.
_REPEATED_CHARS = 300

#: Records that are data, one for each job, and never left out.
_UNLIMITED = "seqd.jobs"
_Kind = tuple[object, ...]


class LineFormatter(logging.Formatter):
    """Formats a record as one line; a traceback follows in lines of its own.

    The lines of a traceback are indented, and the message of each exception is one line: so
    whatever begins with a time was written by the record's own logger.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record. Raises nothing, whatever its arguments are."""
        record.message = _message_of(record)
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        lines = [f"{one_line(self.formatMessage(record))}{_work_told(record)}"]
        return mask_passwords("\n".join([*lines, *_lines_behind(record)]))


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object in one line.

    Its strings are escaped and bounded as `LineFormatter` has them, so that they are harmless when
    a program prints them.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as JSON. Raises nothing, whatever its arguments are."""
        fields: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created)
            .astimezone()
            .isoformat("T", "milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message_of(record),
        }
        worker, work = this_worker(), work_of(record)
        if worker is not None:
            fields |= {"worker": worker.worker, "slot": worker.slot, "host": worker.host}
        fields["pid"] = record.process
        if work is not None:
            fields |= work.fields
        exception = [line.removeprefix("  ") for line in _lines_behind(record)]
        if exception:
            fields["exception"] = exception
        return json.dumps(_harmless(fields), ensure_ascii=False)


def _harmless(value: object) -> object:
    if isinstance(value, str):
        return one_line(mask_passwords(value))
    if isinstance(value, list):
        return [_harmless(one) for one in value]
    if isinstance(value, dict):
        return {name: _harmless(one) for name, one in value.items()}
    return value


def _work_told(record: logging.LogRecord) -> str:
    """Return what a record is about as the end of its line, where its message does not say so."""
    work = work_of(record)
    if work is None or names_its_job(record, record.message):
        return ""
    told = one_line(str(work))
    return f" {told}" if told else ""


def _lines_behind(record: logging.LogRecord) -> list[str]:
    """Return the lines of a record behind its first: the traceback of its exception, its stack."""
    lines: list[str] = []
    if record.exc_info and record.exc_info[1] is not None:
        lines += traceback_lines(record.exc_info[1])
    if record.stack_info:
        lines += [_call(line) for line in record.stack_info.splitlines()[-2 * MAX_CALLS :]]
    return lines


def traceback_lines(error: BaseException) -> list[str]:
    """Return an exception with the calls that led to it, its causes first, each line indented."""
    lines: list[str] = []
    for one, link in reversed(list(_chain(error))):
        if one.__traceback__ is not None:
            calls = traceback.extract_tb(one.__traceback__, limit=-MAX_CALLS)
            lines.append("  Traceback (most recent call last):")
            lines += [_call(part) for call in calls.format() for part in call.splitlines()]
        lines += [f"  {line}" for line in _error_lines(one)]
        if link:
            lines.append(f"  {link}")
    return lines


def error_line(error: BaseException) -> str:
    """Return the type of an exception and its message, as one line."""
    try:
        text = str(error)
    except Exception as fault:  # noqa: BLE001  a plugin's exception may do anything
        text = f"(its message cannot be shown: {type(fault).__name__})"
    said = one_line(text, MAX_MESSAGE_CHARS)
    name = one_line(type_name(error), _MAX_CALL_CHARS)
    return f"{name}: {said}" if said else name


def type_name(error: BaseException) -> str:
    """Return the full name of an exception's type; without the module where that is Python's."""
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001  an argument's __str__ may raise anything
        return f"{record.msg!s} (its arguments cannot be shown: {error_line(error)})"


def _chain(error: BaseException) -> Iterator[tuple[BaseException, str]]:
    """Yield an exception, then what it came from, each with the words that lead on from it."""
    seen: set[int] = set()
    link, one = "", error
    while len(seen) < MAX_CHAIN and id(one) not in seen:
        yield one, link
        seen.add(id(one))
        if one.__cause__ is not None:
            link, one = _CAUSE, one.__cause__
        elif one.__context__ is not None and not one.__suppress_context__:
            link, one = _CONTEXT, one.__context__
        else:
            return


def _error_lines(error: BaseException) -> Iterator[str]:
    yield error_line(error)
    notes = getattr(error, "__notes__", ())
    for note in notes[:_MAX_PARTS] if isinstance(notes, list) else ():
        yield one_line(str(note), MAX_MESSAGE_CHARS)
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions[:_MAX_PARTS]:
            yield f"  | {error_line(part)}"


def _call(line: str) -> str:
    return f"  {printable(line[:_MAX_CALL_CHARS])}"


def _kind_of(record: logging.LogRecord) -> _Kind:
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
        if len(self.jobs) < _MOST_JOBS:
            self.jobs |= dict.fromkeys(jobs_of(record))


@dataclass(slots=True)
class Repeats:
    """Decides which records are logged. Not safe between threads: its handler has a lock."""

    window_s: float = _WINDOW_S
    _counts: dict[_Kind, _Count] = field(default_factory=dict)

    def admit(self, record: logging.LogRecord, now_s: float) -> bool:
        """Return True where the record is to be logged; else it is counted."""
        if record.name == _UNLIMITED:
            return True
        has_trace = bool(record.exc_info)
        kind = _kind_of(record)
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
        return _MOST_TRACEBACKS
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
    more = " or more" if jobs >= _MOST_JOBS else ""
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


def request_log() -> logging.Handler:
    """Return what writes the log of a gateway to its standard error output."""
    handler = logging.StreamHandler()
    handler.addFilter(note_request)
    handler.setFormatter(LineFormatter(f"{FORMAT}%(request)s"))
    return handler


def note_request(record: logging.LogRecord) -> bool:
    """Note on a record which request has caused it, as a filter of a handler; returns True."""
    request_id = acting_for.get().get("request")
    record.request = "" if request_id is None else f" request={request_id}"
    return True

"""The lines of a log: one for each record, and those of a traceback behind it.

What a record quotes comes from outside as often as not: names of jobs and files, messages of
plugins, items. None of it can write a line of its own, obey a terminal, show a password, or fill
the disk by its length.
"""

import json
import logging
import traceback
from collections.abc import Iterator
from datetime import datetime

from seqd.escaping import one_line, printable
from seqd.log_context import names_its_job, this_worker, work_of
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
    return kind.__qualname__ if kind.__module__ == "builtins" else _full_name(kind)


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


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

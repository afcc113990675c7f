"""Finds records in the logs of workers: of one job or worker, from several files, merged by time.

Reads both formats of a log, text and JSON, and files that were set aside. A file is read line by
line and a line is bounded, so that memory is bounded whatever the logs hold; so are the lines that
are kept behind a record's first, such as those of a traceback.
"""

import heapq
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

from seqd.errors import NoLogs

#: Bytes of a line that are read together; what is behind counts as a line of its own.
MAX_LINE_BYTES: Final = 256 * 1024

#: Lines that are kept behind the first of a record.
MAX_LINES_BEHIND: Final = 200

#: Logs that are read from one folder, and workers that are remembered as seen.
MAX_LOGS: Final = 1_000
MAX_WORKERS: Final = 10_000

_FIRST_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) ([A-Z]+) (\S+) ?(.*)", re.DOTALL)
_START = "worker starts: "
_STARTS = re.compile(r"worker starts: worker=(\S+) slot=(\S+) ")
_LOG_NAME = re.compile(r"(?P<name>.+)\.log(?:\.(?P<number>[0-9]{1,4}))?")


@dataclass(slots=True)
class FoundRecord:
    """A record of a log, as text or JSON had it."""

    #: Seconds since 1970.
    at_s: float
    level: str
    logger: str
    message: str
    #: Name of the log, which is that of a slot: `cpu-0`.
    source: str
    #: The worker that wrote it, and its slot, where that is known.
    worker: str | None
    slot: str | None
    #: Of a record in JSON its other fields, such as `job` and `unit`.
    fields: Mapping[str, object] = field(default_factory=dict)
    #: Lines behind its first, such as those of a traceback.
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records are looked for; all, where nothing is named."""

    job: str | None = None
    #: A worker, its slot, or the name of its log.
    worker: str | None = None
    #: Least level.
    level: int = logging.NOTSET

    def has(self, record: FoundRecord) -> bool:
        """Return True for a record that is looked for."""
        number = logging.getLevelNamesMapping().get(record.level, logging.INFO)
        if number < self.level:
            return False
        names = record.worker, record.slot, record.source
        if self.worker is not None and self.worker not in names:
            return False
        return self.job is None or _names(record, self.job)


def _names(record: FoundRecord, job: str) -> bool:
    jobs = record.fields.get("jobs")
    if record.fields.get("job") == job or (isinstance(jobs, list) and job in jobs):
        return True
    if job not in record.message:
        return False
    name = re.escape(job)
    return re.search(rf"(?<![A-Za-z0-9_-]){name}(?![A-Za-z0-9_-])", record.message) is not None


@dataclass(slots=True)
class _Log:
    """One log of a folder: the file that is written to, and those set aside, the oldest first."""

    source: str
    path: Path
    older: list[Path]
    #: Where the newest file was when the search began, and how long.
    inode: int = 0
    end: int = 0


class LogSearch:
    """The logs of some folders."""

    def __init__(self, folders: Iterable[Path], wanted: Wanted) -> None:
        """Raise NoLogs for a folder that cannot be read."""
        self.folders = list(dict.fromkeys(folders))
        self._wanted = wanted
        #: Files read, and workers that wrote to them.
        self.files = 0
        self.workers: set[str] = set()
        self._slots: set[str] = set()
        self._logs = {
            log.path: log for folder in self.folders for log in _logs_of(folder, wanted.job)
        }
        self._current: dict[Path, _Parser] = {}

    @property
    def sources(self) -> list[str]:
        """Names of the logs."""
        return sorted({log.source for log in self._logs.values()})

    @property
    def names(self) -> set[str]:
        """Names by which lines of a worker are found: of logs, workers and slots."""
        return {*self.sources, *self.workers, *self._slots}

    def records(self) -> Iterator[FoundRecord]:
        """Yield the records that are looked for, of all logs, by time."""
        streams = [self._records_of(log) for log in self._logs.values()]
        yield from heapq.merge(*streams, key=lambda record: record.at_s)

    def new_records(self) -> Iterator[FoundRecord]:
        """Yield what came since the last call, and since `records` at first; waits for nothing."""
        for folder in self.folders:
            with suppress(NoLogs):  # it may be away for a moment
                for log in _logs_of(folder, self._wanted.job):
                    if log.path not in self._logs:
                        self._logs[log.path] = log
                        log.end = 0
        for log in self._logs.values():
            yield from self._news_of(log)

    def _records_of(self, log: _Log) -> Iterator[FoundRecord]:
        parser = self._current[log.path] = self._parser_of(log)
        for path in log.older:
            with suppress(OSError), path.open("rb") as file:
                self.files += 1
                yield from self._parsed(parser, _lines(file))
        with suppress(OSError), log.path.open("rb") as file:
            self.files += 1
            log.inode = os.fstat(file.fileno()).st_ino
            yield from self._parsed(parser, _lines(file))
            log.end = file.tell()
        yield from self._wanted_of(parser.rest())

    def _news_of(self, log: _Log) -> Iterator[FoundRecord]:
        parser = self._current.setdefault(log.path, self._parser_of(log))
        with suppress(OSError):
            if log.inode and log.path.stat().st_ino != log.inode:
                # Set aside since: the rest of it first.
                older = log.path.with_name(f"{log.path.name}.1")
                with suppress(OSError), older.open("rb") as file:
                    if os.fstat(file.fileno()).st_ino == log.inode:
                        file.seek(log.end)
                        yield from self._parsed(parser, _lines(file))
                log.end = 0
            with log.path.open("rb") as file:
                log.inode = os.fstat(file.fileno()).st_ino
                file.seek(log.end)
                yield from self._parsed(parser, _lines(file, whole=True))
                is_still, log.end = file.tell() == log.end, file.tell()
            if is_still:  # else more lines of the last record may be on their way
                yield from self._wanted_of(parser.rest())

    def _parser_of(self, log: _Log) -> "_Parser":
        return _Parser(log.source, self.workers, self._slots, self._wanted.job)

    def _parsed(self, parser: "_Parser", lines: Iterable[str]) -> Iterator[FoundRecord]:
        for line in lines:
            yield from self._wanted_of(parser.take(line))

    def _wanted_of(self, record: FoundRecord | None) -> Iterator[FoundRecord]:
        if record is not None and self._wanted.has(record):
            yield record


class _Parser:
    """Makes records of the lines of one log."""

    def __init__(self, source: str, workers: set[str], slots: set[str], job: str | None) -> None:
        """Leave records out whose first line does not have `job` in it, which costs a tenth."""
        self._source = source
        self._job = job
        self._is_left_out = False
        self._workers = workers
        self._slots = slots
        #: The worker that said last that it starts, and its slot.
        self._worker: str | None = None
        self._slot: str | None = None
        self._open: FoundRecord | None = None

    def take(self, line: str) -> FoundRecord | None:
        """Take the next line; return the record before it, where one begins with the line."""
        if self._job is not None and self._job not in line and _START not in line:
            # It begins as the first of a record does.
            if line.startswith("{") or (line[4:5] == line[7:8] == "-" and line[19:20] == ","):
                ended, self._open, self._is_left_out = self._open, None, True
                return ended
            begun = None
        else:
            begun = self._json(line) if line.startswith("{") else self._text(line)
        if begun is None:
            if self._is_left_out:
                return None
            if self._open is None:
                self._open = self._record(0.0, "INFO", "", line)
            elif len(self._open.lines) < MAX_LINES_BEHIND:
                self._open.lines.append(line)
            return None
        ended, self._open, self._is_left_out = self._open, begun, False
        return ended

    def rest(self) -> FoundRecord | None:
        """Return the last record."""
        ended, self._open = self._open, None
        return ended

    def _text(self, line: str) -> FoundRecord | None:
        found = _FIRST_LINE.fullmatch(line)
        if found is None:
            return None
        starts = _STARTS.match(found[4])
        if starts is not None and found[3].startswith("seqd.worker"):
            self._note(starts[1], starts[2])
        return self._record(_seconds(found[1].replace(",", ".")), found[2], found[3], found[4])

    def _json(self, line: str) -> FoundRecord | None:
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(fields, dict) or not isinstance(fields.get("at"), str):
            return None
        worker, slot = fields.pop("worker", None), fields.pop("slot", None)
        if isinstance(worker, str):
            self._note(worker, slot if isinstance(slot, str) else None)
        exception = fields.pop("exception", None)
        made = self._record(
            _seconds(fields.pop("at")),
            str(fields.pop("level", "INFO")),
            str(fields.pop("logger", "")),
            str(fields.pop("message", "")),
        )
        made.fields = {name: value for name, value in fields.items() if _is_plain(value)}
        if isinstance(exception, list):
            made.lines = [f"  {one}" for one in exception[:MAX_LINES_BEHIND]]
        return made

    def _record(self, at_s: float, level: str, logger: str, message: str) -> FoundRecord:
        return FoundRecord(at_s, level, logger, message, self._source, self._worker, self._slot)

    def _note(self, worker: str, slot: str | None) -> None:
        self._worker, self._slot = worker, slot
        if len(self._workers) < MAX_WORKERS:
            self._workers.add(worker)
            self._slots.update(() if slot is None else (slot,))


def where_logs_are(job: str | None) -> str:
    """Return in sentences where workers log to, by what starts them, with how to read it there."""
    grep = "" if job is None else f" --grep {job}"
    return (
        "`seqd up` writes logs to SEQD_DATA_DIR/logs of its host. Any other worker logs to its "
        f"output: `journalctl -u 'seqd*'{grep}` under systemd, `kubectl logs POD` in Kubernetes, "
        "`docker compose logs worker` in Compose."
    )


def _logs_of(folder: Path, job: str | None) -> list[_Log]:
    """Return the logs of a folder by name. Raises NoLogs."""
    found: dict[str, dict[int, Path]] = {}
    try:
        for path in sorted(folder.iterdir()):
            named = _LOG_NAME.fullmatch(path.name)
            if named is not None and (named["name"] in found or len(found) < MAX_LOGS):
                found.setdefault(named["name"], {})[int(named["number"] or 0)] = path
    except OSError as error:
        raise NoLogs(
            f"The logs in {folder} cannot be read ({error.strerror}). --folder names another "
            f"folder, such as one that hosts share. {where_logs_are(job)}"
        ) from None
    return [
        _Log(name, folder / f"{name}.log", [paths[at] for at in sorted(paths, reverse=True) if at])
        for name, paths in found.items()
    ]


def _lines(file: BinaryIO, *, whole: bool = False) -> Iterator[str]:
    """Yield the lines of a file; if `whole`, no last one whose end is not written yet."""
    while line := file.readline(MAX_LINE_BYTES):
        if whole and not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
            file.seek(-len(line), os.SEEK_CUR)
            return
        yield line.rstrip(b"\r\n").decode("utf-8", errors="backslashreplace")


def _seconds(text: str) -> float:
    """Return a time of a log in seconds since 1970; 0 for what is none, here or in any zone."""
    try:
        at_s = datetime.fromisoformat(text).timestamp()
        datetime.fromtimestamp(at_s).astimezone()  # the years 1 and 9999 end sooner here
        return at_s
    except (ValueError, OverflowError, OSError):
        return 0.0


def _is_plain(value: object) -> bool:
    is_list = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return is_list or isinstance(value, str | int | float)

"""Log files of this machine, bounded while they are written to.

A worker, its plugins and their C code write into a pipe, so that the file can be exchanged between
two lines: none is lost or cut, whoever wrote it. Redis opens its own log anew for each line, so
that renaming the file is enough.
"""

import os
import re
import select
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from seqd.escaping import printable
from seqd.masking import mask_passwords
from seqd.settings import Settings


@dataclass(frozen=True, slots=True)
class LogLimits:
    """How large a log may grow: `max_bytes` in each of `files`, the newest without a number."""

    max_bytes: int = 16 * 1024 * 1024
    files: int = 4


DEFAULT_LIMITS = LogLimits()


def log_limits(settings: Settings) -> LogLimits:
    """Return the limits that the operator has set."""
    return LogLimits(settings.max_log_bytes, settings.log_files)


def rotate_if_full(path: Path, limits: LogLimits) -> bool:
    """Set a log aside that is full, as `.1`, and those before it as `.2` and so on.

    Returns True when it did. Whoever has the file open goes on writing to the one set aside.
    """
    try:
        if path.stat().st_size < limits.max_bytes:
            return False
    except FileNotFoundError:
        return False
    rotate(path, limits)
    return True


def rotate(path: Path, limits: LogLimits) -> None:
    """Set a log aside as `.1`, and those before it as `.2` and so on; the oldest goes."""
    kept = [path, *(_numbered(path, number) for number in range(1, limits.files))]
    for older, newer in zip(reversed(kept), [*reversed(kept[:-1]), None], strict=True):
        if newer is not None and newer.exists():
            newer.replace(older)
    if limits.files == 1:
        path.unlink(missing_ok=True)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


class RotatingLog:
    """A log file that is set aside when it is full, between two lines.

    What cannot be written, as on a full disk, is lost, and a line says how much once it can.
    """

    def __init__(self, path: Path, limits: LogLimits) -> None:
        """Open the file, after setting a full one aside. Raises OSError."""
        self.path = path
        #: How often the file was exchanged since.
        self.rotations = 0
        self._limits = limits
        self._lost_bytes = 0
        rotate_if_full(path, limits)
        self._file: FileIO | None = None
        self._open()

    def write(self, lines: bytes) -> None:
        """Write whole lines. Raises nothing."""
        rest = memoryview(lines)
        try:
            if self._file is None:
                self._open()
            elif self._was_exchanged():
                self.close()
                self._open()
            if self._lost_bytes:
                self._write_all(b"seqd: %d bytes of log are lost\n" % self._lost_bytes)
                self._lost_bytes = 0
            while rest:
                fitting = self._fitting(rest)
                if not fitting:
                    self.close()
                    rotate(self.path, self._limits)
                    self.rotations += 1
                    self._open()
                    fitting = self._fitting(rest) or self._limits.max_bytes
                self._write_all(rest[:fitting])
                rest = rest[fitting:]
        except OSError:
            self._lost_bytes += len(rest)

    def _fitting(self, lines: memoryview) -> int:
        """Return how many bytes of whole lines the file has room for."""
        room = self._limits.max_bytes - self.size
        if len(lines) <= room:
            return len(lines)
        return bytes(lines[: max(0, room)]).rfind(b"\n") + 1

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _was_exchanged(self) -> bool:
        """Return True where another has set the file aside: two workers of a slot write to it."""
        if self._file is None:
            return False
        try:
            return self.path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return True

    def _open(self) -> None:
        self._file = self.path.open("ab", buffering=0)
        self.size = self.path.stat().st_size

    def _write_all(self, data: bytes | memoryview) -> None:
        if self._file is None:
            raise OSError("the log is closed")
        rest = memoryview(data)
        while rest:
            written = self._file.write(rest)
            self.size += written
            rest = rest[written:]


#: Bytes read from a pipe at once, and those after which a line is written that has not ended.
_READ_BYTES = 64 * 1024

#: Bytes that a pipe holds, where the system lets us choose: who writes seldom waits for a disk.
_PIPE_BYTES = 1024 * 1024

#: Seconds after which a line is written that has not ended, such as a prompt.
_LINE_WAIT_S = 0.5

#: Seconds that whoever looks after processes waits for the last lines of one: a disk may be slow.
_END_WAIT_S = 10.0

#: What a log must not hold as it came: controls, and what is not ASCII and may stand for some.
_SUSPICIOUS = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f-\xff]|://")


class LogPipe:
    """A pipe whose lines a thread writes to a `RotatingLog`, control characters escaped."""

    def __init__(self, log: RotatingLog) -> None:
        self._log = log
        reader, self.writer = os.pipe()
        self._reader = reader
        with suppress(ImportError, AttributeError, OSError):
            import fcntl

            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_blocking(reader, False)
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="seqd-log", daemon=True)
        self._thread.start()

    @property
    def rotations(self) -> int:
        """How often the log's file was exchanged."""
        return self._log.rotations

    def close_writer(self) -> None:
        """Close this process's end, which the started process has inherited."""
        os.close(self.writer)

    def finish(self) -> None:
        """Write what is left of a process that has ended, and close the log; again: do nothing."""
        self._is_ending.set()
        self._thread.join(_END_WAIT_S)

    def _run(self) -> None:
        rest = b""
        try:
            for data in self._chunks():
                lines, rest = _whole_lines(rest, data)
                if lines:
                    self._log.write(_harmless(lines))
            if rest:
                self._log.write(_harmless(rest + b"\n"))
        finally:
            os.close(self._reader)
            self._log.close()

    def _chunks(self) -> Iterator[bytes]:
        """Yield what is written until the last writer is gone; b"" when a line may stand still.

        Of an ended process that is what the pipe holds at most: something that it started, and that
        was not in its group, may go on writing.
        """
        left_bytes = _PIPE_BYTES
        while left_bytes > 0:
            is_ending = self._is_ending.is_set()
            wait_s = 0.0 if is_ending else _LINE_WAIT_S
            is_ready = bool(select.select([self._reader], [], [], wait_s)[0])
            if not is_ready and is_ending:
                return
            data = os.read(self._reader, _READ_BYTES) if is_ready else b""
            if is_ready and not data:
                return
            yield data
            left_bytes -= len(data) if is_ending else 0


def _whole_lines(rest: bytes, data: bytes) -> tuple[bytes, bytes]:
    """Return the lines that have ended, and the rest. No `data`: the rest has waited long enough.

    So has a rest that is as long as what is read at once.
    """
    if not data:
        return (rest + b"\n" if rest else b""), b""
    lines, newline, rest = (rest + data).rpartition(b"\n")
    lines += newline
    return (lines + rest + b"\n", b"") if len(rest) >= _READ_BYTES else (lines, rest)


def _harmless(lines: bytes) -> bytes:
    if _SUSPICIOUS.search(lines) is None:
        return lines
    text = printable(lines.decode("utf-8", errors="backslashreplace"))
    return mask_passwords(text).encode()

"""What plugins and libraries print: each line a record of the worker's log, from `seqd.printed`.

So it has a time, cannot pass for a line of somebody else, and is bounded. What C code writes to
standard output goes to standard error as it is: `seqd up` escapes it there.
"""

import io
import logging
import os
import sys
import threading
from contextlib import suppress
from typing import TextIO, cast

from seqd.escaping import printable
from seqd.log_context import PRINTED as PRINTED

#: Bytes after which a line is logged that has not ended: less than a line of the log has room for.
MAX_LINE_BYTES = 2_048

_STDOUT, _STDERR = 1, 2

log = logging.getLogger(PRINTED)


class _Lines(io.RawIOBase):
    """The bytes of a stream, logged line by line. Safe between threads.

    No lock is held while a line is logged: what is logged at that moment may print, too.
    """

    def __init__(self, behind: TextIO) -> None:
        super().__init__()
        self._behind = behind
        self._lock = threading.Lock()
        self._rest = b""
        #: Set in a thread that logs a line: what that prints must not be logged again.
        self._logging = threading.local()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """Return standard error's number, for what writes there past Python."""
        return _STDERR

    def write(self, data: object) -> int:
        """Log the lines that end within `data`, and keep the rest."""
        new = bytes(memoryview(data))  # type: ignore[arg-type]
        if getattr(self._logging, "is_on", False):
            with suppress(OSError, ValueError):
                self._behind.write(printable(_text(new)))
            return len(new)
        with self._lock:
            *lines, rest = (self._rest + new).split(b"\n")
            while len(rest) >= MAX_LINE_BYTES:
                lines.append(rest[:MAX_LINE_BYTES])
                rest = rest[MAX_LINE_BYTES:]
            self._rest = rest
        self._log(lines)
        return len(new)

    def end_line(self) -> None:
        """Log a line that has not ended."""
        with self._lock:
            rest, self._rest = self._rest, b""
        self._log([rest])

    def _log(self, lines: list[bytes]) -> None:
        self._logging.is_on = True
        try:
            for line in lines:
                if line.strip():
                    log.info("%s", _text(line.rstrip(b"\r")))
        finally:
            self._logging.is_on = False


class _PrintedText(io.TextIOBase):
    """A text stream over `_Lines`, in the place of `sys.stdout` or `sys.stderr`."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, behind: TextIO) -> None:
        super().__init__()
        #: Where Python's own streams take bytes.
        self.buffer = _Lines(behind)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """Return standard error's number, for what writes there past Python."""
        return _STDERR

    def write(self, text: str) -> int:
        """Log the lines that end within `text`, and keep the rest."""
        self.buffer.write(text.encode(self.encoding, self.errors))
        return len(text)

    def reconfigure(self, **_: object) -> None:
        """Do nothing: this stream takes any text as it is."""


def capture_prints(behind: TextIO) -> None:
    """Have what this process prints logged from now on, and its C code write to standard error.

    `behind` is where the log itself goes.
    """
    with suppress(OSError):  # where one of the two is closed there is nothing to do
        os.dup2(_STDERR, _STDOUT)
    sys.stdout, sys.stderr = (cast(TextIO, _PrintedText(behind)) for _ in range(2))


def release_prints() -> None:
    """Have this process print past its log again."""
    for name in ("stdout", "stderr"):
        if isinstance(getattr(sys, name), _PrintedText):
            setattr(sys, name, getattr(sys, f"__{name}__"))


def end_lines() -> None:
    """Log the lines that have not ended, of a process that is about to."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, _PrintedText):
            stream.buffer.end_line()


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="backslashreplace")

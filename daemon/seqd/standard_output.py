"""Standard output of a command: what it cannot encode is escaped, and no error of it is foreign.

Light to import: probes have it, too.
"""

import codecs
import io
import os
import sys
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

#: How characters are written that the encoding of a stream lacks; valid inside strings of JSON.
ESCAPES = "seqd.escapes"


class _Written(io.FileIO):
    """The file behind a stream; raises OutputUnwritable, or BrokenPipeError, once."""

    _is_lost = False

    def write(self, content: "ReadableBuffer", /) -> int:
        """Write; what comes behind an error is dropped, or the end of the process would raise."""
        if self._is_lost:
            return memoryview(content).nbytes
        try:
            return super().write(content)
        except BrokenPipeError:
            self._is_lost = True
            raise
        except OSError as error:
            self._is_lost = True
            from seqd.errors import OutputUnwritable  # here: a probe needs none

            raise OutputUnwritable(
                f"standard output cannot be written ({error.strerror}): give it to a file or a "
                "program that takes it"
            ) from None


def opened(descriptor: int, like: TextIO, *, by_line: bool) -> TextIO:
    """Return a stream for what a command prints, with the encoding of another one."""
    codecs.register_error(ESCAPES, _escaped)
    file = _Written(descriptor, "w", closefd=False)
    at_once = getattr(like, "write_through", False)  # as PYTHONUNBUFFERED asks for
    return io.TextIOWrapper(
        cast(BinaryIO, file if at_once else io.BufferedWriter(file)),
        like.encoding,
        ESCAPES,
        line_buffering=by_line or file.isatty(),
        write_through=at_once,
    )


def take_standard_output() -> None:
    """Have `sys.stdout` be such a stream, for the rest of this process.

    A closed stream gets a file in its place, since the next file that is opened would be taken for
    it: standard output one that cannot be written.
    """
    for descriptor, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # which takes the first number that is free
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    sys.stdout = opened(1, sys.stdout or sys.stderr, by_line=False)
    sys.__stdout__ = sys.stdout  # type: ignore[misc,assignment]  # flushed at the end, and ours


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    parts = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{part}" for part in parts), error.end

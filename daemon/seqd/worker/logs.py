"""How a worker logs: one line an event, to standard error, with the same fields each time.

What plugins and libraries print goes there, too, each line a record of `seqd.printed`: so it has a
time, cannot pass for a line of somebody else, and is bounded. What C code writes to standard output
goes to standard error as it is: `seqd up` escapes it there.
"""

import io
import logging
import os
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from types import TracebackType
from typing import TextIO, cast

from seqd.errors import RedisFull, RedisRefused, RedisUnreachable
from seqd.escaping import printable
from seqd.ledger.outage import waiting_at_most
from seqd.log_context import PRINTED, LoggedWorker, name_worker
from seqd.log_lines import FORMAT, BoundedHandler, JsonFormatter, LineFormatter
from seqd.settings import Settings
from seqd_schemas import JobRecord, JobState

log = logging.getLogger(__name__)
_printed = logging.getLogger(PRINTED)

#: Bytes after which a line is logged that has not ended: less than a line of the log has room for.
MAX_LINE_BYTES = 2_048

_STDOUT, _STDERR = 1, 2

LOG = logging.getLogger("seqd.jobs")

#: Jobs that a line names.
_NAMED = 8


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
                    _printed.info("%s", _text(line.rstrip(b"\r")))
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


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="backslashreplace")


#: Repeated steps that a full Redis refuses, each until it works again.
_refused = set[str]()


def configure_logging(**_: object) -> None:
    """Send everything from INFO on to standard error; Celery's own log from WARNING on.

    As a receiver of Celery's `setup_logging` signal it makes Celery leave logging alone.
    """
    # Not `basicConfig(force=True)`, which would close our own handler each time.
    root = logging.getLogger()
    root.handlers = [_handler()]
    root.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    for name in ("celery", "kombu", "amqp"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Celery announces two defaults of its next major release at each start and reconnect;
    # create_app sets both explicitly, and an operator can do nothing about them.
    warnings.filterwarnings("ignore", category=PendingDeprecationWarning, module="celery")
    # What Celery fears about root is pickle; this daemon accepts JSON alone, and in a container
    # the line would stand at the top of every log.
    warnings.filterwarnings("ignore", message="You're running the worker with superuser")


def log_whatever_is_written(what: str, settings: Settings) -> None:
    """Have all that this process prints, warns of and fails with go through its log.

    `what` names the process in the line of an exception that nobody caught.
    """
    configure_logging()
    if settings.log_format == "json":
        _handler().setFormatter(JsonFormatter())
    # Past the root's handlers, among which a plugin may have put one that prints.
    _printed.handlers, _printed.propagate = [_handler()], False
    capture_prints(_handler().stream)

    def log_uncaught(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, KeyboardInterrupt):
            log.critical("%s ends", what, exc_info=(kind, error, trace))

    def log_uncaught_of_thread(caught: threading.ExceptHookArgs) -> None:
        if caught.exc_value is not None and caught.exc_type is not SystemExit:
            name = caught.thread.name if caught.thread else "-"
            log.error("thread %s of %s ends", name, what, exc_info=caught.exc_value)

    sys.excepthook = log_uncaught
    threading.excepthook = log_uncaught_of_thread


def name_worker_of_log(worker: str, slot: str) -> None:
    """Have each line of this process's log in JSON name the worker."""
    name_worker(LoggedWorker(worker, slot, socket.gethostname()))


def flush_log() -> None:
    """Write what is still held back: the last printed line, and the counts of what repeated.

    For a process that ends without Python's own end.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, _PrintedText):
            stream.buffer.end_line()
    _handler().write_counts()


def write_directly_again() -> None:
    """Have this process print past its log again, what was held back first."""
    flush_log()
    for name in ("stdout", "stderr"):
        if isinstance(getattr(sys, name), _PrintedText):
            setattr(sys, name, getattr(sys, f"__{name}__"))


@cache
def _handler() -> BoundedHandler:
    """Return the handler of this process, which counts what repeats."""
    stream: TextIO = sys.stderr if sys.__stderr__ is None else sys.__stderr__
    handler = BoundedHandler(stream)
    handler.setFormatter(LineFormatter(FORMAT))
    return handler


def log_and_continue(
    what_failed: str, step: Callable[[], None], *, is_repeated: bool = False
) -> bool:
    """Take a step and log its error, if any. Return False when there was one.

    Redis away or full is expected and costs a line; anything else is a bug and costs a traceback.
    A step that `is_repeated` loses nothing while Redis is away or denies it, and an outage has its
    own two lines in the log. One that is full answers all that is read, so it has no such lines:
    that it refuses the step is logged, and not again before the step has worked.
    """
    try:
        step()
    except (RedisUnreachable, RedisRefused) as error:
        if not is_repeated:
            log.warning("%s: %s", what_failed, error)
        return False
    except RedisFull as error:
        if not (is_repeated and what_failed in _refused):
            log.warning("%s: %s", what_failed, error.cause)
        _refused.add(what_failed)
        return False
    except Exception:
        log.exception("%s", what_failed)
        return False
    _refused.discard(what_failed)
    return True


def try_now(what_failed: str, step: Callable[[], None], *, is_repeated: bool = False) -> bool:
    """Take a step as `log_and_continue` does, which is worth no wait for a Redis that is away."""
    with waiting_at_most(0):
        return log_and_continue(what_failed, step, is_repeated=is_repeated)


def named(job_ids: Sequence[str]) -> str:
    """Return jobs as a line of the log names them: `job=a job=b and 3 others`."""
    more = len(job_ids) - _NAMED
    names = " ".join(f"job={job_id}" for job_id in job_ids[:_NAMED])
    return f"{names} and {more} others" if more > 0 else names


def log_end(job: JobRecord, slot: str) -> None:
    """Log how a job ended; a failed one as a warning, with its reason."""
    level = logging.WARNING if job.state is JobState.FAILED else logging.INFO
    LOG.log(
        level,
        "job %s: job=%s model=%s slot=%s succeeded=%d errored=%d seconds=%.1f%s",
        job.state,
        job.job_id,
        _model(job),
        slot,
        job.counts.succeeded,
        job.counts.errored,
        _seconds(job),
        f" reason={job.failure.code}: {job.failure.message}" if job.failure else "",
    )


def _model(job: JobRecord) -> str:
    return job.model if job.version is None else f"{job.model}@{job.version}"


def _seconds(job: JobRecord) -> float:
    if job.started_at_ms is None or job.ended_at_ms is None:
        return 0.0
    return (job.ended_at_ms - job.started_at_ms) / 1_000

"""How a worker logs: one line an event, to standard error, with the same fields each time.

What plugins and libraries print goes there, too, line by line (`printed`).
"""

import logging
import socket
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TextIO

from seqd.errors import RedisFull, RedisRefused, RedisUnreachable
from seqd.log_context import LoggedWorker, name_worker
from seqd.log_lines import FORMAT, JsonFormatter, LineFormatter
from seqd.log_repeats import BoundedHandler
from seqd.settings import Settings
from seqd.worker.printed import PRINTED, capture_prints, end_lines, release_prints

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Output:
    """The handler of this process, made once: it counts what repeats."""

    handler: BoundedHandler | None = None


_output = _Output()

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
    printed = logging.getLogger(PRINTED)
    # Past the root's handlers, among which a plugin may have put one that prints.
    printed.handlers, printed.propagate = [_handler()], False
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
    end_lines()
    if _output.handler is not None:
        _output.handler.write_counts()


def write_directly_again() -> None:
    """Have this process print past its log again, what was held back first."""
    flush_log()
    release_prints()


def _handler() -> BoundedHandler:
    if _output.handler is None:
        stream: TextIO = sys.stderr if sys.__stderr__ is None else sys.__stderr__
        _output.handler = BoundedHandler(stream)
        _output.handler.setFormatter(LineFormatter(FORMAT))
    return _output.handler


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
        level = logging.DEBUG if is_repeated else logging.WARNING
        log.log(level, "%s: %s", what_failed, error)
        return False
    except RedisFull as error:
        is_known = is_repeated and what_failed in _refused
        _refused.add(what_failed)
        log.log(logging.DEBUG if is_known else logging.WARNING, "%s: %s", what_failed, error.cause)
        return False
    except Exception:
        log.exception("%s", what_failed)
        return False
    _refused.discard(what_failed)
    return True

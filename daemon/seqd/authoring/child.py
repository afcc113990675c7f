"""The child that has the plugin: `python -m seqd.authoring.child REQUESTS REPLIES`, two open files.

What the plugin prints and logs, and its tracebacks, go to standard output and error. Ctrl-C of the
command arrives as SIGINT, and asks the call that goes on to stop.
"""

import faulthandler
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import TextIO

from seqd.authoring.messages import (
    REPLY,
    REQUEST,
    AnyReply,
    Compute,
    Done,
    Failed,
    Learn,
    Load,
    RunChecks,
)
from seqd.authoring.subject import Subject
from seqd.errors import PluginFault, SeqdError, failure_of
from seqd.models.plugin_frames import frame_of
from seqd.worker.faults import sentence_of

log = logging.getLogger(__name__)

#: Loggers whose errors the reply has, too: their tracebacks alone are printed.
_TOLD_BY_REPLY = ("seqd.models.loading", "seqd.worker.outcomes")


class _Stop:
    """Whether the call that goes on is to end: True once SIGINT came."""

    def __init__(self) -> None:
        self.is_raised = False
        signal.signal(signal.SIGINT, self._raise)

    def __call__(self) -> bool:
        return self.is_raised

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.is_raised = True


class _AuthorsFormatter(logging.Formatter):
    """Formats records as lines without a time, tracebacks without the daemon's own calls."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, and the traceback behind it."""
        error = record.exc_info[1] if record.exc_info else None
        is_told = record.name in _TOLD_BY_REPLY and record.levelno != logging.WARNING
        message = "" if is_told else record.getMessage()
        if not record.name.startswith("seqd."):
            message = f"{record.levelname} {record.name}: {message}"
        if error is None:
            return message
        trace = str(error) if isinstance(error, SeqdError) else authors_traceback(error)
        return f"{message}\n{trace}" if message else trace


def authors_traceback(error: BaseException) -> str:
    """Return an error with the calls of the plugin that led to it, file and line of each.

    What is left out are the daemon's own calls and those of the standard library.
    """
    shown = traceback.TracebackException.from_exception(error, compact=True)
    for one in _chain(shown):
        one.stack = traceback.StackSummary.from_list(
            [at for at in one.stack if frame_of(at.filename, 0, "").is_foreign]
        )
    return "".join(shown.format()).rstrip("\n")


def _chain(
    shown: traceback.TracebackException | None,
) -> Iterator[traceback.TracebackException]:
    while shown is not None:
        yield shown
        shown = shown.__cause__ or shown.__context__


def _is_news(record: logging.LogRecord) -> bool:
    if record.name in _TOLD_BY_REPLY and record.levelno != logging.WARNING:
        return bool(record.exc_info) and not isinstance((record.exc_info or [0, 0])[1], SeqdError)
    return True


def serve(requests: TextIO, replies: TextIO, stacks: int) -> None:
    """Answer requests until there are no more; `stacks` is where it is told where checks hang."""
    subject: Subject | None = None
    stop = _Stop()
    for line in requests:
        request = REQUEST.validate_json(line)
        stop.is_raised = False
        try:
            if isinstance(request, Load):
                began = time.perf_counter()
                subject = Subject.load(request)
                _send(replies, subject.described(time.perf_counter() - began))
            elif isinstance(request, RunChecks):
                from seqd.testing.checks.child import run_checks

                sys.dont_write_bytecode = False  # what is compiled counts for the next run (I2)
                run_checks(request, lambda report: _send(replies, report), stacks)
                _send(replies, Done())
            elif isinstance(request, Compute) and subject is not None:
                _send(replies, subject.compute(request, stop))
            elif isinstance(request, Learn) and subject is not None:
                _send(replies, subject.train(request, lambda told: _send(replies, told), stop))
        except Exception as error:  # noqa: BLE001  a plugin may raise anything
            _send(replies, _failed(error))


def _failed(error: Exception) -> Failed:
    if isinstance(error, SeqdError):
        return Failed(failure=failure_of(error))
    log.error("the plugin raised", exc_info=error)
    said = f"The plugin raised {sentence_of(error)}"
    return Failed(failure=failure_of(PluginFault(said)))


def _send(replies: TextIO, reply: AnyReply) -> None:
    for stream in (sys.stdout, sys.stderr):  # what was printed comes first
        with suppress(OSError, ValueError):
            stream.flush()
    replies.write(REPLY.dump_json(reply).decode() + "\n")
    replies.flush()


def _set_up_log() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_AuthorsFormatter())
    handler.addFilter(_is_news)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("seqd").setLevel(logging.WARNING)
    logging.getLogger("seqd.models.loading").setLevel(logging.DEBUG)


def main() -> None:
    """Serve the files that the command line names, by their numbers."""
    files = [int(number) for number in sys.argv[1:3]]
    for number in files:
        os.set_inheritable(number, False)  # programs that the plugin starts outlive nothing here
    stacks = os.dup(2)  # printed also while all else is silenced
    faulthandler.enable(stacks)
    # Where the plugin stands: while it takes long to load, and before it is killed.
    faulthandler.register(signal.SIGUSR2, stacks, all_threads=False)
    _set_up_log()
    # A module that is written twice within a second, to the same length, must be compiled twice.
    sys.dont_write_bytecode = True
    with os.fdopen(files[0], encoding="utf-8") as requests, os.fdopen(files[1], "w") as replies:
        serve(requests, replies, stacks)


if __name__ == "__main__":
    main()

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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from seqd.authoring.messages import (
    REPLY,
    REQUEST,
    AnyReply,
    Compute,
    Failed,
    Learn,
    Load,
    Measure,
    Measured,
)
from seqd.authoring.subject import Subject
from seqd.authoring.tracebacks import plugin_traceback
from seqd.authoring.trial_training import trained
from seqd.errors import PluginFault, SeqdError, failure_of
from seqd.worker.faults import sentence_of

log = logging.getLogger(__name__)

#: Loggers whose errors the reply has, too: their tracebacks alone are printed.
_TOLD_BY_REPLY = ("seqd.models.loading", "seqd.worker.outcomes")


#: Standard output and error.
_PRINTED = (1, 2)


class _Stop:
    """Whether the call that goes on is to end."""

    def __init__(self) -> None:
        self._is_raised = False

    def __call__(self) -> bool:
        """True once SIGINT came."""
        return self._is_raised

    def listen(self) -> None:
        """Take SIGINT from now on."""
        signal.signal(signal.SIGINT, lambda number, frame: self._raise())

    def clear(self) -> None:
        """Forget it: the next call begins."""
        self._is_raised = False

    def _raise(self) -> None:
        self._is_raised = True


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
        trace = str(error) if isinstance(error, SeqdError) else plugin_traceback(error)
        return f"{message}\n{trace}" if message else trace


def _is_news(record: logging.LogRecord) -> bool:
    if record.name in _TOLD_BY_REPLY and record.levelno != logging.WARNING:
        return bool(record.exc_info) and not isinstance((record.exc_info or [0, 0])[1], SeqdError)
    return True


def serve(requests: TextIO, replies: TextIO) -> None:
    """Answer requests until there are no more."""
    subject: Subject | None = None
    stop = _Stop()
    stop.listen()
    for line in requests:
        request = REQUEST.validate_json(line)
        stop.clear()
        try:
            if isinstance(request, Load):
                began = time.perf_counter()
                subject = Subject.load(request)
                _send(replies, subject.described(time.perf_counter() - began))
            elif subject is not None:
                for reply in _answers(subject, request, replies, stop):
                    _send(replies, reply)
        except Exception as error:  # noqa: BLE001  a plugin may raise anything
            _send(replies, _failed(error))


def _answers(
    subject: Subject, request: Compute | Measure | Learn, replies: TextIO, stop: _Stop
) -> Iterator[AnyReply]:
    if isinstance(request, Compute):
        yield subject.compute(request, stop)
    elif isinstance(request, Measure):
        with _silence():  # thousands of lines would be measured, too
            yield from subject.measure(request, stop)
        yield Measured()
    else:
        yield trained(subject, request, lambda report: _send(replies, report), stop)


@contextmanager
def _silence() -> Iterator[None]:
    """Have what is printed during the block go nowhere, whoever prints it."""
    sys.stdout.flush()
    kept = [os.dup(number) for number in _PRINTED]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in _PRINTED:
            os.dup2(nowhere, number)
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for number, one in zip(_PRINTED, kept, strict=True):
            os.dup2(one, number)
            os.close(one)
        os.close(nowhere)


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
        serve(requests, replies)


if __name__ == "__main__":
    main()

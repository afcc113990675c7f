"""The exit statuses of all commands, and the one place where an error becomes one.

    0    all went well
    1    a job failed, a plugin broke its contract: nothing that the caller could mend; `seqd
         doctor` found an error
    2    the caller can mend it: a wrong option, file or parameter, items without a result, a
         damaged model, a full Redis
    3    the answer is no: by `models compare --metric` the second version is not better
    69   a worker's device is busy or sick (EX_UNAVAILABLE); a later start may find it well
    71   a worker's device fell off the bus (EX_OSERR)
    75   Redis was away for too long while the command waited for a job, or a worker had not drained
         in the time given: it goes on (EX_TEMPFAIL)
    78   settings of `seqd up` or a worker are wrong, or a slot's device cannot be used (EX_CONFIG);
         no restart can mend that
    130  Ctrl-C
    141  whoever read the output has gone, as after `| head` (the shell's SIGPIPE)
    143  SIGTERM

An exception that nobody foresaw keeps its traceback.
"""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Timer, current_thread, main_thread
from types import FrameType, TracebackType
from typing import NoReturn

from seqd.cli.ui.stdout import stdout
from seqd.errors import JobFailed, KeyDamaged, SeqdError, UserError
from seqd.escaping import printable
from seqd.log_lines import LineFormatter
from seqd.masking import mask_passwords

OK = 0
MISTAKE = UserError.exit_status
NO = 3
BAD_CONFIG = os.EX_CONFIG
INTERRUPTED = 130
UNREAD = 141
TERMINATED = 143


#: Columns below which a terminal is taken for one that does not tell its width.
_LEAST_WIDTH = 20

#: Seconds after which an interrupt that was lost is sent again: what lost it is over by then.
_AGAIN_S = 0.02


class Terminated(KeyboardInterrupt):
    """SIGTERM came: a command takes it as it takes Ctrl-C."""


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Raise Terminated at SIGTERM during a `with` block; in the main thread alone.

    Where the block does not catch it, the command ends without a word: nothing was handed in.
    """
    if current_thread() is not main_thread():
        yield
        return

    came: list[Terminated] = []

    def raise_terminated(number: int, frame: FrameType | None) -> None:
        came.append(Terminated())
        raise came[-1]

    before = signal.signal(signal.SIGTERM, raise_terminated)
    try:
        yield
    except Terminated:
        sys.exit(TERMINATED)
    except SystemExit as end:  # typer takes any KeyboardInterrupt for Ctrl-C
        sys.exit(TERMINATED if came and end.code == INTERRUPTED else end.code)
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def holding_interrupts(raises: Callable[[], bool]) -> Iterator[list[KeyboardInterrupt]]:
    """Hold Ctrl-C and SIGTERM back during a `with` block, but for a second one; in the main thread.

    Yields those that came, to be raised later. One that comes while `raises()` is raised at once.
    """
    came: list[KeyboardInterrupt] = []
    if current_thread() is not main_thread():
        yield came
        return

    def hold(number: int, frame: FrameType | None) -> None:
        is_held = not came and not raises()
        came.append(Terminated() if number == signal.SIGTERM else KeyboardInterrupt())
        if not is_held:
            raise came[-1]

    before = {number: signal.signal(number, hold) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def send_lost_interrupts_again() -> None:
    """Have a Ctrl-C or SIGTERM sent again that was raised where Python can raise nothing.

    So it is while pydantic writes a record, and while an object is freed: Python prints `Exception
    ignored in` there and goes on, and a command would not end.
    """
    tell = sys.unraisablehook

    def send_again(ignored: "sys.UnraisableHookArgs") -> None:
        error = ignored.exc_value
        if not isinstance(error, KeyboardInterrupt):
            tell(ignored)
            return
        number = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
        again = Timer(_AGAIN_S, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    sys.unraisablehook = send_again


def status_of_interrupt(interrupt: KeyboardInterrupt | BrokenPipeError) -> int:
    """Return the exit status for Ctrl-C, SIGTERM or a closed pipe behind the output."""
    if isinstance(interrupt, BrokenPipeError):
        return UNREAD
    return TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED


def end_unread() -> NoReturn:
    """End as a command whose reader has gone; what it has not printed yet goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout().fileno())
    sys.exit(UNREAD)


def run(command: Callable[[], object]) -> int:
    """Run a command to its end and return the exit status, any error of ours printed on stderr.

    SIGTERM ends it as Ctrl-C does.
    """
    try:
        try:
            with _interrupted_by_sigterm():
                command()
        finally:
            with suppress(BrokenPipeError):  # nobody reads it
                stdout().flush()
    except SeqdError as error:
        return print_error(error)
    except Exception as error:
        if "WRONGTYPE" not in str(error):  # as Redis has it
            raise
        return print_error(
            KeyDamaged(
                f"A key of Redis has a value of another type than seqd writes: {error}. Find out "
                "who writes to this Redis, and remove the key: redis-cli del KEY"
            )
        )
    return OK


def escape_stderr() -> None:
    """Have warnings of the log, and errors that nobody foresaw, printed escaped by this process."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(LineFormatter("%(message)s"))
    sys.excepthook = _print_traceback


def print_error(error: SeqdError) -> int:
    """Print an error as `error[code]: message` and return its exit status."""
    message = mask_passwords(printable(_message_of(error)))
    print(_for_terminal(f"error[{_code_of(error)}]: {message}"), file=sys.stderr)  # noqa: T201
    return exit_status_of(error)


def _for_terminal(text: str) -> str:
    """Return a text broken between words for a terminal; as it is for any other stream."""
    try:
        width = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return text  # a pipe or a file, closed, or none at all
    if width < _LEAST_WIDTH:
        return text
    from textwrap import wrap

    lines = text.splitlines()
    # A path or a command that is longer than a line is broken by the terminal, and copied whole.
    parts = (wrap(line, width, break_long_words=False, break_on_hyphens=False) for line in lines)
    return "\n".join("\n".join(part) for part in parts)


def exit_status_of(error: SeqdError) -> int:
    """Return an error's status; a failed job has that of the error that made it fail."""
    code = _code_of(error)
    statuses = {kind.code: kind.exit_status for kind in _kinds(SeqdError)}
    return statuses.get(code, SeqdError.exit_status)


def _print_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    text = "".join(traceback.format_exception(kind, error, trace))
    print(mask_passwords(printable(text)), end="", file=sys.stderr)  # noqa: T201


def _code_of(error: SeqdError) -> str:
    return error.failure.code if isinstance(error, JobFailed) else error.code


def _message_of(error: SeqdError) -> str:
    message = str(error) or (type(error).__doc__ or "").strip()
    return f"job {error.job_id} failed: {message}" if isinstance(error, JobFailed) else message


def _kinds(kind: type[SeqdError]) -> Iterator[type[SeqdError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)

"""The exit statuses of all commands, and the one place where an error becomes one.

    0    all went well
    1    a job failed, a plugin broke its contract: nothing that the caller could mend
    2    the caller can mend it: a wrong option, file or parameter, items without a result, a
         damaged model, a full Redis
    75   Redis was away for too long while the command waited for a job, which goes on
         (EX_TEMPFAIL)
    78   a worker's settings are wrong (EX_CONFIG); no restart can mend that
    130  Ctrl-C

An exception that nobody foresaw keeps its traceback.
"""

import os
import sys
from collections.abc import Callable, Iterator

from seqd.errors import JobFailed, SeqdError, UserError

OK = 0
MISTAKE = UserError.exit_status
BAD_CONFIG = os.EX_CONFIG
INTERRUPTED = 130


def run(command: Callable[[], object]) -> int:
    """Run a command to its end and return the exit status, any error of ours printed on stderr."""
    try:
        command()
    except SeqdError as error:
        return print_error(error)
    return OK


def print_error(error: SeqdError) -> int:
    """Print an error as `error[code]: message` and return its exit status."""
    print(f"error[{_code_of(error)}]: {_message_of(error)}", file=sys.stderr)  # noqa: T201
    return exit_status_of(error)


def exit_status_of(error: SeqdError) -> int:
    """Return an error's status; a failed job has that of the error that made it fail."""
    code = _code_of(error)
    statuses = {kind.code: kind.exit_status for kind in _kinds(SeqdError)}
    return statuses.get(code, SeqdError.exit_status)


def _code_of(error: SeqdError) -> str:
    return error.failure.code if isinstance(error, JobFailed) else error.code


def _message_of(error: SeqdError) -> str:
    message = str(error) or (type(error).__doc__ or "").strip()
    return f"job {error.job_id} failed: {message}" if isinstance(error, JobFailed) else message


def _kinds(kind: type[SeqdError]) -> Iterator[type[SeqdError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)

"""Calls of plugin code: what may come out of them is an outcome or an `Exception`, in one process.

A copy of the process that came back would go on as a second worker, with the leases and connections
of the first; and within a loop over items each would take the rest of them, and be copied again by
the next call. `SystemExit` and its like would end the process that the plugin was called in. An
exception whose text cannot be made would raise another wherever somebody asks what was wrong.
"""

import logging
import os
from contextlib import suppress
from types import TracebackType
from typing import ClassVar

from seqd.errors import PluginForked

log = logging.getLogger(__name__)

#: Causes of an exception that are looked at: its own, theirs, and so on.
_MAX_CAUSES = 4

#: Exit status of a copy of the process that came back from a call.
_COPY_STATUS = 250


class OneProcess:
    """A `with` block that nobody leaves but the process that entered it.

    A copy that was made in it by `os.fork`, and comes to its end, ends there. What `subprocess` and
    `multiprocessing` start never comes so far.
    """

    #: Copies of this process that have ended so.
    copies: ClassVar[int] = 0

    def __enter__(self) -> None:
        """Note which process it is."""
        self._pid = os.getpid()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End a copy; in the process itself, leave none as a zombie."""
        end_copy(self._pid)
        reap_copies()


_FORKED = (
    f"{PluginForked.__doc__} Start programs by subprocess and processes by multiprocessing; a copy "
    "that os.fork() makes ends by os._exit() within the call."
)


def end_copy(pid: int) -> None:
    """End this process where it is a copy of that one."""
    if os.getpid() != pid:
        try:
            log.error("%s: %s", PluginForked.code, _FORKED)
        finally:
            os._exit(_COPY_STATUS)


def reap_copies() -> None:
    """Reap copies that have ended at the end of a call; no other process that a plugin awaits."""
    if not hasattr(os, "waitid"):  # macOS, before Python 3.13
        return
    with suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if (ended.si_code, ended.si_status) != (os.CLD_EXITED, _COPY_STATUS):
                return
            os.waitpid(ended.si_pid, 0)
            OneProcess.copies += 1


class PluginCall(OneProcess):
    """A `with` block around a call of plugin code, out of which nothing comes but an `Exception`.

    One that is none, or whose text or causes' text cannot be read, is replaced by one of the same
    name, with its traceback. A copy of the process ends there.
    """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the call."""
        super().__exit__(kind, error, traceback)
        if error is None:
            return
        if not isinstance(error, Exception) or any(_text_of(one) is None for one in _causes(error)):
            raise _replacement(error).with_traceback(traceback) from None


def text_of(error: BaseException) -> str:
    """Return an exception's text, whatever its `__str__` does."""
    text = _text_of(error)
    return "its text cannot be read" if text is None else text


def said_of(error: BaseException, most_chars: int) -> str:
    """Return an exception's name and text, that cut short; the name alone where it has no text."""
    message = text_of(error)[:most_chars]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _replacement(error: BaseException) -> Exception:
    """Return an exception with the same name, so that messages and logs say what was raised."""
    kind = type(type(error).__name__, (RuntimeError,), {"__module__": type(error).__module__})
    replaced: Exception = kind(text_of(error))
    return replaced


def _text_of(error: BaseException) -> str | None:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001  a plugin's `__str__`
        return None


def _causes(error: BaseException) -> list[BaseException]:
    chain = [error]
    while len(chain) < _MAX_CAUSES and (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    return chain

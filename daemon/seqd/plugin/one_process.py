"""Ends copies of the process that come back from plugin code.

One would go on as a second worker, with the leases and connections of the first; and within a loop
over items each would take the rest of them, and be copied again by the next call.
"""

import logging
import os
from contextlib import suppress
from types import TracebackType
from typing import ClassVar

from seqd.errors import PluginForked

log = logging.getLogger(__name__)

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
        if os.getpid() != self._pid:
            try:
                log.error("%s: %s", PluginForked.code, _FORKED)
            finally:
                os._exit(_COPY_STATUS)
        reap_copies()


_FORKED = (
    f"{PluginForked.__doc__} Start programs by subprocess and processes by multiprocessing; a copy "
    "that os.fork() makes ends by os._exit() within the call."
)


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

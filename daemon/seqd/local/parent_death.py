"""Ends a process when its parent ends, even by `kill -9`; the kernel does it, on Linux only.

Used in two ways. `launch_command` wraps a command line: this very file runs as a small
script that asks the kernel for the signal and then becomes the command, so that any program
can be tied, a Redis server included. `die_with_parent` ties a Python process that is running
already, such as a Celery pool child. Elsewhere than on Linux both change nothing: children
that outlive a killed parent must be ended by hand there.

Not `preexec_fn`: that runs Python between fork and exec, which can deadlock when the parent
has threads. The setting survives exec; the launcher costs 15 ms. As a script this file must
not import seqd: it runs with `-I -S`, without the site-packages.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def die_with_parent(
    parent_pid: int | None = None, death_signal: signal.Signals = signal.SIGKILL
) -> bool:
    """Have the kernel send `death_signal` to this process when its parent ends.

    `parent_pid`, where it is known, closes the gap between the start and this call: if the
    parent is gone by now, this process sends itself the signal. Strictly, it is the parent's
    *thread* that counts: a process started from a thread ends with that thread. Not
    inherited by children. Gives False where the system cannot do it.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    if parent_pid is not None and os.getppid() != parent_pid:
        os.kill(os.getpid(), death_signal)
    return True


def copies_die_with_me() -> None:
    """Have each copy that `os.fork` makes of this process in its main thread end when it ends.

    Also what `multiprocessing` forks; not copies by another thread, with which they would end.
    """
    if not sys.platform.startswith("linux"):
        return
    import threading  # not for the launcher

    prctl = ctypes.CDLL(None).prctl  # a copy must load no library: another thread may have the lock
    forking = {"pid": 0}

    def note() -> None:
        is_main = threading.get_native_id() == os.getpid()
        forking["pid"] = os.getpid() if is_main else 0

    def tie() -> None:
        if forking["pid"]:
            prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            if os.getppid() != forking["pid"]:
                os._exit(1)

    os.register_at_fork(before=note, after_in_child=tie)


def launch_command(
    command: Sequence[str], death_signal: signal.Signals = signal.SIGKILL
) -> list[str]:
    """Wrap `command`, to be started by this process, so that it ends with this process.

    The started process keeps its pid through the wrapping. It must be started by a thread
    that lives as long as it should.
    """
    launcher = [sys.executable, "-I", "-S", __file__]
    return [*launcher, str(os.getpid()), str(int(death_signal)), *command]


def _launch(arguments: Sequence[str]) -> None:
    parent_pid, death_signal, *command = arguments
    die_with_parent(int(parent_pid), signal.Signals(int(death_signal)))
    try:
        os.execv(command[0], command)  # noqa: S606 (no shell is wanted)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be started: {error}")


if __name__ == "__main__":
    _launch(sys.argv[1:])

"""A child process of this machine: started, logged, asked to end, killed with its group."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Self

from seqd.errors import InvalidSettings
from seqd.local.log_file import DEFAULT_LIMITS, LogLimits, LogPipe, RotatingLog
from seqd.local.parent_death import launch_command
from seqd.settings import Settings

#: Seconds between two looks whether it has ended.
_POLL_S = 0.05

#: What is read back at most to show a log's end.
_TAIL_BYTES = 16 * 1024


def log_path(folder: Path, slot: str) -> Path:
    """Name the log of a slot: `train@cpu` writes `train-cpu.log`."""
    return folder / f"{re.sub('[^A-Za-z0-9_]+', '-', slot)}.log"


#: What messages call the log of a worker that `seqd up` did not start.
WORKER_OUTPUT = "the worker's output"


def log_place(settings: Settings, slot: str, host: str) -> str:
    """Return where the log of a worker is: the file that `seqd up` writes, or its output.

    Callers of jobs read it, whom the folders of this machine do not concern.
    """
    if not settings.supervised:
        return WORKER_OUTPUT
    return f"the log {log_path(Path('logs'), slot)} in SEQD_DATA_DIR on {host}"


def make_folder(folder: Path, mode: int | None = None) -> None:
    """Make a folder of SEQD_DATA_DIR; raises InvalidSettings where that is not possible."""
    try:
        folder.mkdir(mode=0o777 if mode is None else mode, parents=True, exist_ok=True)
        if mode is not None:
            folder.chmod(mode)
    except OSError as error:
        raise InvalidSettings(
            f"SEQD_DATA_DIR is {folder.parent}, where {folder} cannot be made ({error.strerror}): "
            "set it to a folder that this user may write."
        ) from None


def last_lines(path: Path, count: int, since_byte: int = 0) -> list[str]:
    """Return up to `count` last lines that were written behind byte `since_byte`."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(since_byte, end - _TAIL_BYTES))
        text = file.read().decode("utf-8", errors="replace")
    return text.splitlines()[-count:]


def end_in_words(status: int) -> str:
    """Return how a process ended, by its exit status, such as `killed by SIGKILL`."""
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"status {status}"


class Child:
    """A started worker."""

    def __init__(
        self,
        worker_id: str,
        program: subprocess.Popen[bytes],
        log: Path,
        output: LogPipe,
        log_start: int,
    ) -> None:
        self.worker_id = worker_id
        self.pid = program.pid
        #: When it was started, by the clock of who restarts it.
        self.started_s = 0.0
        self.is_ready = False
        self._program = program
        self.log = log
        self._output = output
        #: Where its lines begin, while the file is the one that it began in.
        self._log_start = log_start

    @classmethod
    def start(
        cls,
        worker_id: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        limits: LogLimits = DEFAULT_LIMITS,
    ) -> Self:
        """Start a worker, which ends with this process even if that is killed."""
        file = RotatingLog(log, limits)
        start_byte = file.size
        output = LogPipe(file)
        try:
            program = subprocess.Popen(  # noqa: S603 (our own command, no shell)
                # SIGKILL: with an embedded server gone too, a drain would wait for nothing.
                launch_command(command, signal.SIGKILL),
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output.writer,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            output.close_writer()
        return cls(worker_id, program, log, output, start_byte)

    def has_ended(self) -> bool:
        """True when it has ended; what was left of its group has been killed then."""
        if self._program.returncode is not None:
            return True
        if not self._leader_has_ended():
            return False
        self._signal_group(signal.SIGKILL)
        self._program.wait()
        self._output.finish()
        return True

    def exit_status(self) -> int:
        """Its status; minus the signal's number when a signal ended it. Only once it ended."""
        status = self._program.returncode
        if status is None:
            raise RuntimeError(f"worker {self.worker_id} still runs")
        return int(status)

    def was_killed(self) -> bool:
        """True when a signal ended it. Only once it ended."""
        return self.exit_status() < 0

    def end_in_words(self) -> str:
        """How it ended, such as `killed by SIGKILL`."""
        status = self.exit_status()
        if status == os.EX_UNAVAILABLE:
            return f"status {status}: its device is sick or busy"
        if status == os.EX_OSERR:
            return f"status {status}: its device is lost"
        return end_in_words(status)

    def ask_to_end(self) -> None:
        """Send SIGTERM to the worker alone; it takes care of its pool child itself."""
        if self._program.returncode is None:
            # Not Popen.send_signal, which would reap it before its group is killed.
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the worker and whatever it started, and wait for its end."""
        if self._program.returncode is None:
            self._signal_group(signal.SIGKILL)
            self._program.wait()
            self._output.finish()

    def end_within(self, seconds: float) -> None:
        """Ask it to end, wait for that, and kill it where it has not ended in time."""
        self.ask_to_end()
        deadline_s = monotonic() + seconds
        while not self.has_ended() and monotonic() < deadline_s:
            sleep(_POLL_S)
        self.kill()

    def log_tail(self, lines: int) -> str:
        """The last lines that this worker itself wrote."""
        start = 0 if self._output.rotations else self._log_start
        return "\n".join(last_lines(self.log, lines, since_byte=start))

    def _leader_has_ended(self) -> bool:
        if not hasattr(os, "waitid"):  # macOS before Python 3.13.
            return self._program.poll() is not None
        # WNOWAIT keeps the dead leader's pid taken, so the group's name cannot be another's.
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, options) is not None

    def _signal_group(self, number: signal.Signals) -> None:
        # macOS refuses a group that has only dead members left; Linux knows none as missing.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


#: Seconds between a death and the next start, which double with each death in a row.
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0

#: Seconds of life after which a death counts as the first one.
FORGIVEN_AFTER_S = 60.0


def deaths_in_a_row(
    before: int, lived_s: float, *, was_ready: bool = False, by_signal: bool = False
) -> int:
    """Count a death: one more than `before`, or the first where it is forgiven.

    So is one that took work and was then ended by a signal, such as the out-of-memory killer's. It
    had started well, and a start of seconds before each such death keeps the slot from spinning. A
    worker that dies while it starts, or that ends itself each time, is the one to wait longer and
    longer for.
    """
    is_forgiven = lived_s >= FORGIVEN_AFTER_S or (was_ready and by_signal)
    return 1 if is_forgiven else before + 1


def restart_wait_s(deaths: int) -> float:
    """Return the seconds to wait after the given number of deaths in a row, from 1."""
    # 2 ** 30 s is beyond any limit, and the power stays a small number.
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(deaths - 1, 30))

"""One worker as an operating-system process: started, asked to end, killed with its group.

Knows nothing of restarts, which are `supervisor`'s. A worker leads a process group (and
session) of its own: a terminal's Ctrl-C does not reach it, and killing the group leaves no
pool child behind.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from seqd.supervisor.logs import last_lines, open_log
from seqd.supervisor.parent_death import launch_command


class Child:
    """A started worker."""

    def __init__(self, worker_id: str, program: subprocess.Popen[bytes], log: Path) -> None:
        self.worker_id = worker_id
        self.pid = program.pid
        self.started_at_s = time.monotonic()
        self.is_ready = False
        self._program = program
        self.log = log
        self._log_start = log.stat().st_size

    @classmethod
    def start(
        cls, worker_id: str, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> Self:
        """Start a worker, which ends with this process even if that is killed."""
        with open_log(log) as output:
            program = subprocess.Popen(  # noqa: S603 (our own command, no shell)
                # SIGKILL: with an embedded server gone too, a drain would wait for nothing.
                launch_command(command, signal.SIGKILL),
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(worker_id, program, log)

    def age_s(self) -> float:
        """Seconds since its start."""
        return time.monotonic() - self.started_at_s

    def has_ended(self) -> bool:
        """True when it has ended; what was left of its group has been killed then."""
        if self._program.returncode is not None:
            return True
        if not self._leader_has_ended():
            return False
        self._signal_group(signal.SIGKILL)
        self._program.wait()
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
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"status {status}"

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

    def log_tail(self, lines: int) -> str:
        """The last lines that this worker itself wrote."""
        return "\n".join(last_lines(self.log, lines, since_byte=self._log_start))

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

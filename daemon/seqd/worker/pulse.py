"""The pulse of a worker's child: a file that its own thread writes anew at each beat.

It proves that Python runs there, and needs no Redis. `doorbell` starts the thread in the child;
`watchdog` feels the pulse in the parent, and `seqd worker --alive` for an operator's probe. It
says nothing of progress: that is `leases`' to judge.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Self

from seqd.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Beat:
    """One beat. Two beats are equal only if they are the same one."""

    pid: int
    #: On the monotonic clock, which all processes of a machine share, and no other machine does.
    at_s: float

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what `Pulse` wrote."""
        pid, at_s = text.split()
        return cls(int(pid), float(at_s))

    def written(self) -> str:
        """Give what `read` reads."""
        return f"{self.pid} {self.at_s}"


class Pulse:
    """The file, for who writes it and who reads it."""

    def __init__(self, settings: Settings, worker: str) -> None:
        self._path = settings.data_dir / "run" / f"{worker.replace('/', '_')}.beat"
        self._every_s = settings.heartbeat_s

    def start(self) -> None:
        """Beat now, and from a thread of this process as long as it lives."""
        self._beat()
        Thread(target=self._keep_beating, name="seqd-pulse", daemon=True).start()

    def last(self) -> Beat | None:
        """Give the last beat; None before the first one and after the worker's end."""
        try:
            return Beat.read(self._path.read_text())
        except FileNotFoundError:
            return None

    def forget(self) -> None:
        """Take the file away; done at boot and when the node has stopped."""
        self._path.unlink(missing_ok=True)

    def _keep_beating(self) -> None:
        while True:
            sleep(self._every_s)
            try:
                self._beat()
            except OSError as error:
                # Such as a full disk: without a beat for long, this child is given up.
                log.warning("no beat written to %s: %s", self._path, error)

    def _beat(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beat = Beat(os.getpid(), monotonic())
        aside = Path(f"{self._path}.{beat.pid}")
        aside.write_text(beat.written())
        aside.replace(self._path)


def vital_sign(settings: Settings, worker: str) -> tuple[bool, str]:
    """Say whether a worker of this machine lives, and the sentence for a person.

    It does while its last beat is at most `lease_s` old: later its work is another's anyway.
    """
    beat = Pulse(settings, worker).last()
    if beat is None:
        return False, (
            f"No worker {worker} beats in {settings.data_dir / 'run'}: it has not started yet, it "
            "has ended, or it has another SEQD_DATA_DIR or --name."
        )
    age_s = monotonic() - beat.at_s
    said = f"Worker {worker}, process {beat.pid}, beat {age_s:.1f} s ago"
    if 0 <= age_s <= settings.lease_s:
        return True, f"{said}."
    return False, f"{said}; allowed: {settings.lease_s:g} s (SEQD_LEASE_S)."

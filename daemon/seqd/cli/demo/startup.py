"""Waits for the workers of the demo, for as long as they start; says why where they do not."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Thread

from seqd.errors import InvalidSettings, WorkersNotReady
from seqd.local.child import last_lines
from seqd.local.slots import Slot
from seqd.local.supervisor import Change, WorkerChange

#: Workers import the plugins and nothing heavier, which takes seconds. At a load of 30 on two
#: processors it took 223 s.
LIMIT_S = 900.0
#: The same where one of them has died, which another follows.
DEATH_LIMIT_S = 90.0
SAY_AFTER_S = 20.0

_POLL_S = 0.05
_LOG_LINES = 8


class Startup:
    """The workers that a supervisor starts, until each has been reported ready."""

    def __init__(
        self,
        slots: Sequence[Slot],
        say: Callable[[str], None],
        *,
        limit_s: float = LIMIT_S,
        say_after_s: float = SAY_AFTER_S,
    ) -> None:
        """`say` gets a sentence when they take long."""
        self._missing = {slot.name for slot in slots}
        self._say = say
        self._limit_s, self._say_after_s = limit_s, say_after_s
        self._ready = Event()
        self._fault = ""
        self._has_given_up = False
        self._logs: Path | None = None

    def update(self, change: WorkerChange) -> None:
        """Note a change; runs in the supervisor's thread."""
        self._logs = change.log.parent
        if change.change is Change.READY:
            self._missing.discard(change.slot)
        elif change.change in (Change.GAVE_UP, Change.DIED, Change.LOST):
            end = "\n".join(last_lines(change.log, _LOG_LINES))
            self._fault = f" The one on {change.slot} {change.change}. Its log ends with:\n{end}\n"
            self._has_given_up |= change.change is Change.GAVE_UP
        if not self._missing:
            self._ready.set()

    def wait_until_ready(self, supervisor: Thread) -> None:
        """Return once every slot's worker is ready.

        Raises InvalidSettings where one has given up, WorkersNotReady after `limit_s`, sooner where
        one has died; their logs are kept.
        """
        began_s, is_told = time.monotonic(), False
        while not self._ready.wait(_POLL_S):
            waited_s = time.monotonic() - began_s
            limit_s = min(self._limit_s, DEATH_LIMIT_S) if self._fault else self._limit_s
            if self._has_given_up or not supervisor.is_alive() or waited_s > limit_s:
                raise self._failed(waited_s)
            if waited_s > self._say_after_s and not is_told:
                is_told = True
                self._say(
                    f"The workers on {self._named()} are still starting after {waited_s:.0f} s; "
                    f"{_load()}. They are waited for, up to {self._limit_s:.0f} s."
                )

    def _failed(self, waited_s: float) -> InvalidSettings | WorkersNotReady:
        kept = tempfile.mkdtemp(prefix="seqd-demo-logs-")
        if self._logs is not None:
            shutil.copytree(self._logs, kept, dirs_exist_ok=True)
        said = (
            f"the workers on {self._named()} did not get ready within {waited_s:.0f} s; {_load()}."
            f"{self._fault} Their logs are kept in {kept}."
        )
        if self._has_given_up:
            return InvalidSettings(said)
        return WorkersNotReady(
            f"{said} Try again when the machine is less busy, or with one worker: SEQD_SLOTS=cpu:0."
        )

    def _named(self) -> str:
        return ", ".join(sorted(self._missing))


def _load() -> str:
    return f"the load of this machine is {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"

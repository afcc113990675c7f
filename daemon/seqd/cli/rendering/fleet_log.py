"""What `seqd up` shows: a line for each thing that happens to a worker, and when all are ready."""

import time
from collections.abc import Sequence

from seqd.cli.rendering.screen import Screen
from seqd.local import Change, WorkerChange
from seqd.local.slots import Slot

_STYLES = {
    Change.READY: "green",
    Change.DIED: "red",
    Change.GAVE_UP: "bold red",
    Change.KILLED: "red",
}


class FleetLog:
    """Prints the workers' changes. Only the supervisor's thread calls `show`."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.slots = slots
        self._screen = Screen()
        self._width = max(len(slot.name) for slot in slots)
        self._ready: set[str] = set()
        self._began_s: float | None = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line."""
        self._screen.say(text)

    def show(self, change: WorkerChange) -> None:
        """Print a change, and once that each slot's worker has become ready."""
        self._screen.say(self._line(change), _STYLES.get(change.change, ""))
        if change.change is Change.READY:
            self._ready.add(change.slot)
            self._tell_when_all_are_ready()
        else:
            self._ready.discard(change.slot)

    def _tell_when_all_are_ready(self) -> None:
        if self._began_s is None or len(self._ready) < len(self.slots):
            return
        seconds = time.monotonic() - self._began_s
        self._screen.say(f"Ready after {seconds:.1f} s. Ctrl-C stops it.", "bold")
        self._began_s = None

    def _line(self, change: WorkerChange) -> str:
        line = f"{change.slot:<{self._width}}  {change.change:<8} pid {change.pid}"
        if change.change is Change.STARTED and change.starts > 1:
            line += f", start {change.starts}"
        if change.detail and change.change is not Change.STOPPED:
            # Of the log of a worker that gave up, the last line has the reason.
            line += f": {change.detail.splitlines()[-1]}"
        if change.change in (Change.DIED, Change.GAVE_UP):
            line += f" (log: {change.log})"
        return line

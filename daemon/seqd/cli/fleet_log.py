"""`FleetLog` prints what happens to the workers of `seqd up` and to its Redis."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from seqd.cli.ui.screen import Screen
from seqd.kinds import TRAIN
from seqd.local.redis_watchdog import ServerChange, ServerEvent
from seqd.local.slots import Slot
from seqd.local.supervisor import Change, WorkerChange
from seqd.targets import unknown_served
from seqd_schemas import (
    ChildDeath,
    DeathCause,
    ModelReference,
    PluginState,
    WorkerState,
    WorkerStatus,
)

_STYLES = {
    Change.READY: "green",
    Change.DIED: "red",
    Change.LOST: "bold red",
    Change.GAVE_UP: "bold red",
    Change.KILLED: "red",
    Change.DRAINED: "yellow",
    Change.KEPT: "red",
}

#: Changes after which nothing more is waited for on a slot.
_SETTLED = (Change.READY, Change.DRAINED, Change.KEPT)


_SERVER_STYLES = {
    ServerEvent.READY: "green",
    ServerEvent.DIED: "red",
    ServerEvent.FAILED: "bold red",
    ServerEvent.SILENT: "yellow",
}


@dataclass(slots=True)
class Troubles:
    """What workers say that they cannot run, and what of it has been told."""

    _told: dict[str, str] = field(default_factory=dict)

    def news(self, workers: Sequence[WorkerStatus]) -> tuple[list[str], list[str]]:
        """Return what is new, and what is over, as lines.

        The workers of one machine have the same plugins: a broken one is told once, by its reason.
        What a worker cannot run is told for each slot. A worker that starts has not found out yet.
        """
        now = {key: line for worker in workers for key, line in _troubles_of(worker).items()}
        new = [line for key, line in now.items() if key not in self._told]
        slots = {one.slot for one in workers if one.state is not WorkerState.STARTING}
        over = [
            line
            for key, line in self._told.items()
            if key not in now and key.partition(" ")[0] in slots
        ]
        kept = {key: line for key, line in self._told.items() if line not in over}
        self._told = {**kept, **now}
        return new, over


def _troubles_of(worker: WorkerStatus) -> dict[str, str]:
    """Return the lines of a worker's troubles, each with a key that stays while it lasts."""
    broken = {
        f"plugin {plugin.name} {plugin.reason}": f"plugin {plugin.name} is broken: {plugin.reason}"
        for plugin in worker.plugins
        if plugin.state is PluginState.BROKEN
    }
    unfit = {}
    for entry in worker.unfit:
        what = entry.model if entry.version is None else ModelReference(entry.model, entry.version)
        act = TRAIN if entry.version is None else "run"
        unfit[f"{worker.slot} {what} {entry.code}"] = (
            f"{worker.slot} cannot {act} {what}: {entry.message or entry.code}"
        )
    return {**broken, **unfit}


def _told(death: ChildDeath) -> str:
    if death.cause is DeathCause.WORKER_KILLED:
        return f"{'killed':<8} parent, and child pid {death.pid} with it: {death.message}"
    return f"{'child':<8} pid {death.pid} died, {death.cause}: {death.message}"


class FleetLog:
    """Prints a line for each change of a worker. Only the supervisor's thread calls `show`."""

    def __init__(self, slots: Sequence[Slot], served: Sequence[str] = ()) -> None:
        """`served` are the models that the workers are to serve, all where there are none."""
        self.slots = slots
        self._served = served
        self._screen = Screen()
        self._width = max(len(slot.name) for slot in slots)
        self._ready: set[str] = set()
        self._troubles = Troubles()
        #: By slot, when the last death was that was told. A worker has those of the ones before it.
        self._told_deaths_ms: dict[str, int] = {}
        self._began_ms = int(time.time() * 1_000)
        self._began_s: float | None = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line."""
        self._screen.say(text)

    def show(self, change: WorkerChange) -> None:
        """Print a change, and once that each slot's worker has become ready."""
        self._screen.say(self._line(change), _STYLES.get(change.change, ""))
        if change.change in _SETTLED:
            self._ready.add(change.slot)
            self._say_when_all_are_ready()
        else:
            self._ready.discard(change.slot)

    def show_troubles(self, workers: Sequence[WorkerStatus]) -> None:
        """Print what is new since the last call.

        That is which processes of workers have died, what these cannot run, and what they can
        again.
        """
        for worker in workers:
            self._show_deaths(worker)
        new, over = self._troubles.news(workers)
        for line in new:
            self._screen.say(line, "red")
        for line in over:
            self._screen.say(f"over: {line}", "green")
        if not any(one.state is WorkerState.STARTING for one in workers):
            self._show_unknown_served(workers)

    def _show_unknown_served(self, workers: Sequence[WorkerStatus]) -> None:
        """Print once which names to be served no model has that workers know of."""
        if workers:
            known = {name for one in workers for name in (*one.versions, *one.left_out)}
            known |= {name for one in workers for plugin in one.plugins for name in plugin.models}
            for line in unknown_served(self._served, known):
                self._screen.say(line, "yellow")
            self._served = ()

    def show_server(self, change: ServerChange) -> None:
        """Print a change of the embedded server."""
        line = f"{'redis':<{self._width}}  {change.event:<8} pid {change.pid}: {change.detail}"
        if change.event is not ServerEvent.READY:
            line += f" (log: {change.log})"
        self._screen.say(line, _SERVER_STYLES[change.event])

    def _show_deaths(self, worker: WorkerStatus) -> None:
        """Print the deaths since the last call, at first those since the log began.

        At first also the last one before, where a worker was killed as a whole. Others may have
        ended in order since.
        """
        told_ms = self._told_deaths_ms.get(worker.slot)
        if told_ms is None:
            told_ms = self._began_ms - (
                worker.clock_offset_ms or 0
            )  # deaths have the server's time
            earlier = [one for one in worker.deaths if one.at_ms <= told_ms]
            if earlier and earlier[-1].cause is DeathCause.WORKER_KILLED:
                told_ms = earlier[-1].at_ms - 1
        for death in worker.deaths:
            if death.at_ms > told_ms:
                self._screen.say(f"{worker.slot:<{self._width}}  {_told(death)}", "red")
                told_ms = death.at_ms
        self._told_deaths_ms[worker.slot] = told_ms

    def _say_when_all_are_ready(self) -> None:
        if self._began_s is None or len(self._ready) < len(self.slots):
            return
        seconds = time.monotonic() - self._began_s
        self._screen.say(f"Ready after {seconds:.1f} s. Ctrl-C stops it.", "bold")
        self._began_s = None

    def _line(self, change: WorkerChange) -> str:
        line = f"{change.slot:<{self._width}}  {change.change:<8}"
        line = f"{line} pid {change.pid}" if change.pid else line.rstrip()
        if change.change is Change.STARTED and change.starts > 1:
            line += f", start {change.starts}"
        if change.detail and change.change not in (Change.STOPPED, Change.REPLACED):
            # Of the log of a worker that gave up, the last line has the reason.
            line += f": {change.detail.splitlines()[-1]}"
        if change.change in (Change.DIED, Change.LOST, Change.GAVE_UP, Change.KEPT):
            line += f" (log: {change.log})"
        return line

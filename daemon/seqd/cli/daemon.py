"""`Daemon` connects the supervisor of this machine's workers to the ledger; `FleetLog` prints them.

The supervisor has no access to the ledger. `Daemon` tells it when a worker is ready, and releases a
dead worker's leases, so that other workers claim its units before the leases run out. While Redis
is away it waits with both, and the watchdog of an embedded server brings that back.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from seqd.cli.ui.screen import Screen
from seqd.errors import RedisFull, RedisUnreachable
from seqd.ledger import Ledger, connect
from seqd.ledger.wakeup import Wakeup
from seqd.local.redis_server import EmbeddedServer
from seqd.local.redis_watchdog import RedisWatchdog, ServerChange, ServerEvent
from seqd.local.slots import Slot
from seqd.local.supervisor import Change, OnChange, Supervisor, WorkerChange
from seqd.settings import Settings
from seqd_schemas import ModelReference, PluginState, WorkerState, WorkerStatus

log = logging.getLogger(__name__)

#: Seconds between two looks at the workers' records, of all starting workers together.
_LOOK_S = 0.25

#: Seconds without an answer from Redis after which a call is given up: signals wait for it.
_TIMEOUT_S = 3.0

#: Seconds between two tries to release the leases of dead workers.
_RELEASE_EVERY_S = 1.0

_STYLES = {
    Change.READY: "green",
    Change.DIED: "red",
    Change.GAVE_UP: "bold red",
    Change.KILLED: "red",
}

_SERVER_STYLES = {
    ServerEvent.READY: "green",
    ServerEvent.DIED: "red",
    ServerEvent.FAILED: "bold red",
    ServerEvent.SILENT: "yellow",
}


#: Gets the records of workers.
OnLook = Callable[[Sequence[WorkerStatus]], None]


class Daemon:
    """Workers on `slots`, on a Redis server that runs. Runs once."""

    def __init__(
        self,
        settings: Settings,
        redis_url: str,
        slots: Sequence[Slot],
        on_change: OnChange,
        *,
        watchdog: RedisWatchdog | None = None,
        on_look: OnLook = lambda workers: None,
    ) -> None:
        """`watchdog` is that of an embedded server, which then ends with the thread of `run`.

        `on_look` gets the records of the workers that are ready here, each time they are read.
        """
        # One retry: while the server is away, signals and restarts must not wait for it.
        redis = connect(redis_url, retries=1, timeout_s=_TIMEOUT_S)
        self._ledger = Ledger(redis, settings, Wakeup(redis_url, settings).notify)
        self._watchdog = watchdog
        self._on_change = on_change
        self._on_look = on_look
        self._look_every_s = settings.heartbeat_s
        self._looked_at_s = self._released_at_s = float("-inf")
        #: False since the last look failed.
        self._is_reached = True
        #: Workers of ours that run and have been ready.
        self._started: set[str] = set()
        self._workers: Mapping[str, WorkerStatus] = {}
        #: Workers that died and whose leases are to be released.
        self._dead: list[str] = []
        self._supervisor = Supervisor(
            settings,
            redis_url,
            slots,
            on_change=self._note_change,
            on_worker_death=self._note_death,
            is_ready=self._is_ready,
            periodic_task=self._look_around,
        )

    def check_server(self) -> None:
        """Raise RedisUnreachable or RedisRefused, before workers are started in vain."""
        self._ledger.fleet.now_ms()

    def run(self) -> int:
        """Run the workers until a signal or `stop`; return the exit status. See `Supervisor`."""
        return self._supervisor.run()

    def stop(self) -> None:
        """Request the end of all workers; safe from any thread."""
        self._supervisor.request_stop()

    def _look_around(self) -> None:
        if self._watchdog is not None:
            self._watchdog.look()
        now_s = time.monotonic()
        if self._dead and now_s - self._released_at_s >= _RELEASE_EVERY_S:
            self._release_leases()
        if now_s - self._looked_at_s >= self._look_every_s and self._redis_is_up():
            self._look()

    def _note_change(self, change: WorkerChange) -> None:
        if change.change is Change.READY:
            self._started.add(change.worker_id)
            self._on_look(self._ours())
        else:
            self._started.discard(change.worker_id)
        self._on_change(change)

    def _redis_is_up(self) -> bool:
        return self._watchdog is None or self._watchdog.is_up

    def _is_ready(self, worker_id: str) -> bool:
        now_s = time.monotonic()
        if now_s - self._looked_at_s >= _LOOK_S and self._redis_is_up():
            self._look()
        status = self._workers.get(worker_id)
        return status is not None and status.state in (WorkerState.READY, WorkerState.BUSY)

    def _look(self) -> None:
        """Read what workers say of themselves, and pass on what ours do."""
        self._looked_at_s = time.monotonic()
        try:
            workers = self._ledger.fleet.workers()
        except (RedisUnreachable, RedisFull) as error:
            if self._is_reached:  # one line for an outage, however long it takes
                log.warning("cannot see how the workers are: %s", error)
            self._is_reached = False
            return
        self._is_reached = True
        self._workers = {worker.worker: worker for worker in workers}
        self._on_look(self._ours())

    def _ours(self) -> list[WorkerStatus]:
        return [self._workers[name] for name in sorted(self._started & self._workers.keys())]

    def _note_death(self, worker_id: str) -> None:
        self._dead.append(worker_id)
        self._release_leases()

    def _release_leases(self) -> None:
        """Release what dead workers held; what Redis does not take now is tried again."""
        self._released_at_s = time.monotonic()
        while self._dead and self._redis_is_up():
            worker_id = self._dead[0]
            try:
                self._ledger.work.release_worker(worker_id, crashed=True)
                self._ledger.fleet.forget_worker(worker_id)
            except (RedisUnreachable, RedisFull) as error:
                log.warning("leases of %s not released yet: %s", worker_id, error)
                return
            self._dead.pop(0)


def watchdog_of(
    server: EmbeddedServer | None, on_change: Callable[[ServerChange], None]
) -> RedisWatchdog | None:
    """Return the watchdog of an embedded server; None of a server that runs elsewhere."""
    return None if server is None else RedisWatchdog(server, on_change)


@dataclass(slots=True)
class Troubles:
    """What workers say that they cannot run, and what of it has been told."""

    _told: dict[str, str] = field(default_factory=dict)

    def news(self, workers: Sequence[WorkerStatus]) -> tuple[list[str], list[str]]:
        """Return what is new, and what is over, as lines.

        The workers of one machine have the same plugins: a broken one is told once, by its reason.
        What a worker cannot run is told for each slot.
        """
        now = {key: line for worker in workers for key, line in _troubles_of(worker).items()}
        new = [line for key, line in now.items() if key not in self._told]
        slots = {worker.slot for worker in workers}
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
        act = "train" if entry.version is None else "run"
        unfit[f"{worker.slot} {what} {entry.code}"] = (
            f"{worker.slot} cannot {act} {what}: {entry.message or entry.code}"
        )
    return {**broken, **unfit}


class FleetLog:
    """Prints a line for each change of a worker. Only the supervisor's thread calls `show`."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.slots = slots
        self._screen = Screen()
        self._width = max(len(slot.name) for slot in slots)
        self._ready: set[str] = set()
        self._troubles = Troubles()
        self._began_s: float | None = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line."""
        self._screen.say(text)

    def show(self, change: WorkerChange) -> None:
        """Print a change, and once that each slot's worker has become ready."""
        self._screen.say(self._line(change), _STYLES.get(change.change, ""))
        if change.change is Change.READY:
            self._ready.add(change.slot)
            self._say_when_all_are_ready()
        else:
            self._ready.discard(change.slot)

    def show_troubles(self, workers: Sequence[WorkerStatus]) -> None:
        """Print what workers cannot run since the last call, and what they can again."""
        new, over = self._troubles.news(workers)
        for line in new:
            self._screen.say(line, "red")
        for line in over:
            self._screen.say(f"over: {line}", "green")

    def show_server(self, change: ServerChange) -> None:
        """Print a change of the embedded server."""
        line = f"{'redis':<{self._width}}  {change.event:<8} pid {change.pid}: {change.detail}"
        if change.event is not ServerEvent.READY:
            line += f" (log: {change.log})"
        self._screen.say(line, _SERVER_STYLES[change.event])

    def _say_when_all_are_ready(self) -> None:
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

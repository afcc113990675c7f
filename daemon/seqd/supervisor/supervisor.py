"""Keeps one worker alive on each slot: what `seqd up` runs.

Three stages, a method each: startup, main loop, shutdown. It starts programs and watches
their ends; it knows neither Celery nor the ledger. What must happen when a worker dies comes
in as functions.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seqd.settings import Settings
from seqd.slots import Slot
from seqd.supervisor.changes import Change, OnChange, WorkerChange
from seqd.supervisor.child import Child
from seqd.supervisor.environment import new_worker_id, worker_command, worker_environment
from seqd.supervisor.logs import log_path, make_log_folder
from seqd.supervisor.restarts import RestartPolicy
from seqd.supervisor.signals import StopRequests

#: A worker's status for settings that no restart can mend; EX_CONFIG of sysexits.h.
CONFIG_EXIT_STATUS = os.EX_CONFIG

#: Seconds that workers have to finish their unit and give back the rest.
GRACE_S = 30.0

#: Longest wait between two looks; the end of a child wakes the loop at once.
_LOOK_S = 0.25
_LOG_LINES = 8

CommandFactory = Callable[[Slot, str], Sequence[str]]


@dataclass(slots=True)
class _Place:
    """A slot and what runs on it."""

    slot: Slot
    child: Child | None = None
    starts: int = 0
    deaths_in_a_row: int = 0
    #: When to start a worker again, on the monotonic clock; None while one runs, or for good.
    due_s: float | None = None


class Supervisor:
    """Starts, watches, restarts and stops the workers of this machine.

    `command(slot, worker_id)` gives a worker's command line. `on_change` is told whatever
    happens. `on_worker_death(worker_id)` is called after a worker ended in any other way than
    by itself on request, and its process group was killed: its leases can be given back at
    once. `is_ready(worker_id)` is asked about a started worker, a few times a second, until
    it takes work. `chore()` is called a few times a second between startup and shutdown, such
    as to revive an embedded server. What these raise ends the supervisor, after every worker
    was stopped.
    """

    def __init__(
        self,
        settings: Settings,
        redis_url: str,
        slots: Sequence[Slot],
        *,
        on_change: OnChange = lambda change: None,
        on_worker_death: Callable[[str], None] = lambda worker_id: None,
        is_ready: Callable[[str], bool] = lambda worker_id: True,
        chore: Callable[[], object] = lambda: None,
        command: CommandFactory = worker_command,
        restarts: RestartPolicy = RestartPolicy(),  # noqa: B008 (frozen)
        grace_s: float = GRACE_S,
    ) -> None:
        self._settings = settings
        self._redis_url = redis_url
        self._places = [_Place(slot) for slot in slots]
        self._on_change = on_change
        self._on_worker_death = on_worker_death
        self._is_ready = is_ready
        self._chore = chore
        self._command = command
        self._restarts = restarts
        self._grace_s = grace_s
        self._stop = StopRequests()

    def run(self) -> int:
        """Run until SIGTERM, SIGINT, SIGHUP or `request_stop`; the second one forces.

        Gives 0, or EX_CONFIG (78) when every worker gave up. Runs once. Call it in the main
        thread: elsewhere signals are not seen, and the workers end with that thread.
        """
        with self._stop:
            try:
                self._start_up()
                self._main_loop()
            finally:
                self._shut_down()
        return 0 if self._stop.count else CONFIG_EXIT_STATUS

    def request_stop(self) -> None:
        """Do what a signal does; safe from any thread."""
        self._stop.add()

    def _start_up(self) -> None:
        make_log_folder(self._settings.data_dir / "logs")
        for place in self._places:
            self._start_worker(place)

    def _main_loop(self) -> None:
        while not self._stop.count and any(map(_has_a_future, self._places)):
            for place in self._places:
                self._look_after(place)
            self._chore()
            self._stop.wait(self._next_look_s())

    def _shut_down(self) -> None:
        for place in self._running():
            _child(place).ask_to_end()
        try:
            self._wait_for_ends(time.monotonic() + self._grace_s)
        finally:
            self._kill_the_rest()

    def _wait_for_ends(self, deadline: float) -> None:
        while self._running() and self._stop.count < 2 and time.monotonic() < deadline:
            self._stop.wait(min(_LOOK_S, deadline - time.monotonic()))
            for place in self._running():
                if _child(place).has_ended():
                    self._bury_stopped(place)

    def _kill_the_rest(self) -> None:
        rest = self._running()
        for place in rest:
            _child(place).kill()
        for place in rest:
            self._bury_killed(place)

    def _look_after(self, place: _Place) -> None:
        if place.child is None:
            if place.due_s is not None and time.monotonic() >= place.due_s:
                self._start_worker(place)
        elif place.child.has_ended():
            self._bury_dead(place)
        elif not place.child.is_ready and self._is_ready(place.child.worker_id):
            place.child.is_ready = True
            self._tell(Change.READY, place)

    def _start_worker(self, place: _Place) -> None:
        worker_id = new_worker_id(place.slot)
        place.child = Child.start(
            worker_id,
            self._command(place.slot, worker_id),
            worker_environment(self._settings, self._redis_url, place.slot),
            log_path(self._settings.data_dir / "logs", place.slot.name),
        )
        place.due_s = None
        place.starts += 1
        self._tell(Change.STARTED, place)

    def _bury_dead(self, place: _Place) -> None:
        child = _child(place)
        if child.exit_status() == CONFIG_EXIT_STATUS:
            self._tell(Change.GAVE_UP, place, child.log_tail(_LOG_LINES))
        else:
            deaths = self._restarts.deaths_in_a_row(
                place.deaths_in_a_row,
                child.age_s(),
                was_ready=child.is_ready,
                by_signal=child.was_killed(),
            )
            wait_s = self._restarts.wait_s(deaths)
            place.deaths_in_a_row = deaths
            place.due_s = time.monotonic() + wait_s
            self._tell(Change.DIED, place, f"{child.end_in_words()}; starts again in {wait_s:g} s")
        place.child = None
        self._on_worker_death(child.worker_id)

    def _bury_stopped(self, place: _Place) -> None:
        child = _child(place)
        self._tell(Change.STOPPED, place, child.end_in_words())
        place.child = None
        if child.exit_status() != 0:
            self._on_worker_death(child.worker_id)

    def _bury_killed(self, place: _Place) -> None:
        forced = self._stop.count > 1
        detail = "forced" if forced else f"did not end within {self._grace_s:g} s"
        child = _child(place)
        self._tell(Change.KILLED, place, detail)
        place.child = None
        self._on_worker_death(child.worker_id)

    def _running(self) -> list[_Place]:
        return [place for place in self._places if place.child is not None]

    def _next_look_s(self) -> float:
        due = [place.due_s for place in self._places if place.due_s is not None]
        return min([_LOOK_S, *(at_s - time.monotonic() for at_s in due)])

    def _tell(self, change: Change, place: _Place, detail: str = "") -> None:
        child = _child(place)
        self._on_change(
            WorkerChange(
                change, place.slot.name, child.worker_id, child.pid, place.starts, child.log, detail
            )
        )


def _has_a_future(place: _Place) -> bool:
    return place.child is not None or place.due_s is not None


def _child(place: _Place) -> Child:
    if place.child is None:
        raise RuntimeError(f"nothing runs on slot {place.slot.name}")
    return place.child

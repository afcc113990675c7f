"""Supervisor: keeps one worker alive on each slot, and reports each change."""

import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Self

from seqd.local.child import (
    Child,
    deaths_in_a_row,
    log_path,
    make_folder,
    restart_wait_s,
)
from seqd.local.gpus import Gpu, list_gpus
from seqd.local.log_file import log_limits
from seqd.local.run_files import RunFolder
from seqd.local.slots import Slot
from seqd.settings import ROOTS, Settings


class Change(StrEnum):
    """What happened to a worker."""

    STARTED = "started"
    """Its process runs; it imports and loads."""
    READY = "ready"
    """It takes work."""
    DIED = "died"
    """It ended unasked; `detail` says how. A new one follows."""
    LOST = "lost"
    """It ended because its device did; `detail` says why. A new one follows when that is back."""
    GAVE_UP = "gave_up"
    """Its settings are wrong, so it is not started again; `detail` has the end of its log."""
    STOPPED = "stopped"
    """It ended because it was asked to."""
    KILLED = "killed"
    """It was asked to end, did not in time, and was killed."""
    DRAINED = "drained"
    """It waits until a rule of an operator is removed, which `detail` tells."""
    ENDED = "ended"
    """It ended in order, for a rule of an operator or a signal of its own. A new one follows."""
    REPLACED = "replaced"
    """It ended once its successor took work, or, on a GPU, to make room for it."""
    KEPT = "kept"
    """It was to be replaced, but its successor died; `detail` says how. It goes on."""


@dataclass(frozen=True, slots=True)
class WorkerChange:
    """One thing that happened to one worker."""

    change: Change
    slot: str
    worker_id: str
    pid: int
    #: Starts of this slot so far, so 2 is the first restart.
    starts: int
    #: Where its output goes.
    log: Path
    detail: str = ""


#: Told of each change, in order, from the supervisor's thread. What it raises ends the
#: supervisor, after every worker was stopped.
OnChange = Callable[[WorkerChange], None]


def worker_command(slot: Slot, worker_id: str) -> list[str]:
    """Return the command line of a worker."""
    # -P: no module of the working folder in the place of one of ours.
    command = [sys.executable, "-P", "-m", "seqd", "worker"]
    return [*command, "--slot", slot.name, "--name", worker_id]


def worker_environment(
    settings: Settings, redis_url: str, slot: Slot, number: int = 0
) -> dict[str, str]:
    """Return a worker's whole environment: ours, the settings, and the slot's pinning on top.

    `number` is that of the slot, the first of which is 0: each has a port of its own for metrics.
    """
    metrics_port = settings.worker_metrics_port
    ports = {"SEQD_WORKER_METRICS_PORT": str(metrics_port + number)} if metrics_port else {}
    return {
        # Keras's own default, stated, so that a keras.json of the user cannot change it.
        "KERAS_BACKEND": "tensorflow",
        **os.environ,
        **settings_variables(settings, redis_url),
        **ports,
        **slot.environment(),
        # Empty, too: a value from outside is of another slot.
        "SEQD_DEVICE": "" if slot.gpu is None else slot.gpu.written(),
    }


def settings_variables(settings: Settings, redis_url: str) -> dict[str, str]:
    """Return the settings of `seqd up` as the environment of what it starts."""
    values = {name: getattr(settings, name) for name in settings.model_fields_set}
    values["redis_url"] = redis_url
    values["data_dir"] = settings.data_dir.absolute()
    values["supervised"] = True
    for name in ROOTS if settings.redis_url is None else ():
        # The server is embedded, so only its own user can name files; a worker sees a mere
        # address, and would take it for a shared server that may name none.
        if values.get(name) is None:
            values[name] = (Path("/"),)
    return {
        f"SEQD_{name.upper()}": _written(name, value)
        for name, value in values.items()
        if value is not None
    }


def _written(name: str, value: object) -> str:
    if isinstance(value, tuple):
        return (os.pathsep if name in ROOTS else ",").join(map(str, value))
    return str(value)


#: A closed terminal (SIGHUP) stops the daemon as Ctrl-C does.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers


#: Seconds within which a second signal is taken for an echo of the first.
ECHO_S = 0.3


class StopRequests:
    """How often the supervisor was asked to stop: once asks, twice forces."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.count = 0
        self._clock = clock
        self._asked_at = -inf
        self._old_handlers: dict[signal.Signals, _Handler] = {}
        self._sockets: tuple[socket.socket, socket.socket] | None = None

    def add(self) -> None:
        """Ask to stop; safe in a signal handler and from any thread, before the block too."""
        self.count += 1
        self._wake()

    def wait(self, timeout_s: float) -> None:
        """Wait for a signal, a request, or the end of a child; wakes early rather than late."""
        if self._sockets is None:
            raise RuntimeError("wait inside the block")
        _, receiver = self._sockets
        if select.select([receiver], [], [], max(0.0, timeout_s))[0]:
            receiver.recv(4_096)

    def _wake(self) -> None:
        if self._sockets is None:
            return  # Nobody waits: the count is enough.
        try:
            self._sockets[0].send(b"x")
        except BlockingIOError:
            return  # Full of wake-ups that nobody has read yet: one more changes nothing.

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        # Under a wrapper that hands signals on, one Ctrl-C arrives twice, at the same moment.
        if self._clock() - self._asked_at >= ECHO_S:
            self._asked_at = self._clock()
            self.add()

    def __enter__(self) -> Self:
        self._sockets = socket.socketpair()
        for end in self._sockets:
            end.setblocking(False)
        # Only the main thread may set handlers; elsewhere `add` is the way to stop.
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                # `nohup seqd up &` has SIGHUP and SIGINT ignored, and means it.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._handle(number, self._on_stop)
            self._handle(signal.SIGCHLD, lambda *_: self._wake())
        return self

    def _handle(self, number: signal.Signals, handler: _Handler) -> None:
        old = signal.signal(number, handler)
        # None stands for a handler that was not set from Python, which cannot be restored.
        self._old_handlers[number] = signal.SIG_DFL if old is None else old

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        sockets, self._sockets = self._sockets, None
        for end in sockets or ():
            end.close()


#: A worker's status for settings that no restart can mend; EX_CONFIG of sysexits.h.
CONFIG_EXIT_STATUS = os.EX_CONFIG

#: A worker's status for a device that stays sick, which a new process may mend; EX_UNAVAILABLE.
DEVICE_EXIT_STATUS = os.EX_UNAVAILABLE

#: A worker's status for a device that fell off the bus; EX_OSERR.
DEVICE_LOST_EXIT_STATUS = os.EX_OSERR

_DEVICE_EXIT_STATUSES = (DEVICE_EXIT_STATUS, DEVICE_LOST_EXIT_STATUS)

#: Seconds for which a driver may keep the supervisor waiting.
_DRIVER_S = 2.0

#: Seconds that workers have to finish their unit and release the rest, beside SEQD_DRAIN_S.
GRACE_S = 30.0

#: Longest wait between two looks; the end of a child wakes the loop at once.
_LOOK_S = 0.25
_LOG_LINES = 8

CommandFactory = Callable[[Slot, str], Sequence[str]]


@dataclass(slots=True)
class _Place:
    """A slot and what runs on it."""

    slot: Slot
    #: Its number among the slots, the first of which is 0.
    number: int = 0
    child: Child | None = None
    #: What takes the place of `child` once it takes work.
    successor: Child | None = None
    starts: int = 0
    deaths_in_a_row: int = 0
    #: When to start a worker again; None while one runs, or for good.
    due_s: float | None = None
    #: True while its device is gone: it is looked for before each start.
    has_lost_device: bool = False
    #: True while `child` ends so that its successor can be started.
    makes_room: bool = False


@dataclass(frozen=True, slots=True)
class _Retiring:
    """A worker whose successor has its place, until it has ended."""

    place: _Place
    child: Child
    kill_at_s: float


def device_is_back(slot: Slot) -> bool:
    """Return True where the driver sees a slot's device now."""
    return slot.gpu is None or isinstance(list_gpus(_DRIVER_S).find(slot.gpu.uuid), Gpu)


class Supervisor:
    """Starts, watches, restarts and stops the workers of this machine.

    `command(slot, worker_id)` gives a worker's command line. `on_change` is told whatever
    happens. `on_worker_death(worker_id)` is called after a worker ended in any other way than
    by itself on request, and its process group was killed: its leases can be released at
    once. `is_ready(worker_id)` is asked about a started worker, a few times a second, until
    it takes work, and so is `drained_by(worker_id)`: the rule of an operator for which it waits, in
    words, '' without one. `is_back(slot)` is asked, with back-off, before a slot whose device was
    lost gets another worker. `periodic_task()` is called a few times a second from the startup
    until the last worker has ended, such as to look after an embedded server. What these raise ends
    the supervisor, after every worker was stopped.
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
        drained_by: Callable[[str], str] = lambda worker_id: "",
        periodic_task: Callable[[], object] = lambda: None,
        is_back: Callable[[Slot], bool] = device_is_back,
        command: CommandFactory = worker_command,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._settings = settings
        self._redis_url = redis_url
        self._places = [_Place(slot, number) for number, slot in enumerate(slots)]
        self._on_change = on_change
        self._on_worker_death = on_worker_death
        self._is_ready = is_ready
        self._drained_by = drained_by
        self._retiring: list[_Retiring] = []
        self._periodic_task = periodic_task
        self._is_back = is_back
        self._command = command
        self._grace_s = GRACE_S + settings.drain_s
        self._clock = clock
        self._stop = StopRequests(clock)

    def run(self) -> int:
        """Run until SIGTERM, SIGINT, SIGHUP or `request_stop`; the second one forces.

        Gives 0, or EX_CONFIG (78) when every worker gave up. Runs once. Call it in the main
        thread: elsewhere signals are not seen, and the workers end with that thread.
        """
        with self._stop:
            try:
                make_folder(self._settings.data_dir / "logs")
                for place in self._places:
                    # The first start of all: what fails is the operator's.
                    self._start_worker(place)
                self._main_loop()
            finally:
                self._shut_down()
        return 0 if self._stop.count else CONFIG_EXIT_STATUS

    def request_stop(self) -> None:
        """Do what a signal does; safe from any thread."""
        self._stop.add()

    def replace(self, worker_id: str) -> None:
        """Put a new worker in the place of one; call it from the supervisor's own callbacks.

        On a CPU the new one is started first, and the old one is asked to end once it takes work. A
        GPU has no memory for both: there the old one ends first.
        """
        for place in self._places:
            child = place.child
            if child is None or child.worker_id != worker_id or place.successor is not None:
                continue
            if place.slot.kind == "gpu":
                place.makes_room = True
                child.ask_to_end()
            else:
                place.successor = self._new_child(place)
                self._tell(Change.STARTED, place, place.successor)

    def is_replacing(self) -> bool:
        """Return True while a worker is being replaced."""
        return bool(self._retiring) or any(
            place.successor is not None or place.makes_room for place in self._places
        )

    def _main_loop(self) -> None:
        while not self._stop.count and any(
            one.child or one.due_s is not None for one in self._places
        ):
            for place in self._places:
                self._look_after(place)
            self._look_after_retiring()
            self._periodic_task()
            self._stop.wait(self._next_look_s())

    def _shut_down(self) -> None:
        for _, child in self._running():
            child.ask_to_end()
        try:
            self._wait_for_ends(self._clock() + self._grace_s)
        finally:
            self._kill_the_rest()

    def _wait_for_ends(self, deadline: float) -> None:
        while self._running() and self._stop.count < 2 and self._clock() < deadline:
            self._stop.wait(min(_LOOK_S, deadline - self._clock()))
            # Workers that end commit and release what they hold.
            self._periodic_task()
            for place, child in self._running():
                if child.has_ended():
                    self._reap_stopped(place, child)

    def _kill_the_rest(self) -> None:
        rest = self._running()
        for _, child in rest:
            child.kill()
        forced = self._stop.count > 1
        for place, child in rest:
            self._reap_killed(place, child, forced=forced)

    def _look_after(self, place: _Place) -> None:
        if place.successor is not None:
            self._look_after_successor(place, place.successor)
        child = place.child
        if child is None:
            if place.due_s is not None and self._clock() >= place.due_s:
                self._start_again(place)
        elif child.has_ended():
            self._reap_ended(place, child)
        elif not child.is_ready and self._is_ready(child.worker_id):
            child.is_ready = True
            self._tell(Change.READY, place, child)
        elif not child.is_ready and (why := self._drained_by(child.worker_id)):
            child.is_ready = True
            self._tell(Change.DRAINED, place, child, why)

    def _look_after_successor(self, place: _Place, successor: Child) -> None:
        if successor.has_ended():
            place.successor = None
            how = successor.log_tail(1) or successor.end_in_words()
            self._forget(place, successor)
            self._on_worker_death(successor.worker_id)
            if place.child is not None:
                self._tell(Change.KEPT, place, place.child, f"its successor ended: {how}")
        elif self._is_ready(successor.worker_id):
            old, place.child, place.successor = place.child, successor, None
            successor.is_ready = True
            place.deaths_in_a_row = 0
            self._tell(Change.READY, place, successor)
            if old is not None:
                old.ask_to_end()
                self._retiring.append(_Retiring(place, old, self._clock() + self._grace_s))

    def _look_after_retiring(self) -> None:
        for one in list(self._retiring):
            if one.child.has_ended():
                self._tell(Change.REPLACED, one.place, one.child, one.child.end_in_words())
                self._forget(one.place, one.child)
                if one.child.exit_status() != 0:
                    self._on_worker_death(one.child.worker_id)
            elif self._clock() >= one.kill_at_s:
                one.child.kill()
                self._reap_killed(one.place, one.child, forced=False)

    def _new_child(self, place: _Place) -> Child:
        worker_id = place.slot.new_worker_name()
        child = Child.start(
            worker_id,
            self._command(place.slot, worker_id),
            worker_environment(self._settings, self._redis_url, place.slot, place.number),
            log_path(self._settings.data_dir / "logs", place.slot.name),
            log_limits(self._settings),
        )
        child.started_s = self._clock()
        place.starts += 1
        return child

    def _start_worker(self, place: _Place) -> None:
        place.child = self._new_child(place)
        place.due_s = None
        self._tell(Change.STARTED, place, place.child)

    def _start_again(self, place: _Place) -> None:
        """Start a worker, or try later: there may be no process to have just now, or no file."""
        if place.has_lost_device and not self._is_back(place.slot):
            place.deaths_in_a_row += 1
            place.due_s = self._clock() + restart_wait_s(place.deaths_in_a_row)
            return
        place.has_lost_device = False
        try:
            self._start_worker(place)
        except OSError as error:
            place.deaths_in_a_row += 1
            wait_s = restart_wait_s(place.deaths_in_a_row)
            place.due_s = self._clock() + wait_s
            why = f"cannot be started: {error}; starts again in {wait_s:g} s"
            self._tell_of_slot(Change.DIED, place, why)

    def _reap_ended(self, place: _Place, child: Child) -> None:
        # One that ends before it has taken work, or waited, might do so without an end.
        if child.exit_status() == 0 and (child.is_ready or place.makes_room):
            self._tell(Change.REPLACED if place.makes_room else Change.ENDED, place, child)
            self._forget(place, child)
            if place.successor is None:
                self._start_again(place)
        else:
            self._reap_dead(place, child)
        place.makes_room = False
        if place.child is None and place.successor is not None:
            # Its place is free already.
            place.child, place.successor = place.successor, None
            place.due_s = None

    def _reap_dead(self, place: _Place, child: Child) -> None:
        if child.exit_status() == CONFIG_EXIT_STATUS:
            self._tell(Change.GAVE_UP, place, child, child.log_tail(_LOG_LINES))
        else:
            deaths = deaths_in_a_row(
                place.deaths_in_a_row,
                self._clock() - child.started_s,
                was_ready=child.is_ready,
                by_signal=child.was_killed(),
            )
            wait_s = restart_wait_s(deaths)
            place.deaths_in_a_row = deaths
            place.due_s = self._clock() + wait_s
            self._tell_of_death(place, child, wait_s)
        self._forget(place, child)
        self._on_worker_death(child.worker_id)

    def _tell_of_death(self, place: _Place, child: Child, wait_s: float) -> None:
        status = child.exit_status()
        said = child.log_tail(1).partition("]: ")[2] if status in _DEVICE_EXIT_STATUSES else ""
        how = f"{child.end_in_words()}{said and ': '}{said}"
        place.has_lost_device = status == DEVICE_LOST_EXIT_STATUS
        if place.has_lost_device:
            detail = f"{how} Starts again when the driver sees it"
            self._tell(Change.LOST, place, child, detail)
        else:
            self._tell(Change.DIED, place, child, f"{how}; starts again in {wait_s:g} s")

    def _reap_stopped(self, place: _Place, child: Child) -> None:
        self._tell(Change.STOPPED, place, child, child.end_in_words())
        self._forget(place, child)
        if child.exit_status() != 0:
            self._on_worker_death(child.worker_id)

    def _reap_killed(self, place: _Place, child: Child, *, forced: bool) -> None:
        detail = "forced" if forced else f"did not end within {self._grace_s:g} s"
        self._tell(Change.KILLED, place, child, detail)
        self._forget(place, child)
        self._on_worker_death(child.worker_id)

    def _forget(self, place: _Place, child: Child) -> None:
        """Remove what a worker of a place may have left: no other has its name."""
        RunFolder(self._settings.data_dir).remove_files_of(child.worker_id)
        if place.child is child:
            place.child = None
        if place.successor is child:
            place.successor = None
        self._retiring = [one for one in self._retiring if one.child is not child]

    def _running(self) -> list[tuple[_Place, Child]]:
        running = [
            (place, child)
            for place in self._places
            for child in (place.child, place.successor)
            if child is not None
        ]
        return running + [(one.place, one.child) for one in self._retiring]

    def _next_look_s(self) -> float:
        due = [place.due_s for place in self._places if place.due_s is not None]
        return min([_LOOK_S, *(at_s - self._clock() for at_s in due)])

    def _tell(self, change: Change, place: _Place, child: Child, detail: str = "") -> None:
        self._on_change(
            WorkerChange(
                change, place.slot.name, child.worker_id, child.pid, place.starts, child.log, detail
            )
        )

    def _tell_of_slot(self, change: Change, place: _Place, detail: str) -> None:
        """Tell of a change of a slot on which nothing runs."""
        log = log_path(self._settings.data_dir / "logs", place.slot.name)
        self._on_change(WorkerChange(change, place.slot.name, "", 0, place.starts, log, detail))

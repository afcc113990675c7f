"""`Daemon` connects the supervisor of this machine's workers to the ledger.

The supervisor has no access to the ledger. `Daemon` tells it when a worker is ready, and releases a
dead worker's leases, so that other workers claim its units before the leases run out. While Redis
is away it waits with both, and the watchdog of an embedded server brings that back.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from seqd.errors import REDIS_ERRORS, RedisRefused
from seqd.ledger import Ledger, connect
from seqd.ledger.acl import Role
from seqd.ledger.writing import SHORT_OF_MEMORY
from seqd.local.redis_access import RedisAccess
from seqd.local.redis_server import EmbeddedServer
from seqd.local.redis_watchdog import RedisWatchdog, ServerChange
from seqd.local.slots import Slot
from seqd.local.supervisor import Change, OnChange, Supervisor, WorkerChange
from seqd.serving import is_drained, is_listening
from seqd.settings import Settings
from seqd.targets import Place, is_meant, option_of
from seqd_schemas import CordonAction, CordonRule, WorkerState, WorkerStatus

log = logging.getLogger(__name__)

#: Seconds between two looks at the workers' records, of all starting workers together.
_LOOK_S = 0.25

#: Seconds without an answer from Redis after which a call is given up: signals wait for it.
_TIMEOUT_S = 3.0

#: Seconds between two tries to release the leases of dead workers.
_RELEASE_EVERY_S = 1.0

#: Gets the records of workers.
OnLook = Callable[[Sequence[WorkerStatus]], None]

#: Seconds between two looks at the rules.
_RULES_LOOK_S = 0.5

#: Name of the lock by which the workers of all hosts are replaced one after the other, and the
#: seconds for which it is held after the last look.
_RESTART_LOCK = "restart"
_LOCK_S = 15.0


class _FleetRules:
    """Operators' rules, as `seqd up` follows them: which of its workers it replaces, and when.

    It looks twice a second, at one number as long as nothing changes. What was seen last holds
    while Redis is away.
    """

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._settings = settings
        self._host = socket.gethostname()
        #: Who holds the lock; several `seqd up` may run on a host.
        self._holder = f"{self._host}-{os.getpid()}"
        self._rules: list[CordonRule] = []
        self._version: tuple[bytes | None] | None = None
        self._looked_s = float("-inf")
        #: The requests to restart that were known when a slot's last worker was started.
        self._known_at_start: dict[str, list[CordonRule]] = {}
        self._has_turn = False
        #: True since a look was refused, for lack of a right or for another password.
        self._is_refused = False
        #: Requests to restart that are not followed any more, since a new worker did not come up.
        self._given_up: set[CordonRule] = set()

    def look(self) -> None:
        """Read the rules where they have changed."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= _RULES_LOOK_S:
            self._looked_s = now_s
            self._try(self._read)

    def note_started(self, slot_name: str) -> None:
        """Note that a slot's worker was started now, after the requests that stand."""
        self._looked_s = float("-inf")  # the first is started before anybody has looked
        self.look()
        self._known_at_start[slot_name] = self._restarts()

    def has_restarts(self) -> bool:
        """Return True where somebody has asked for workers to be restarted."""
        return any(rule not in self._given_up for rule in self._restarts())

    def due_to_restart(self, ours: Iterable[tuple[Slot, str]]) -> str | None:
        """Return the next worker of ours to be replaced; None while another host has its turn.

        A request means the workers that were started before it was known. When a worker's child
        was started, which its record says, is another matter: that may have died since.
        """
        due = [
            worker_id
            for slot, worker_id in ours
            if any(
                is_meant(
                    Place(worker_id, slot.name, self._host, self._settings.labels), rule.target
                )
                for rule in self._restarts()
                if rule not in self._given_up and rule not in self._known_at_start[slot.name]
            )
        ]
        if due:
            return due[0] if self.holds_turn() else None
        if self._has_turn:
            self._has_turn = False
            self._try(lambda: self._ledger.fleet.take_lock(_RESTART_LOCK, self._holder, 0.001))
        return None

    def holds_turn(self) -> bool:
        """Take the turn to replace a worker, or keep it; False while another host has it."""
        taken: list[bool] = []

        def take() -> None:
            taken.append(self._ledger.fleet.take_lock(_RESTART_LOCK, self._holder, _LOCK_S))

        self._try(take)
        self._has_turn = taken == [True]
        return self._has_turn

    def give_up_restarts(self) -> None:
        """Replace no more workers: a new one did not come up, and the next would not either."""
        rules = [rule for rule in self._restarts() if rule not in self._given_up]
        self._given_up |= set(rules)
        self._try(lambda: self._ledger.cordons.change(remove=rules))

    def _restarts(self) -> list[CordonRule]:
        return [rule for rule in self._rules if rule.action is CordonAction.RESTART]

    def _read(self) -> None:
        version = self._ledger.cordons.version()
        if self._version != (version,):
            self._rules = self._ledger.cordons.rules()
            self._version = (version,)

    def _try(self, step: Callable[[], object]) -> None:
        """Take a step that a Redis which is away or refuses us puts off, to the next look.

        What it refuses somebody has to change, so that is logged, once.
        """
        try:
            step()
        except REDIS_ERRORS as error:
            is_refused = isinstance(error, RedisRefused)
            level = logging.WARNING if is_refused and not self._is_refused else logging.DEBUG
            log.log(level, "rules of operators not followed just now: %s", error)
            self._is_refused = self._is_refused or is_refused
        else:
            self._is_refused = False


class DeadWorkers:
    """Releases what dead workers held; what Redis does not take now is tried again."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        #: Those whose leases are to be released, and those that nobody had asked to end.
        self._dead: list[str] = []
        self._unasked = set[str]()
        self._tried_at_s = float("-inf")
        #: What was logged last; '' since all are released.
        self._told = ""

    def note_unasked(self, worker_id: str) -> None:
        """Note that nobody had asked a worker to end that took work: the next one tells of it."""
        self._unasked.add(worker_id)

    def add(self, worker_id: str) -> None:
        """Add a worker whose leases are to be released."""
        self._dead.append(worker_id)

    def is_due(self) -> bool:
        """Return True where some are left, and the last try was a second ago."""
        return bool(self._dead) and time.monotonic() - self._tried_at_s >= _RELEASE_EVERY_S

    def release(self) -> None:
        """Release the leases; a fault is logged once, and again when it is another or over."""
        self._tried_at_s = time.monotonic()
        while self._dead:
            worker_id = self._dead[0]
            try:
                self._ledger.work.release_worker(worker_id, crashed=True)
                if worker_id in self._unasked:
                    self._ledger.fleet.note_gone(worker_id)
                else:
                    self._ledger.fleet.forget_worker(worker_id)
            except REDIS_ERRORS as error:
                cause = getattr(error, "cause", error)
                if self._told != (told := f"leases of {worker_id} not released yet: {cause}"):
                    log.warning("%s", told)
                self._told = told
                return
            self._dead.pop(0)
        if self._told:
            log.warning("leases of all dead workers are released")
        self._told = ""


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
        periodic_task: Callable[[], object] = lambda: None,
    ) -> None:
        """`watchdog` is that of an embedded server, which then ends with the thread of `run`.

        `on_look` gets the records of the workers that run here, each time they are read.
        `periodic_task` is called a few times a second.
        """
        # One retry: while the server is away, signals and restarts must not wait for it.
        access = RedisAccess.of(settings)
        redis = connect(redis_url, retries=1, timeout_s=_TIMEOUT_S, access=access, role=Role.WORKER)
        self._ledger = Ledger(redis, settings)
        self._watchdog = watchdog
        self._on_change = on_change
        self._on_look = on_look
        self._periodic_task = periodic_task
        self._look_every_s = settings.heartbeat_s
        self._looked_at_s = float("-inf")
        #: False since the last look failed.
        self._is_reached = True
        #: True since a look has found that Redis takes no writes.
        self._is_full = False
        #: Since when looks have found it without memory for new work; None where it has some.
        self._short_since_s: float | None = None
        #: Workers of ours that run, with their last change: `STARTED`, or `READY` once they were.
        self._running: dict[str, WorkerChange] = {}
        self._workers: Mapping[str, WorkerStatus] = {}
        self._rules = _FleetRules(self._ledger, settings)
        self._slots = {slot.name: slot for slot in slots}
        self._dead = DeadWorkers(self._ledger)
        self._supervisor = Supervisor(
            settings,
            redis_url,
            slots,
            on_change=self._note_change,
            on_worker_death=self._note_death,
            is_ready=self._is_ready,
            drained_by=self._drained_by,
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
        self._periodic_task()
        if self._watchdog is not None:
            self._watchdog.look()
        now_s = time.monotonic()
        if self._dead.is_due() and self._redis_is_up():
            self._dead.release()
        if now_s - self._looked_at_s >= self._look_every_s and self._redis_is_up():
            self._look()
        if self._redis_is_up():
            self._rules.look()
            self._replace_next()

    def _replace_next(self) -> None:
        """Replace one worker, where an operator has asked for that and it is this host's turn."""
        if self._supervisor.is_replacing():
            self._rules.holds_turn()
        elif self._rules.has_restarts():
            worker_id = self._rules.due_to_restart(
                (self._slots[one.slot], name)
                for name, one in sorted(self._running.items())
                if one.change is Change.READY
            )
            if worker_id is not None:
                self._supervisor.replace(worker_id)

    def _drained_by(self, worker_id: str) -> str:
        """Return the rule for which a worker waits, in words, by what it has published."""
        status = self._workers.get(worker_id)
        if status is None or status.cordon is None or not is_drained(status):
            return ""
        if status.state is not WorkerState.DRAINING:
            return ""  # it still starts, and works where the rule has gone by then
        rule = status.cordon
        why = f" ({rule.reason})" if rule.reason else ""
        option = option_of(rule.target)
        return f"by {rule.by or 'somebody'}{why}; `seqd workers uncordon {option}` starts it again"

    def _note_change(self, change: WorkerChange) -> None:
        before = self._running.get(change.worker_id)
        if change.change in (Change.STARTED, Change.READY, Change.DRAINED):
            self._running[change.worker_id] = change
        elif change.change is not Change.KEPT:
            self._running.pop(change.worker_id, None)
        if change.change is Change.READY:
            self._on_look(self._ours())
        if change.change is Change.DIED and before is not None and before.change is Change.READY:
            self._dead.note_unasked(change.worker_id)
        elif change.change is Change.STARTED:
            self._rules.note_started(change.slot)
        elif change.change is Change.KEPT:
            self._rules.give_up_restarts()
        self._on_change(change)

    def _redis_is_up(self) -> bool:
        return self._watchdog is None or self._watchdog.is_up

    def _is_ready(self, worker_id: str) -> bool:
        now_s = time.monotonic()
        if now_s - self._looked_at_s >= _LOOK_S and self._redis_is_up():
            self._look()
        status = self._workers.get(worker_id)
        return status is not None and is_listening(status)

    def _look(self) -> None:
        """Read what workers say of themselves, and pass on what ours do."""
        self._looked_at_s = time.monotonic()
        try:
            workers = self._ledger.fleet.workers()
            refusal = self._ledger.writing.refusal()
            is_short = refusal is None and self._ledger.inbox.memory_is_short()
        except REDIS_ERRORS as error:
            if self._is_reached:  # one line for an outage, however long it takes
                log.warning("cannot see how the workers are: %s", getattr(error, "cause", error))
            self._is_reached = False
            return
        if not self._is_reached:
            log.warning("Redis answers again")
        self._is_reached = True
        if refusal is not None and not self._is_full:
            log.warning("Redis takes no writes (%s); workers wait. See: seqd doctor", refusal)
        elif refusal is None and self._is_full:
            log.warning("Redis takes writes again; workers go on")
        self._is_full = refusal is not None
        self._note_memory(is_short=is_short)
        self._workers = {worker.worker: worker for worker in workers}
        self._on_look(self._ours())

    def _note_memory(self, *, is_short: bool) -> None:
        """Log once that Redis has no memory for new work, and had none for two heartbeats.

        It often has none for a moment: workers make room then, by removing ended jobs.
        """
        if not is_short:
            self._short_since_s = None
        elif self._short_since_s is None:
            self._short_since_s = self._looked_at_s
        elif self._looked_at_s - self._short_since_s >= 2 * self._look_every_s:
            self._short_since_s = float("inf")  # it is told
            log.warning("%s", SHORT_OF_MEMORY)

    def _ours(self) -> list[WorkerStatus]:
        return [self._workers[name] for name in sorted(self._running.keys() & self._workers.keys())]

    def _note_death(self, worker_id: str) -> None:
        self._dead.add(worker_id)
        if self._redis_is_up():
            self._dead.release()


def watchdog_of(
    server: EmbeddedServer | None, on_change: Callable[[ServerChange], None]
) -> RedisWatchdog | None:
    """Return the watchdog of an embedded server; None of a server that runs elsewhere."""
    return None if server is None else RedisWatchdog(server, on_change)

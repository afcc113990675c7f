"""`FleetRules` has `seqd up` follow operators' rules: which slots stay empty, whom it replaces.

It looks twice a second, at one number as long as nothing changes. What was seen last holds while
Redis is away. A slot that a drain keeps empty is published as a worker that is drained, so that
the fleet shows it.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from seqd import __version__
from seqd.errors import REDIS_ERRORS, RedisRefused
from seqd.local.slots import Slot
from seqd.settings import Settings
from seqd.targets import Place, drain_for, is_meant, option_of
from seqd_schemas import Cordon, CordonAction, CordonRule, WorkerState, WorkerStatus

if TYPE_CHECKING:
    from seqd.ledger import Ledger

log = logging.getLogger(__name__)

#: Seconds between two looks at the rules.
LOOK_S = 0.5

#: Name of the lock by which the workers of all hosts are replaced one after the other, and the
#: seconds for which it is held after the last look.
_RESTART_LOCK = "restart"
_LOCK_S = 15.0


class FleetRules:
    """The rules, as the `seqd up` of this machine follows them."""

    def __init__(self, ledger: "Ledger", settings: Settings) -> None:
        self._ledger = ledger
        self._settings = settings
        self._host = socket.gethostname()
        #: Who holds the lock; several `seqd up` may run on a host.
        self._holder = f"{self._host}-{os.getpid()}"
        self._rules: list[CordonRule] = []
        self._version: tuple[bytes | None] | None = None
        self._looked_s = self._published_s = float("-inf")
        #: Slots that a drain keeps empty, with their last workers.
        self._drained: dict[str, tuple[Slot, str]] = {}
        #: The requests to restart that were known when a slot's last worker was started.
        self._known_at_start: dict[str, list[CordonRule]] = {}
        self._has_turn = False
        #: True since a look was refused, for lack of a right or for another password.
        self._is_refused = False
        #: Requests to restart that are not followed any more, since a new worker did not come up.
        self._given_up: set[CordonRule] = set()

    def look(self) -> None:
        """Read the rules where they have changed, and publish which slots are drained."""
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        self._try(self._read)
        if self._drained and now_s - self._published_s >= self._settings.heartbeat_s:
            self._published_s = now_s
            self._try(self._publish)

    def held_by(self, slot: Slot, worker_id: str) -> str:
        """Return the drain that keeps a slot empty, in words; '' where a worker may run."""
        self._looked_s = float("-inf")  # as it is now: the worker knew of a rule that we may not
        self.look()
        rule = drain_for(self._rules, self._place(slot, worker_id))
        if rule is None:
            return ""
        why = f" ({rule.reason})" if rule.reason else ""
        option = option_of(rule.target)
        return f"by {rule.by or 'somebody'}{why}; `seqd workers uncordon {option}` starts it again"

    def note_drained(self, slot: Slot, worker_id: str) -> None:
        """Publish from now that a slot is drained."""
        self._drained[slot.name] = (slot, worker_id)
        self._published_s = float("-inf")

    def note_started(self, slot_name: str) -> None:
        """Publish that no more: a worker is started there. The one before may have published it."""
        self._known_at_start[slot_name] = self._restarts()
        self._drained.pop(slot_name, None)
        name = Place("", slot_name, self._host).slot_at_host
        self._try(partial(self._ledger.fleet.forget_worker, name))

    def close(self) -> None:
        """Publish nothing more: this `seqd up` ends."""
        for slot_name in list(self._drained):
            self.note_started(slot_name)

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
                is_meant(self._place(slot, worker_id), rule.target)
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

    def _publish(self) -> None:
        now_ms = self._ledger.fleet.now_ms()
        for slot, worker_id in self._drained.values():
            rule = drain_for(self._rules, self._place(slot, worker_id))
            if rule is not None:
                self._ledger.fleet.publish_worker(self._status(slot, rule, now_ms))

    def _status(self, slot: Slot, rule: CordonRule, now_ms: int) -> WorkerStatus:
        return WorkerStatus(
            worker=self._place(slot, "").slot_at_host,
            slot=slot.name,
            tasks=slot.tasks,
            host=self._host,
            pid=os.getpid(),
            state=WorkerState.DRAINING,
            plugins=(),
            labels=dict(self._labels),
            cordon=Cordon(
                phase="drained",
                target=rule.target,
                reason=rule.reason,
                by=rule.by,
                since_ms=rule.at_ms,
            ),
            supervised=True,
            seqd_version=__version__,
            started_at_ms=now_ms,
            seen_at_ms=now_ms,
        )

    def _place(self, slot: Slot, worker_id: str) -> Place:
        return Place(worker_id, slot.name, self._host, self._labels)

    @property
    def _labels(self) -> Mapping[str, str]:
        return self._settings.labels

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

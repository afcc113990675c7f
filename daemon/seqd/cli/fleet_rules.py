"""`FleetRules` has `seqd up` follow operators' rules: which of its workers it replaces, and when.

It looks twice a second, at one number as long as nothing changes. What was seen last holds while
Redis is away.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from seqd.errors import REDIS_ERRORS, RedisRefused
from seqd.local.slots import Slot
from seqd.settings import Settings
from seqd.targets import Place, is_meant
from seqd_schemas import CordonAction, CordonRule

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
        if now_s - self._looked_s >= LOOK_S:
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

    def _place(self, slot: Slot, worker_id: str) -> Place:
        return Place(worker_id, slot.name, self._host, self._settings.labels)

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

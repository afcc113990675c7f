"""Which queues a worker leaves to others since it would have to unload a model for them.

A worker whose memory holds all that it serves leaves nothing. Else, while it has work on what is in
its memory, it leaves alone what another worker has loaded, and loads what nobody has once that has
waited for a while. Without such work it loads at once what nobody has, and after a while what
another worker cannot keep up with. Work that nobody claims from goes first in any case, so nothing
waits for ever: a holder that is gone, cordoned or busy with something long is waited for shortly.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from seqd.kinds import TRAIN
from seqd.ledger import Ledger
from seqd.ledger.outage import waiting_at_most
from seqd.ledger.work import WaitingQueue
from seqd.serving import is_listening, takes_items
from seqd.worker.logs import log_and_continue
from seqd_schemas import ModelReference, QueueName, WorkerStatus

log = logging.getLogger(__name__)

#: Seconds between two looks of a busy worker at the queues that are left; and for which it is known
#: what others have in memory: to a busy worker, and to one that is about to load something.
LOOK_S = 0.5
KNOWN_S = 2.0
FRESH_S = 0.25

#: So often the wait (SEQD_UNLOAD_WAIT_S) may pass in which nobody claims from a queue of which
#: another worker has the model in memory; then this one loads it beside its own work.
UNSERVED_TIMES = 5.0

#: So often the seconds of a load pass, or the wait where that is shorter, before the next load for
#: which something has to go while there is other work: loads take a sixth of the time.
LOADS_APART = 5.0

#: So often the wait passes between two loads by which a worker with nothing to do helps another.
HELPS_APART_TIMES = 10.0

#: A version of a model.
Version = tuple[str, int]


_KnownLeft = tuple[Sequence[str] | None, Mapping[Version, int] | None, float, set[str]]


class Memory(Protocol):
    """The part of the cache of models that is asked."""

    last_load_s: float
    loads: int
    elsewhere: Collection[Version]

    def holds(self, name: str, version: int) -> bool:
        """Return True for a version that is loaded."""

    def expected_bytes(self, name: str, version: int) -> int:
        """Return what a version is expected to take."""

    def has_room_for(self, wanted_bytes: int) -> bool:
        """Return True where so much can be loaded and nothing has to go."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A queue that is left and has work, as it was seen."""

    #: Since when the job waits whose turn is next, or nobody has claimed from it.
    since_s: float
    #: Since when nobody has claimed from it, as far as was seen, and what says so.
    unserved_s: float
    mark: str


class Residency:
    """What one worker leaves. Used by the thread that works."""

    def __init__(
        self,
        memory: Memory,
        ledger: Ledger,
        worker: str,
        is_kept: Callable[[str], bool],
        wait_s: float,
    ) -> None:
        """With `wait_s` 0 it leaves nothing."""
        self._memory = memory
        self._ledger = ledger
        self._worker = worker
        self._is_kept = is_kept
        self._wait_s = wait_s
        self._waits: dict[str, Wait] = {}
        #: Versions that other workers have in memory and claim work of, with the bytes.
        self._held: Mapping[Version, int] = {}
        self._looked_s = self._known_s = float("-inf")
        #: What `_left` returned last, of which queues and versions, and until when that holds.
        self._known_left: _KnownLeft = (None, None, 0.0, set())
        self._loads = 0
        self._loaded_s = self._helped_s = float("-inf")

    def first(self, queues: Sequence[str]) -> tuple[str, ...]:
        """Return which of the queues are claimed from now."""
        now_s = monotonic()
        left = self._left(queues, now_s)
        if not left:
            return tuple(queues)
        if now_s - self._looked_s >= LOOK_S:
            self._look(left, now_s, KNOWN_S)
            left = self._left(queues, now_s)  # by what others published
        due = self._due(left, now_s) if self._may_load(now_s) else None
        return tuple(queue for queue in queues if queue not in left or queue == due)

    def when_idle(self, queues: Sequence[str]) -> tuple[str, ...]:
        """Return which are claimed from where those have no work; () where none is added to them.

        Looks at what others have in memory before it loads what nobody has.
        """
        now_s = monotonic()
        left = self._left(queues, now_s)
        if not left:
            return ()
        self._look(left, now_s, FRESH_S)
        left = self._left(queues, now_s)
        idle = {queue for queue in left if self._is_due_when_idle(queue, now_s)}
        if not idle:
            return ()
        return tuple(queue for queue in queues if queue not in left or queue in idle)

    def note_claim(self, name: str, version: int) -> None:
        """Note what is claimed before it is loaded: whether that helps another worker."""
        if not self._memory.holds(name, version) and (name, version) in self._held:
            self._helped_s = monotonic()

    def _note_loads(self, now_s: float) -> None:
        if self._memory.loads != self._loads:
            self._loads, self._loaded_s = self._memory.loads, now_s
            self._known_left = None, None, 0.0, set()

    def _left(self, queues: Sequence[str], now_s: float) -> set[str]:
        """Return the queues for whose work something would have to be unloaded."""
        self._note_loads(now_s)
        if self._wait_s == 0:
            return set()
        # Asked at each claim, of all versions in the store.
        known, held, until_s, left = self._known_left
        if known is not queues or held is not self._held or now_s >= until_s:
            left = {queue for queue in queues if self._costs_a_model(queue)}
            self._known_left = queues, self._held, now_s + LOOK_S, left
        return left

    def _may_load(self, now_s: float) -> bool:
        pause_s = LOADS_APART * min(self._memory.last_load_s, self._wait_s)
        return now_s - self._loaded_s >= pause_s

    def _costs_a_model(self, queue: str) -> bool:
        """Return True where something has to be unloaded for work of a queue."""
        version = _version_of(queue)
        if version is None or self._is_kept(version[0]) or self._memory.holds(*version):
            return False
        wanted_bytes = self._held.get(version) or self._memory.expected_bytes(*version)
        return not self._memory.has_room_for(wanted_bytes)

    def _due(self, left: Collection[str], now_s: float) -> str | None:
        """Return the one queue that is claimed from beside work on what is loaded, if any is."""
        due = [
            (wait.since_s, queue)
            for queue, wait in self._waits.items()
            if queue in left and self._is_due(queue, wait, now_s)
        ]
        return min(due)[1] if due else None

    def _is_due(self, queue: str, wait: Wait, now_s: float) -> bool:
        if _version_of(queue) in self._held:
            return now_s - wait.unserved_s >= UNSERVED_TIMES * self._wait_s
        return now_s - wait.since_s >= self._wait_s

    def _is_due_when_idle(self, queue: str, now_s: float) -> bool:
        wait = self._waits.get(queue)
        if wait is None:
            return False  # it has no work
        if _version_of(queue) not in self._held or self._is_due(queue, wait, now_s):
            return True
        has_paused = now_s - self._helped_s >= HELPS_APART_TIMES * self._wait_s
        return has_paused and now_s - wait.since_s >= self._wait_s

    def _look(self, left: Collection[str], now_s: float, known_s: float) -> None:
        """Look at the queues, and at the fleet where that was not done for `known_s`."""
        self._looked_s = now_s
        with waiting_at_most(0):
            log_and_continue(
                "queues not looked at", lambda: self._read_queues(left, now_s), is_repeated=True
            )
            if self._waits and now_s - self._known_s >= known_s:
                self._known_s = now_s
                log_and_continue("workers not looked at", self._read_fleet, is_repeated=True)

    def _read_fleet(self) -> None:
        others = [one for one in self._ledger.fleet.workers() if one.worker != self._worker]
        self._held = held_by(others)
        self._memory.elsewhere = frozenset(self._held)

    def _read_queues(self, left: Collection[str], now_s: float) -> None:
        found = self._ledger.work.waiting_queues(sorted(left))
        self._waits = {queue: self._seen(queue, one, now_s) for queue, one in found.items()}

    def _seen(self, queue: str, found: WaitingQueue, now_s: float) -> Wait:
        before = self._waits.get(queue)
        is_unserved = before is not None and before.mark == found.mark
        unserved_s = before.unserved_s if before is not None and is_unserved else now_s
        return Wait(min(now_s - found.next_wait_s, unserved_s), unserved_s, found.mark)


def held_by(workers: Iterable[WorkerStatus]) -> dict[Version, int]:
    """Return the versions in memory of workers that claim work of them now, with their bytes."""
    held: dict[Version, int] = {}
    for one in workers:
        if one.cordon is not None or not is_listening(one):
            continue
        for ref in one.models_loaded:
            found = ModelReference.parse(ref)
            if not isinstance(found.version, int):
                continue
            if takes_items(one, found.name):
                held[found.name, found.version] = one.loaded_bytes.get(ref, 0)
    return held


def _version_of(queue: str) -> Version | None:
    """Return the version that a queue's items run on; None of trainings."""
    task, model, version = QueueName.parse(queue)
    return None if task == TRAIN or version is None else (model, version)

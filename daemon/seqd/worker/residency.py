"""Which work a worker leaves to others: what it would have to unload a model for, and wakeups.

A worker whose memory holds all that it serves leaves nothing. Else it says at each claim which
queues it leaves, and for how long: `claim.lua` knows what has work, and for how long nobody has
claimed from it, so that nothing waits for ever.

Wakeups are queued by route, work by version. One that reaches a worker without the version, or one
that may claim nothing, would be lost to the workers that can, until a reconciler sends another.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Timer
from time import monotonic
from typing import Final

from seqd.kinds import TRAIN
from seqd.ledger import Ledger
from seqd.ledger.work import NOTHING_LEFT, LeftQueues
from seqd.serving import is_listening, takes, takes_items
from seqd.worker.context import ModelCache, WorkerContext
from seqd.worker.logs import log_and_continue, try_now
from seqd_schemas import ModelReference, QueueName, WorkerStatus, queues_of_model

log = logging.getLogger(__name__)

#: Seconds for which it is known which queues are left, and what others have in memory.
KNOWN_S = 0.5

#: Loads for which a model has to go are this many times as far apart as a load takes, or as the
#: wait (SEQD_UNLOAD_WAIT_S) where that is shorter. So loads take a sixth of the time at most. It
#: holds while there is other work.
LOADS_APART = 5.0

#: Waits (SEQD_UNLOAD_WAIT_S) between two loads by which a worker without work helps another.
HELPS_APART = 10.0

#: Longer than anything waits.
NEVER_S: Final = 1e9

#: A version of a model.
Version = tuple[str, int]


class Residency:
    """What one worker leaves. Used by the thread that works."""

    def __init__(
        self,
        memory: ModelCache,
        ledger: Ledger,
        worker: str,
        is_kept: Callable[[str], bool],
        wait_s: float,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """With `wait_s` 0 it leaves nothing."""
        self._memory = memory
        self._ledger = ledger
        self._worker = worker
        self._is_kept = is_kept
        self._wait_s = wait_s
        self._clock = clock
        #: Versions that other workers have in memory and claim work of, with the bytes.
        self._held: Mapping[Version, int] = {}
        #: The queues of which it is known what is left, those that are not, and those that are.
        self._known: Sequence[str] = ()
        self._others: Sequence[str] = ()
        self._left = NOTHING_LEFT
        self._loads = 0
        self._known_s = self._fleet_s = self._loaded_s = self._helped_s = float("-inf")

    def divide(self, queues: Sequence[str]) -> tuple[Sequence[str], LeftQueues]:
        """Return which queues are claimed from at once, and which are left, in their order."""
        if self._wait_s == 0:
            return queues, NOTHING_LEFT
        now_s = self._clock()
        if self._memory.loads != self._loads:
            self._loads, self._loaded_s, self._known_s = self._memory.loads, now_s, float("-inf")
        if queues is not self._known or now_s - self._known_s >= KNOWN_S:
            self._known, self._known_s = queues, now_s  # asked at each claim, of all versions
            self._look(now_s)
        left = self._left
        pause_s = LOADS_APART * min(self._memory.last_load_s, self._wait_s)
        may_load = now_s - self._loaded_s >= pause_s
        may_help = now_s - self._helped_s >= HELPS_APART * self._wait_s
        left_s = self._wait_s if may_load else NEVER_S
        held_s = self._wait_s if may_help else NEVER_S
        return self._others, LeftQueues(left.cold, left.held, left_s, held_s)

    def note_claim(self, name: str, version: int) -> None:
        """Note what is claimed before it is loaded: whether that helps another worker."""
        if not self._memory.holds(name, version) and (name, version) in self._held:
            self._helped_s = self._clock()

    def _look(self, now_s: float) -> None:
        is_due = now_s - self._fleet_s >= KNOWN_S
        if is_due and any(map(self._costs_a_model, self._known)):
            self._fleet_s = now_s
            try_now("workers not looked at", self._read_fleet, is_repeated=True)
        left = dict.fromkeys(filter(self._costs_a_model, self._known))
        held = [queue for queue in left if _version_of(queue) in self._held]
        cold = [queue for queue in left if _version_of(queue) not in self._held]
        self._left = LeftQueues(cold, held)
        self._others = [queue for queue in self._known if queue not in left]

    def _costs_a_model(self, queue: str) -> bool:
        """Return True where something has to be unloaded for work of a queue."""
        version = _version_of(queue)
        if version is None or self._is_kept(version[0]) or self._memory.holds(*version):
            return False
        wanted_bytes = self._held.get(version) or self._memory.expected_bytes(*version)
        return not self._memory.has_room_for(wanted_bytes)

    def _read_fleet(self) -> None:
        others = [one for one in self._ledger.fleet.workers() if one.worker != self._worker]
        self._held = held_by(others)
        self._memory.elsewhere = frozenset(self._held)


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


#: Seconds between two wakeups that a worker passes on, at least: where all others are busy, it
#: gets its own back.
PASS_ON_EVERY_S = 0.2

#: Seconds for which it is known what the others can run.
OTHERS_KNOWN_S = 1.0


class PassedOn:
    """The wakeups that a worker passes on."""

    def __init__(self, context: WorkerContext, claimable: Callable[[], Iterable[str]]) -> None:
        """`claimable` returns the queues that it claims from: it leaves some of its own."""
        self._context = context
        self._claimable = claimable
        self._queues: tuple[str, ...] = ()
        self._looked_s = self._passed_s = float("-inf")
        self._could_claim = True
        self._timer: Timer | None = None

    def pass_on(self) -> None:
        """Send a wakeup to the routes with work that others can do and this worker cannot."""
        now_s, may_claim = monotonic(), self._context.may_claim()
        if now_s - self._looked_s >= OTHERS_KNOWN_S or may_claim is not self._could_claim:
            self._looked_s, self._could_claim = now_s, may_claim
            log_and_continue("workers not looked at", self._look)
        if not self._queues or (self._timer is not None and self._timer.is_alive()):
            return
        wait_s = self._passed_s + PASS_ON_EVERY_S - now_s
        if wait_s <= 0:
            self._send()
            return
        self._timer = Timer(wait_s, self._send)
        self._timer.daemon = True
        self._timer.start()

    def _look(self) -> None:
        context = self._context
        mine = set(self._claimable()) if context.may_claim() else set[str]()
        theirs = set[str]()
        # Another's store may have models that this worker's has not.
        catalog = context.ledger.fleet.catalog()
        made_with = {name: entry.made_with for name, entry in catalog.items()}
        for worker in context.ledger.fleet.workers():
            for route in context.routes:
                task, _, plugin = route.partition(".")
                if worker.worker == context.identity.name:
                    continue
                if task == TRAIN:
                    if takes(worker, task, plugin):
                        theirs.add(route)
                    continue
                for name, versions in worker.versions.items():
                    if made_with.get(name, name) == plugin and takes(worker, task, name):
                        theirs.update(queues_of_model(route, name, versions))
        self._queues = tuple(sorted(theirs - mine))

    def _send(self) -> None:
        self._passed_s = monotonic()
        work = self._context.ledger.work
        log_and_continue("wakeup not passed on", lambda: work.wake_where_due(self._queues))

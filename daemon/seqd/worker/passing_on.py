"""Passes wakeups on when this worker can do nothing with them.

Wakeups are queued by route, work by version. One that reaches a worker without the version, or one
that may claim nothing, would be lost to the workers that can, until a reconciler sends another.
"""

from collections.abc import Callable, Iterable
from threading import Timer
from time import monotonic

from seqd.kinds import TRAIN
from seqd.serving import takes
from seqd.worker.context import WorkerContext
from seqd.worker.logs import log_and_continue
from seqd_schemas import queues_of_model

#: Seconds between two wakeups that a worker passes on, at least: where all others are busy, it
#: gets its own back.
PASS_ON_EVERY_S = 0.2

#: Seconds for which it is known what the others can run.
KNOWN_S = 1.0


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
        if now_s - self._looked_s >= KNOWN_S or may_claim is not self._could_claim:
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

"""Has a child follow placements that change while it runs.

A thread looks at the rules twice a second. What they change of the queues holds at once; models are
loaded and unloaded by the thread that works, between two units, which is woken up for that.
"""

from collections.abc import Callable
from threading import Event, Thread

from seqd.ledger.outage import waiting_at_most
from seqd.worker.context import WorkerContext
from seqd.worker.logs import log_and_continue
from seqd.worker.readiness import ReadinessNotes

#: Seconds between two looks at the rules.
LOOK_S = 0.5


class PlacementChanges:
    """The changes that one child follows."""

    def __init__(
        self, context: WorkerContext, readiness: ReadinessNotes, publish: Callable[[], None]
    ) -> None:
        """`publish` publishes the worker's status."""
        self._context = context
        self._readiness = readiness
        self._publish = publish
        #: True while the thread that works can be waited for: it follows by itself.
        self.is_at_work = False
        self._is_new = False

    def watch(self, closed: Event) -> Thread:
        """Look at the rules from a thread, until `closed` is set."""

        def keep_looking() -> None:
            while not closed.wait(LOOK_S):
                with waiting_at_most(0):
                    log_and_continue("placements not looked at", self.look, is_repeated=True)

        thread = Thread(target=keep_looking, name="seqd-placement", daemon=True)
        thread.start()
        return thread

    def look(self) -> None:
        """Look at the rules once; wake this worker up where something is to be loaded for them."""
        context = self._context
        if context.placement.look():
            context.fitness.placement_has_changed()
            self._is_new = True
            self._publish()
        is_due = self._is_new or self._readiness.has_new()
        if is_due and not self.is_at_work and context.may_claim():
            context.ledger.work.wake(context.routes[0])

    def follow(self) -> None:
        """Unload what is not served here any more; called by the thread that works."""
        if not self._is_new:
            return
        self._is_new = False
        self._readiness.placement_has_changed()
        if self._context.cache.unload_all_but(self._context.placement.serves):
            log_and_continue("what is loaded is not published", self._publish)

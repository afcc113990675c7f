"""Carries out the model orders of clients, in a worker's parent: what is in service, what goes.

While there are open orders each worker looks at them, and takes those of models that its store has,
where it may write there. One worker holds an order, by a lease, makes the change and answers. Where
it dies, another carries the order out again: what was done already is found in the
model's history, by the order's identifier, and is not done twice.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Thread
from time import monotonic
from typing import Final

from seqd.errors import (
    REDIS_ERRORS,
    LeaseLost,
    SeqdError,
    ServiceChanged,
    Stopped,
    failure_of,
    wire_text,
)
from seqd.hookspecs import Artifact
from seqd.ledger import Ledger
from seqd.ledger.outage import waiting_at_most
from seqd.ledger.rules import Taking
from seqd.models.model_records import LATEST, PRODUCTION
from seqd.models.store import ModelStore
from seqd.settings import Settings
from seqd.worker.background import CLOSE_S, PeriodicTask
from seqd.worker.promotion import (
    ModelWork,
    Promotion,
    RolloutBegin,
    abort,
    make_warm,
    move_label,
    remove_version,
    rollback_of,
)
from seqd_schemas import (
    Failure,
    ModelOrder,
    OrderAction,
    OrderAnswer,
    Rollout,
    ServiceChange,
)

log = logging.getLogger(__name__)

#: Seconds between two looks at the orders that are open.
LOOK_S: Final = 0.5

#: Seconds for which an order is held after its worker's last sign of life, at most; a fourth of
#: them stand between two such signs.
LEASE_S: Final = 10.0

#: Orders that one worker carries out at a time.
AT_ONCE: Final = 8

#: Notes of an answer.
_MOST_NOTES: Final = 8


#: Returns what loads a version of a plugin's model for a trial; None where nothing can.
Trials = Callable[[str], Callable[[Artifact], None] | None]


class ModelOrderWatch(PeriodicTask):
    """The look at the orders, and a thread for each that this worker has taken.

    In a thread of its own: the store may be on a file server that hangs.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        store: ModelStore,
        trial_of: Trials,
        worker: str,
        publish: Callable[[], None],
    ) -> None:
        """`publish` publishes anew which models this worker can run."""
        super().__init__("model orders", LOOK_S)
        #: Whether there are any, as `RuleWatch` has seen.
        self.are_open = False
        self._ledger = ledger
        self._lease_s = settings.lease_s
        self._store = store
        self._trial_of = trial_of
        self._worker = worker
        self._publish = publish
        self._threads: dict[str, Thread] = {}

    def run_once(self) -> None:
        """Take what this worker's store has the model of, and nobody holds."""
        if not self.are_open:
            return
        self._threads = {name: one for name, one in self._threads.items() if one.is_alive()}
        with waiting_at_most(0):
            orders = self._ledger.orders.open()
        for order in orders:
            if len(self._threads) >= AT_ONCE:
                return
            if order.order_id not in self._threads and self._has(order):
                self._take(order)

    def close(self) -> None:
        """Stop, and wait for the work in hand, which ends at its next look."""
        super().close()
        deadline_s = monotonic() + CLOSE_S
        for thread in self._threads.values():
            thread.join(max(0.0, deadline_s - monotonic()))

    def _has(self, order: ModelOrder) -> bool:
        """Return True for an order that this worker knows, of a version that it may change."""
        if order.action not in {one.value for one in OrderAction} - {OrderAction.RENAME}:
            return False  # that of another release
        if not self._store.may_write(order.model):  # another worker may: a share, mounted for both
            return False
        numbers = self._store.numbers(order.model)
        needs_model_alone = order.version is None or order.action == OrderAction.REMOVE
        return bool(numbers) if needs_model_alone else order.version in numbers

    def _take(self, order: ModelOrder) -> None:
        run = OrderRun(
            self._ledger,
            self._store,
            self._trial_of,
            self._worker,
            order,
            self._publish,
            min(LEASE_S, self._lease_s),
            self._closed,
        )
        if not run.take():
            return
        log.info("order=%s taken: %s of %s", order.order_id, order.action, order.model)
        thread = Thread(target=run.run, name=f"seqd-order-{order.order_id}", daemon=True)
        self._threads[order.order_id] = thread
        thread.start()


@dataclass
class OrderRun:
    """One order that this worker holds, by a lease."""

    _ledger: Ledger
    _store: ModelStore
    _trial_of: Trials
    _worker: str
    _order: ModelOrder
    _publish: Callable[[], None]
    _lease_s: float
    #: Set when the worker ends.
    _closed: Event
    _renewed_s: float = float("-inf")
    #: True where another worker held it before, which may have made the change.
    _is_taken_over: bool = False
    _notes: list[str] = field(default_factory=list)
    #: The canary or shadow that has begun, or ended.
    _rollout: Rollout | None = None

    def __post_init__(self) -> None:
        """Have what the work takes."""
        self._work = ModelWork(
            self._ledger, self._store, self._publish, self._notes.append, self.go_on
        )

    def take(self) -> bool:
        """Take the order, or keep it; False where it is another's, or open no more."""
        self._renewed_s = monotonic()
        taking = self._ledger.orders.take(self._order.order_id, self._worker, self._lease_s)
        self._is_taken_over |= taking is Taking.TAKEN_OVER
        return taking is not Taking.REFUSED

    def go_on(self) -> None:
        """Keep the order. Raises LeaseLost where another worker has it, and Stopped."""
        if self._closed.is_set():
            raise Stopped("this worker ends")
        is_due = monotonic() - self._renewed_s >= self._lease_s / 4
        if is_due and not self.take():
            raise LeaseLost("another worker holds it")

    def run(self) -> None:
        """Carry the order out, and answer; no answer where another worker is to do so."""
        order = self._order
        try:
            before = self._carry_out()
        except (Stopped, LeaseLost, *REDIS_ERRORS) as error:
            log.warning("order=%s is left to another worker: %s", order.order_id, error)
            return
        except SeqdError as error:
            log.info("order=%s refused: %s", order.order_id, error)
            self._answer(failure=failure_of(error))
        except Exception as error:
            # A fault of ours, of which the client is told rather than that it waits.
            log.exception("order=%s", order.order_id)
            message = wire_text(f"{type(error).__name__}: {error}")
            self._answer(failure=Failure(code="internal", message=message))
        else:
            log.info("order=%s done: %s of %s", order.order_id, order.action, order.model)
            self._answer(before=before)

    def _carry_out(self) -> int | None:
        """Make the change; return the version that was in service before."""
        if self._order.action == OrderAction.REMOVE:
            return self._remove()
        done = self._done_before()
        if done is not None:
            self._rollout = done.rollout
            return done.from_version
        action = self._order.action
        if action in (OrderAction.LABEL, OrderAction.UNLABEL):
            return self._move_label()
        if action in (OrderAction.CANARY, OrderAction.SHADOW):
            begin = RolloutBegin(self._store, self._order)
            self._rollout = begin.rollout
            make_warm(self._work, begin, monotonic() + self._order.warm_s)
            return begin.rollout.serving
        # While a canary or a shadow goes on, a rollback ends that.
        is_tried = self._store.rollout(self._order.model) is not None
        if action == OrderAction.END_ROLLOUT or (action == OrderAction.ROLLBACK and is_tried):
            self._rollout = abort(self._store, self._order)
            self._publish()
            return self._rollout.serving
        return self._put_in_service()

    def _put_in_service(self) -> int | None:
        if self._order.action == OrderAction.ROLLBACK:
            change = rollback_of(self._store, self._order)
        else:
            assert self._order.version is not None, "a promotion names a version"
            change = Promotion(self._store, self._order, self._order.version)
        trial = self._trial_of(self._store.plugin_of(change.name))
        try:
            make_warm(self._work, change, monotonic() + self._order.warm_s, trial)
        except ServiceChanged:
            done = self._done_before()  # by a worker that was thought dead
            if done is None:
                raise
        return self._order.expected

    def _move_label(self) -> int | None:
        order = self._order
        assert order.version is not None and order.label is not None, "a label has a version"
        is_removed = order.action == OrderAction.UNLABEL
        labels = self._store.labels(order.model)
        is_done = is_removed and labels.get(order.label) != order.version
        if not (is_done and self._is_taken_over):
            version, label, by = order.version, order.label, order.by
            move_label(self._store, order.model, version, label, by, is_removed=is_removed)
        self._publish()
        return labels.get(PRODUCTION)

    def _remove(self) -> int | None:
        name, version = self._order.model, self._order.version
        assert version is not None, "a removal names a version"
        is_done = self._is_taken_over and version not in self._store.numbers(name)
        if not is_done:
            remove_version(self._work, name, version)
        return self._store.labels(name).get(PRODUCTION)

    def _done_before(self) -> ServiceChange | None:
        """Return the change that an earlier worker has made for the order, if one has."""
        changes = reversed(self._store.history(self._order.model))
        return next((one for one in changes if one.order_id == self._order.order_id), None)

    def _answer(self, *, before: int | None = None, failure: Failure | None = None) -> None:
        labels: dict[str, int] = {}
        try:
            labels = self._store.labels(self._order.model)
        except (SeqdError, OSError) as error:
            log.warning("labels of %s are not in the answer: %s", self._order.model, error)
        answer = OrderAnswer(
            order_id=self._order.order_id,
            worker=self._worker,
            failure=failure,
            in_service=labels.get(PRODUCTION),
            before=before,
            rollout=None if failure else self._rollout,
            labels={label: version for label, version in labels.items() if label != LATEST},
            notes=tuple(wire_text(note) for note in self._notes[:_MOST_NOTES]),
        )
        try:
            if not self._ledger.orders.answer(answer):
                log.warning("order=%s is another worker's now", self._order.order_id)
        except REDIS_ERRORS as error:
            log.warning("order=%s not answered: %s", self._order.order_id, error)

"""Operators' rules in a worker.

`RuleWatch` looks at them in the parent, and has it end the worker for a drain, as SIGTERM does.
`RuleChanges` has the child follow: cordoned, it claims nothing more. `DrainedWait` is a worker that
starts while a drain means it: it touches no device, says that it is drained, and begins once it
may.
"""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread
from time import monotonic, sleep
from types import FrameType

from seqd.ledger import Ledger
from seqd.ledger.outage import waiting_at_most
from seqd.ledger.rules import NOTICE_S
from seqd.models.registry import Registry
from seqd.settings import Settings
from seqd.targets import Place, drain_for, option_of
from seqd.worker.background import PeriodicTask
from seqd.worker.channel import Channel, HeartbeatFile
from seqd.worker.context import Identity, WorkerContext, status_without_child
from seqd.worker.drain import END_SIGNALS
from seqd.worker.logs import try_now
from seqd.worker.orders import ModelOrderWatch
from seqd.worker.readiness import ReadinessNotes
from seqd_schemas import Cordon, CordonRule, WorkerState

log = logging.getLogger(__name__)

#: Seconds between two looks of a child whether rules have changed, and of a drained worker at them.
LOOK_S = 0.5

#: Seconds in which the rule watch ends after a notice; only a Redis that hangs takes longer.
_WAKE_S = 1.0

#: Seconds between two looks of a drained worker for a signal.
SIGNAL_LOOK_S = 0.2


def cordon_of(rule: CordonRule, phase: str) -> Cordon:
    """Return how a worker stands for a rule."""
    return Cordon(
        phase=phase, target=rule.target, reason=rule.reason, by=rule.by, since_ms=rule.at_ms
    )


def in_words(rule: CordonRule) -> str:
    """Return a rule as a log tells it."""
    why = f": {rule.reason}" if rule.reason else ""
    return f"{rule.action} of {option_of(rule.target)} by {rule.by or 'somebody'}{why}"


class RuleChanges:
    """Has a child follow rules that change while it runs: what it serves, and whether it claims.

    A thread looks at them when the parent says that they have changed. What they change of the
    queues holds at once; models are loaded and unloaded by the thread that works, between two
    units.
    """

    def __init__(
        self,
        context: WorkerContext,
        readiness: ReadinessNotes,
        note_change: Callable[[], None],
    ) -> None:
        """`note_change` has the worker's status published soon."""
        self._context = context
        self._readiness = readiness
        self._note_change = note_change
        #: True while the thread that works can be waited for: it follows by itself.
        self.is_at_work = False
        #: The changes that the parent had told of when they were read; nothing before the first.
        self._seen: float | None = None
        self._read_at_s = monotonic()
        self._is_new = False

    def watch(self, closed: Event) -> Thread:
        """Follow the rules from a thread, until `closed` is set."""

        def keep_looking() -> None:
            while not closed.wait(LOOK_S):
                try_now("rules not looked at", self.look, is_repeated=True)

        thread = Thread(target=keep_looking, name="seqd-rules", daemon=True)
        thread.start()
        return thread

    def may_claim(self) -> bool:
        """Return whether the child may claim, by the rules as the parent has seen them last."""
        if self._seen != self._context.channel.rule_changes():
            try_now("rules not looked at", self.look, is_repeated=True)
        return self._context.may_claim()

    def look(self) -> None:
        """Look at rules that have changed; wake workers where they have this one load or claim.

        They are read every few seconds in any case, for a parent that cannot tell of changes: one
        of the release before, or one that shares no memory with this child.
        """
        context = self._context
        told = context.channel.rule_changes()
        if self._seen != told or monotonic() - self._read_at_s >= NOTICE_S:
            self._read_at_s = monotonic()
            self._read()
            self._seen = told
        is_due = self._is_new or self._readiness.has_new()
        if is_due and not self.is_at_work and context.may_claim():
            context.ledger.work.wake(context.routes[0])

    def _read(self) -> None:
        context = self._context
        if context.placement.look_at_cordons():
            rule = context.placement.cordon
            log.info("cordoned: %s" if rule else "uncordoned", *([in_words(rule)] if rule else []))
            self._note_change()
            if rule is None:
                context.ledger.work.wake_where_due(context.fitness.queues())
        if context.placement.look():
            context.fitness.placement_has_changed()
            self._is_new = True
            self._note_change()

    def follow(self) -> None:
        """Unload what is not served here any more; called by the thread that works."""
        if not self._is_new:
            return
        self._is_new = False
        self._readiness.placement_has_changed()
        if self._context.cache.unload_all_but(self._context.placement.serves):
            self._note_change()


class RuleWatch(PeriodicTask):
    """The look at rules and orders, in a worker's parent: at each notice, and every few seconds."""

    blocks = True

    def __init__(
        self,
        ledger: Ledger,
        place: Place,
        channel: Channel,
        orders: ModelOrderWatch,
        on_drain: Callable[[str], None],
    ) -> None:
        """`on_drain` is called once, with the rule in words, when the worker is to end."""
        super().__init__("rule watch", LOOK_S)
        self._ledger = ledger
        self._place = place
        self._channel = channel
        self._orders = orders
        self._on_drain = on_drain
        #: What was seen last; nothing before the first look.
        self._seen: tuple[object, object] | None = None
        self._is_draining = False

    def run_once(self) -> None:
        """Tell of what is new, and wait for the next notice."""
        seen, self._seen = self._seen, None  # after a round that fails all may be new
        with waiting_at_most(0, retries=0):
            look = self._ledger.looks.look(self._place.worker)
            self._orders.are_open = look.orders > 0
            if seen != look.rules:
                self._channel.rules_have_changed()
                self._drain_if_asked()
            self._ledger.looks.wait_for_notice()
        self._seen = look.rules

    def close(self) -> None:
        """Stop; a notice ends its wait."""
        self.request_stop()
        if self._thread.is_alive():
            try_now("rule watch not woken", self._ledger.looks.give_notice)
            self._thread.join(_WAKE_S)

    def _drain_if_asked(self) -> None:
        rule = drain_for(self._ledger.cordons.rules(), self._place)
        if rule is not None and not self._is_draining:
            self._is_draining = True
            self._on_drain(in_words(rule))


class DrainedWait:
    """A worker that starts while a drain means it, until it may begin or is asked to end."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        identity: Identity,
        registry: Registry,
        heartbeat: HeartbeatFile,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._identity = identity
        self._registry = registry
        self._heartbeat = heartbeat

    def wait(self, rule: CordonRule) -> bool:
        """Wait while a drain means the worker; False where it is to end.

        So it is when it was asked to, and under `seqd up`, which starts another that has the code
        of that time. Its heartbeat goes on, so that nobody takes it for dead, and it is never
        ready.
        """
        log.warning(
            "drained worker=%s: it starts after `seqd workers uncordon %s`: %s",
            self._identity.name,
            option_of(rule.target),
            in_words(rule),
        )
        started_at_ms = self._ledger.fleet.now_ms()
        looked_s = beaten_s = float("-inf")
        current: CordonRule | None = rule
        signals = list[int]()

        def look() -> None:
            nonlocal current
            current = drain_for(self._ledger.cordons.rules(), self._identity.place)

        with _noting(signals):
            while current is not None and not signals:
                now_s = monotonic()
                if now_s - looked_s >= LOOK_S:
                    looked_s = now_s
                    try_now("rules not looked at", look, is_repeated=True)
                if current is not None and now_s - beaten_s >= self._settings.heartbeat_s:
                    beaten_s = now_s
                    self._heartbeat.beat()
                    publish = partial(self._publish, current, started_at_ms)
                    try_now("worker status not published", publish, is_repeated=True)
                sleep(SIGNAL_LOOK_S)
        if current is None:
            log.info("uncordoned worker=%s: it starts", self._identity.name)
            if not self._settings.supervised:
                return True
        else:
            log.info("asked to end by %s", signal.Signals(signals[0]).name)
        self._heartbeat.remove()
        try_now(
            "worker not removed from the fleet",
            lambda: self._ledger.fleet.forget_worker(self._identity.name),
        )
        return False

    def _publish(self, rule: CordonRule, started_at_ms: int) -> None:
        now_ms, offset_ms = self._ledger.fleet.clock()
        status = status_without_child(
            self._identity, self._settings, self._registry.statuses, now_ms
        )
        update = {
            "pid": os.getpid(),
            "state": WorkerState.DRAINING,
            "cordon": cordon_of(rule, "drained"),
            "started_at_ms": started_at_ms,
            "clock_offset_ms": offset_ms,
        }
        self._ledger.fleet.publish_worker(status.model_copy(update=update))


@contextmanager
def _noting(numbers: list[int]) -> Iterator[None]:
    """Note signals that ask for an end, in a list, for the time of a block."""

    def note(number: int, frame: FrameType | None) -> None:
        numbers.append(number)

    ours = [number for number in END_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

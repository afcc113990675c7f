"""Operators' rules in a worker: its parent learns of them from the ledger, a file tells its child.

`CordonWatch` looks twice a second, at one number as long as nothing changes; `RuleChanges` has the
child follow. A cordon has the child
claim nothing more, a drain ends the worker as SIGTERM does. `DrainedWait` is a worker that starts
while a drain means it: it touches no device, says that it is drained, and begins once it may.
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

from pydantic import ValidationError

from seqd.ledger import Ledger
from seqd.ledger.outage import waiting_at_most
from seqd.local.run_files import CORDONED, RunFolder
from seqd.models.registry import Registry
from seqd.settings import Settings
from seqd.targets import Place, drain_for, option_of, rule_for
from seqd.worker.background import PeriodicTask
from seqd.worker.channel import HeartbeatFile
from seqd.worker.context import Identity, WorkerContext, status_without_child
from seqd.worker.drain import END_SIGNALS
from seqd.worker.logs import log_and_continue, try_now
from seqd.worker.readiness import ReadinessNotes
from seqd_schemas import (
    Cordon,
    CordonAction,
    CordonRule,
    WorkerState,
    from_stored,
    to_stored,
)

log = logging.getLogger(__name__)

#: Seconds between two looks of a worker at the rules.
LOOK_S = 0.5

#: Seconds between two looks of a child at the file, and of a drained worker for a signal.
FILE_LOOK_S = 0.2


def cordon_of(rule: CordonRule, phase: str) -> Cordon:
    """Return how a worker stands for a rule."""
    return Cordon(
        phase=phase, target=rule.target, reason=rule.reason, by=rule.by, since_ms=rule.at_ms
    )


def in_words(rule: CordonRule) -> str:
    """Return a rule as a log tells it."""
    why = f": {rule.reason}" if rule.reason else ""
    return f"{rule.action} of {option_of(rule.target)} by {rule.by or 'somebody'}{why}"


class CordonFile:
    """By which a node tells its child that a rule of an operator keeps it from claiming."""

    def __init__(self, settings: Settings, worker: str) -> None:
        self._path = RunFolder(settings.data_dir).file(worker, CORDONED)

    def write(self, rule: CordonRule) -> None:
        """Put a rule there, in the place of another. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(to_stored(rule))

    def remove(self) -> None:
        """Remove it; at boot, without a rule, and when the node has stopped."""
        self._path.unlink(missing_ok=True)

    def is_there(self) -> bool:
        """Return True while a rule keeps the worker from claiming."""
        return self._path.exists()

    def stamp(self) -> tuple[int, int] | None:
        """Return what changes with the file; None without one."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return None
        return stat.st_mtime_ns, stat.st_size

    def rule(self) -> CordonRule | None:
        """Return the rule; None without one, and where it cannot be read."""
        try:
            return from_stored(CordonRule, self._path.read_bytes())
        except (OSError, ValidationError):  # removed just now, or a full disk had no room for it
            return None


class RuleChanges:
    """Has a child follow rules that change while it runs: what it serves, and whether it claims.

    A thread looks at them. What they change of the queues holds at once; models are loaded and
    unloaded by the thread that works, between two units.
    """

    def __init__(
        self,
        context: WorkerContext,
        readiness: ReadinessNotes,
        cordon: CordonFile,
        publish: Callable[[], None],
    ) -> None:
        """`publish` publishes the worker's status."""
        self._context = context
        self._readiness = readiness
        self._cordon = cordon
        self._publish = publish
        #: True while the thread that works can be waited for: it follows by itself.
        self.is_at_work = False
        self._is_new = False

    def watch(self, closed: Event) -> Thread:
        """Look at the rules from a thread, until `closed` is set."""

        def keep_looking() -> None:
            seen, looked_s = None, monotonic()
            while not closed.is_set():
                stamp = self._cordon.stamp()
                if stamp != seen:
                    seen = stamp
                    log_and_continue("a rule's change is not published", self._publish)
                if monotonic() - looked_s >= LOOK_S:
                    looked_s = monotonic()
                    try_now("placements not looked at", self.look, is_repeated=True)
                closed.wait(FILE_LOOK_S)

        thread = Thread(target=keep_looking, name="seqd-rules", daemon=True)
        thread.start()
        return thread

    def look(self) -> None:
        """Look at the placements once; wake this worker up where they have it load something."""
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


class CordonWatch(PeriodicTask):
    """The look at the rules, in a worker's parent."""

    def __init__(
        self,
        ledger: Ledger,
        place: Place,
        file: CordonFile,
        *,
        on_drain: Callable[[str], None],
        on_uncordon: Callable[[], None],
    ) -> None:
        """`on_drain` is called once, with the rule in words, when the worker is to end.

        `on_uncordon` is called when it may claim again.
        """
        super().__init__("cordon watch", LOOK_S)
        self._cordons = ledger.cordons
        self._place = place
        self._file = file
        self._on_drain = on_drain
        self._on_uncordon = on_uncordon
        #: What was seen last; nothing before the first look.
        self._version: tuple[bytes | None] | None = None
        self._rule: CordonRule | None = None
        self._is_draining = False

    def run_once(self) -> None:
        """Do what the rules ask, where they have changed."""
        with waiting_at_most(0):
            version = self._cordons.version()
            if self._version == (version,):
                return
            rule = rule_for(self._cordons.rules(), self._place)
        self._apply(rule)
        self._version = (version,)

    def _apply(self, rule: CordonRule | None) -> None:
        before, self._rule = self._rule, rule
        if rule is None:
            self._file.remove()
            if before is not None:
                log.info("uncordoned worker=%s", self._place.worker)
                self._on_uncordon()
            return
        self._file.write(rule)
        if rule != before:
            log.info("%s worker=%s", in_words(rule), self._place.worker)
        if rule.action is CordonAction.DRAIN and not self._is_draining:
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

    @classmethod
    def rule(cls, ledger: Ledger, identity: Identity) -> CordonRule | None:
        """Return the drain that means a worker; None where it may begin."""
        return drain_for(ledger.cordons.rules(), identity.place)

    def wait(self, rule: CordonRule) -> bool:
        """Wait while a drain means the worker; False when it was asked to end before that.

        Its heartbeat goes on, so that nobody takes it for dead, and it is never ready.
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
        with _noting(signals):
            while current is not None and not signals:
                now_s = monotonic()
                if now_s - looked_s >= LOOK_S:
                    looked_s, current = now_s, self._look(current)
                if current is not None and now_s - beaten_s >= self._settings.heartbeat_s:
                    beaten_s = now_s
                    self._heartbeat.beat()
                    publish = partial(self._publish, current, started_at_ms)
                    try_now("worker status not published", publish, is_repeated=True)
                sleep(FILE_LOOK_S)
        if current is None:
            log.info("uncordoned worker=%s: it starts", self._identity.name)
            return True
        log.info("asked to end by %s", signal.Signals(signals[0]).name)
        self._heartbeat.remove()
        try_now(
            "worker not removed from the fleet",
            lambda: self._ledger.fleet.forget_worker(self._identity.name),
        )
        return False

    def leave(self, rule: CordonRule, place: Place) -> None:
        """Publish the slot as drained, for a worker that ends by a rule: until `seqd up` does.

        In between nobody would be up, and who waits be told that.
        """
        self._publish(rule, self._ledger.fleet.now_ms(), place.slot_at_host)

    def _look(self, known: CordonRule) -> CordonRule | None:
        """Return the drain that means this worker now; what is known while Redis is away."""
        found: list[CordonRule | None] = [known]

        def look() -> None:
            found[0] = self.rule(self._ledger, self._identity)

        try_now("rules not looked at", look, is_repeated=True)
        return found[0]

    def _publish(self, rule: CordonRule, started_at_ms: int, name: str = "") -> None:
        now_ms, offset_ms = self._ledger.fleet.clock()
        status = status_without_child(
            self._identity, self._settings, self._registry.statuses, now_ms
        )
        update = {
            "worker": name or status.worker,
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

"""Periodic tasks in threads of a worker's parent, and those of who reconciles the fleet.

An exception of a round is logged, and the task continues: a worker whose threads had ended without
a trace would look healthy.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from math import inf
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING

from seqd.errors import NoFitWorker, RedisFull, StoreUnwritable, UnknownJob, failure_of
from seqd.ledger import Ledger
from seqd.models.shared_store import SharedStore
from seqd.serving import can_run, reasons, serves
from seqd.settings import Settings
from seqd.worker.logs import log_and_continue
from seqd_schemas import QueueName, UnfitCode, WorkerStatus

if TYPE_CHECKING:
    from seqd.ledger.fleet import Fleet


log = logging.getLogger(__name__)

#: Open jobs that one round looks at: the oldest, and as many more, each round from where the last
#: one ended.
LOOK_AT_JOBS = 100

#: What does not pass by waiting: somebody has to install or replace something.
LASTING = frozenset({UnfitCode.DAMAGED, UnfitCode.NO_LIBRARY, UnfitCode.LOAD_FAILED})

#: Workers whose reasons a message has.
_MOST_REASONS = 8


def no_fit_worker(what: str, why: Mapping[str, tuple[str, str]]) -> NoFitWorker:
    """Return the error for what no worker can run, with the reason of each."""
    shown = [f"{name}: {code}: {said}" for name, (code, said) in list(why.items())[:_MOST_REASONS]]
    rest = f"; and {len(why) - len(shown)} more" if len(why) > len(shown) else ""
    return NoFitWorker(
        f"No worker that is up can run {what}. {'; '.join(shown)}{rest}. Mend one of them and send "
        "the job again; `seqd status` shows what each cannot run."
    )


class Unserved:
    """Fails jobs that no worker of the fleet can run, by what they publish.

    Such a job waits while a worker may still come back to it, and then fails with the reason of
    each worker. With no worker up that takes its task and model at all, it waits: nothing is known
    of those that will come, and whoever takes an upgrade back that has broken a plugin loses no
    job. Used by the worker that reconciles.
    """

    def __init__(
        self, ledger: Ledger, grace_s: float, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._ledger = ledger
        self._grace_s = grace_s
        self._clock = clock
        self._next = 0
        #: By queue, when it was first seen that nobody can run it.
        self._since_s: dict[str, float] = {}

    def run_once(self) -> None:
        """Look at some of the open jobs, and fail those that have waited long enough."""
        workers = self._ledger.fleet.workers()
        waiting: dict[str, float] = {}
        for job_id, queue in self._page():
            task, model, version = QueueName.parse(queue)
            if version is None:
                continue  # a training, whose worker decides when it releases it
            why = reasons(workers, task, model, version)
            if not why or any(can_run(one, task, model, version) for one in workers):
                continue
            since_s = waiting.setdefault(queue, self._since_s.get(queue, self._clock()))
            is_lasting = all(code in LASTING for code, _ in why.values())
            if is_lasting or self._clock() - since_s >= self._grace_s:
                self._fail(job_id, f"{task} of {model}@{version}", why)
        # A queue of which no job was looked at this time keeps its time.
        self._since_s = {**self._kept(workers), **waiting}

    def _page(self) -> list[tuple[str, str]]:
        oldest = self._ledger.control.open_queues(0, LOOK_AT_JOBS)
        self._next = max(self._next, LOOK_AT_JOBS)
        more = self._ledger.control.open_queues(self._next, LOOK_AT_JOBS)
        self._next = self._next + LOOK_AT_JOBS if more else 0
        return oldest + more

    def _kept(self, workers: Sequence[WorkerStatus]) -> dict[str, float]:
        return {
            queue: since_s
            for queue, since_s in self._since_s.items()
            if not any(can_run(one, *QueueName.parse(queue)) for one in workers)
            and self._clock() - since_s < 2 * self._grace_s + 60
        }

    def _fail(self, job_id: str, what: str, why: Mapping[str, tuple[str, str]]) -> None:
        error = no_fit_worker(what, why)
        try:
            self._ledger.control.fail(job_id, failure_of(error))
        except UnknownJob:
            return  # removed meanwhile
        log.error("failed job=%s: %s", job_id, error)


class StaleEntries:
    """Removes catalog entries of models that no worker serves any more, as of a broken plugin.

    Jobs for such a model would be accepted and wait for ever. With no worker up nothing is removed,
    so that jobs can be sent while a fleet restarts; and a model keeps its entry for a while after
    its last worker. A worker that has the model publishes it again when it starts.
    """

    def __init__(
        self,
        fleet: "Fleet",
        own_models: Collection[str],
        grace_s: float,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`own_models` are those of this worker, which may not have published its record yet."""
        self._fleet = fleet
        self._own_models = frozenset(own_models)
        self._grace_s = grace_s
        self._clock = clock
        self._unserved_since_s: dict[str, float] = {}

    def run_once(self) -> None:
        """Remove the entries of models that have not been served for the time of grace."""
        now_s, workers = self._clock(), self._fleet.workers()
        if not workers:
            self.forget()
            return
        self._unserved_since_s = {
            model: self._unserved_since_s.get(model, now_s)
            for model in self._fleet.published_models() - self._own_models
            if not any(serves(worker, model) for worker in workers)
        }
        long_unserved = [
            model
            for model, since_s in self._unserved_since_s.items()
            if now_s - since_s >= self._grace_s
        ]
        if long_unserved:
            self._remove(long_unserved)

    def forget(self) -> None:
        """Begin anew: another worker reconciles now, or nobody is up whom to ask."""
        self._unserved_since_s.clear()

    def _remove(self, models: Collection[str]) -> None:
        # A worker publishes what it has before it says that it is up.
        newest_ms = self._fleet.now_ms() - int(1_000 * self._grace_s)
        removed = self._fleet.remove_published(models, older_than_ms=newest_ms)
        if removed:
            log.warning(
                "removed from the catalog, since no worker has served them for %.0f s: %s",
                self._grace_s,
                ", ".join(removed),
            )


#: Seconds for which a task may finish its round when the worker ends.
CLOSE_S = 10.0

#: Seconds until a round that failed is tried again, where the task's own pause is longer.
RETRY_S = 0.5

#: Seconds between two looks of a host at the model store at a URL.
MIRROR_S = 5.0

#: Seconds that workers have to renew their leases when Redis is back, before leases count as run
#: out: they try twice a second.
RENEWAL_GRACE_S = 3.0

#: Seconds between two rounds on the server's clock, beside the pause, from which on leases may have
#: run out of workers that are alive.
LONGEST_GAP_S = 2.0

#: Seconds between two removals of records whose time to live is over.
PRUNE_EVERY_S = 60.0


class PeriodicTask(ABC):
    """Something that is done again and again, in a thread of the worker's parent."""

    #: True for a task whose round itself waits for something to do.
    blocks = False

    def __init__(self, name: str, pause_s: float) -> None:
        """`pause_s` is the wait after each round, but of a task that blocks."""
        self._name = name
        self._pause_s = pause_s
        self._closed = Event()
        self._thread = Thread(target=self._run, name=f"seqd-{name}", daemon=True)

    @abstractmethod
    def run_once(self) -> None:
        """Do what is due."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def request_stop(self) -> None:
        """Begin no further round; does not wait."""
        self._closed.set()

    def close(self) -> None:
        """Stop, and wait for the round in progress, at most `CLOSE_S` seconds."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._closed.is_set():
            succeeded = log_and_continue(
                f"a round of the {self._name} failed", self.run_once, is_repeated=True
            )
            if not succeeded:
                self._closed.wait(min(self._pause_s, RETRY_S))
            elif not self.blocks:
                self._closed.wait(self._pause_s)


class StoreMirror(PeriodicTask):
    """Has this host's mirror of the model store at a URL say what that says.

    One worker of a host does so for all of them.
    """

    def __init__(self, store: SharedStore) -> None:
        super().__init__("mirror of the model store", 1.0)
        self._store = store
        self._said = ""

    def run_once(self) -> None:
        """Look at the store, where nobody on this host has done so lately."""
        self._try(MIRROR_S)

    def try_once(self) -> None:
        """Look at the store; what is in the mirror is served where that cannot be reached."""
        self._try(0.0)

    def _try(self, max_age_s: float) -> None:
        try:
            self._store.refresh(max_age_s)
        except StoreUnwritable as error:  # also where it cannot be reached
            if str(error) != self._said:
                log.warning("%s", error)
            self._said = str(error)
        else:
            self._said = ""


class Reconciler(PeriodicTask):
    """Makes units claimable whose lease or back-off ran out, and sends lost wakeups again.

    One worker at a time does so for the whole fleet, by a lock in Redis. The lock expires by
    itself, so that nothing waits for a worker that was killed while it held it. Each worker looks
    after two things itself: wakeups for its own queues, and its models in the catalog, which a new
    and empty Redis does not have.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        worker: str,
        routes: tuple[str, ...],
        queues: Callable[[], tuple[str, ...]],
        publish_catalog: Callable[[], None],
        note_inbox: Callable[[int, bool], None] = lambda entries, is_led: None,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`queues` returns what this worker can claim from now.

        `publish_catalog` publishes anew which models this worker can run. `note_inbox` is told in
        each round how many entries the inbox has, and whether another worker reconciles.
        """
        super().__init__("reconciler", settings.reconcile_s)
        self._ledger = ledger
        self._abandoned_s = settings.abandoned_upload_s
        self._worker = worker
        self._queues = queues
        self._models = frozenset(route.partition(".")[2] for route in routes)
        self._publish_catalog = publish_catalog
        self._note_inbox = note_inbox
        grace_s = settings.unfit_grace_s
        self._stale_entries = StaleEntries(ledger.fleet, self._models, grace_s, clock=clock)
        self._unserved = Unserved(ledger, grace_s, clock=clock)
        self._pruned_at = 0.0
        #: When the last round that ended well did so, on the server's clock, and until when others
        #: may show that they live, after an outage or a step of that clock.
        self._last_ms: int | None = None
        self._renewed_by = -inf
        #: True while a round has not ended well.
        self._was_away = False
        self._lease_s = settings.lease_s
        self._heartbeat_s = settings.heartbeat_s
        self._clock = clock
        #: True since a full Redis has refused the lock, which is logged once.
        self._lacks_lock = False

    def run_once(self) -> None:
        """Release what is due, end what was abandoned, and wake workers for what waits."""
        was_away, self._was_away = self._was_away, True
        began_s, queues = self._clock(), list[str]()
        # Each worker for its own queues: another may not know them.
        log_and_continue("queues not listed", lambda: queues.extend(self._queues()))
        listed_s = self._clock() - began_s
        look = self._ledger.looks.look(self._worker, self._models, queues)
        # When the round began: to list takes long where the store is on a slow file server.
        now_ms = look.now_ms - int(listed_s * 1000)
        # Also without the lock: who gets it next knows of a gap.
        self._wait_after_a_gap(now_ms, was_away=was_away)
        is_led = look.is_led or not self._holds_lock()
        self._note_inbox(look.inbox_entries, is_led)
        if not is_led:
            if self._clock() >= self._renewed_by:
                self._judge_silence(now_ms)
            # What fails here the next round does again.
            log_and_continue(
                "ended jobs that should make room not removed", self._evict, is_repeated=True
            )
            if self._clock() - self._pruned_at >= PRUNE_EVERY_S:
                self._pruned_at = self._clock()
                self._ledger.fleet.prune()
                self._ledger.jobs.forget_expired()
        else:
            self._stale_entries.forget()
        if look.lacks_model:
            # A Redis that is new, or was emptied.
            log.warning("Redis has lost the catalog of models; publishing it again")
            self._publish_catalog()
        # A round that takes long, such as one that evicts many jobs, is no gap.
        self._last_ms = now_ms + int((self._clock() - began_s) * 1000)
        self._was_away = False

    def _judge_silence(self, now_ms: int) -> None:
        """Do what follows from nobody having been heard of: no worker, no upload's client."""
        released = self._ledger.work.expire()
        if released:
            log.info("made claimable units=%d", released)
        self._ledger.control.fail_abandoned(self._abandoned_s, now_ms)
        # Both go by the records of workers, of which some may have run out, and others not.
        for what_failed, step in (
            ("jobs that nobody can run not looked for", self._unserved.run_once),
            ("stale catalog entries not removed", self._stale_entries.run_once),
        ):
            log_and_continue(what_failed, step, is_repeated=True)

    def _wait_after_a_gap(self, now_ms: int, *, was_away: bool) -> None:
        """Have silence count for nothing for a while after a gap on the server's clock.

        Such as an outage, the sleep of a machine, or a step of that clock: nobody could renew
        meanwhile. Those that work do so now, and what a training has done since its last checkpoint
        is not done again. Where nothing was amiss with the connections, they do not know of it, and
        show themselves at their next heartbeat.
        """
        gap_s = 0.0 if self._last_ms is None else (now_ms - self._last_ms) / 1000
        if gap_s < 0:
            log.warning("the clock of Redis was set back by %.1f s or more", -gap_s)
        if gap_s <= self._pause_s + LONGEST_GAP_S:
            return
        log.warning(
            "%.1f s passed on the clock of Redis since the last round: an outage, a machine that "
            "slept, or that clock was set forward; workers have time to renew their leases",
            gap_s,
        )
        now = self._clock()
        # Once a lease at most: a Redis that is slow, and not away, must not hold leases up.
        if now - self._renewed_by > self._lease_s:
            wait_s = 0.0 if was_away else self._heartbeat_s
            self._renewed_by = now + wait_s + RENEWAL_GRACE_S

    def _evict(self) -> None:
        evicted = self._ledger.retention.evict()
        if evicted:
            log.warning("removed before their time, to make room: ended jobs=%d", evicted)

    def _holds_lock(self) -> bool:
        try:
            held = self._ledger.fleet.take_lock("reconciler", self._worker, self._pause_s * 3)
        except RedisFull as error:
            # A lock takes memory; to release units takes none, and their work may be what makes
            # room. Two workers that reconcile at once do what one does.
            if not self._lacks_lock:
                log.warning("reconciling without the lock: %s", error.cause)
            self._lacks_lock = True
            return True
        self._lacks_lock = False
        return held

"""The work of a worker's pool child: it warms its models up, then claims and runs units.

Knows nothing of Celery: `wakeups` has what that calls.
"""

import logging
import os
from copy import copy
from functools import partial
from threading import Event, Thread
from time import monotonic, sleep

from redis.exceptions import ResponseError

from seqd import __version__
from seqd.errors import (
    REDIS_ERRORS,
    DeviceUnavailable,
    LeaseLost,
    RedisFull,
    RedisRefused,
    RedisUnreachable,
    SeqdError,
    Stopped,
    UnusableSlot,
    wire_text,
)
from seqd.ledger.outage import waiting_at_most
from seqd.ledger.wakeup import take_wakeup
from seqd.ledger.work import Claim
from seqd.local.process_states import is_stopped, start_ticks_of
from seqd.local.slots import Slot
from seqd.log_context import LoggedWork, first_jobs, trace_of, working_on
from seqd.models.catalog import lacks_any, lacks_rollout
from seqd.plugin.calls import PluginCall
from seqd.scaling import Rate
from seqd.settings import Settings
from seqd.worker.context import WorkerContext
from seqd.worker.cordon import RuleChanges, cordon_of
from seqd.worker.counting import RateMeter
from seqd.worker.death_record import DeathsFile
from seqd.worker.deaths import NOT_NOTED
from seqd.worker.faults import Unfit, device_error, sentence_of, unfit_code
from seqd.worker.fitness import RESCAN_S
from seqd.worker.ingest import Ingest
from seqd.worker.ingest_ranges import RangeReader
from seqd.worker.items import ItemRunner
from seqd.worker.leases import CLOSE_S
from seqd.worker.logs import log_and_continue, try_now
from seqd.worker.readiness import ReadinessNotes, StateNews
from seqd.worker.residency import PassedOn, Residency
from seqd.worker.training.train import TrainingRunner
from seqd_schemas import (
    FORMAT,
    MAX_LEFT_OUT,
    ClaimInHand,
    Cordon,
    DeviceStatus,
    ModelReference,
    Priority,
    QueueName,
    SweepJob,
    TrainJob,
    UnfitCode,
    WorkerState,
    WorkerStatus,
    queues_of_model,
    route_of,
    task_of,
)

log = logging.getLogger(__name__)

#: Seconds until units are tried again whose results Redis had no memory for.
FULL_WAIT_S = 5.0

#: Seconds between two looks for work while a file is open here of which enough is waiting.
INGEST_POLL_S = 0.05

#: Seconds for which a worker that has run out of work waits for a wakeup itself. By Celery it comes
#: 2 ms later, through the parent: a third of what one answer takes where one follows another.
LINGER_S = 2.0

#: Seconds after which a worker that waits looks whether it drains.
LINGER_POLL_S = 0.25

#: Milliseconds for which a model counts as in use after its last items: a worker that starts has it
#: loaded.
IN_USE_MS = 24 * 3_600_000

#: Times in a row that a sick device fails at the warm-up input, before the worker starts anew.
MAX_DEVICE_FAILURES = 3


class WorkLoop:
    """Claims units and has them run, one claim at a time."""

    def __init__(self, context: WorkerContext, settings: Settings) -> None:
        self._context = context
        self._slice_s = settings.slice_s
        self._backoff_s = settings.backoff_s
        self._state = WorkerState.STARTING
        self._started_at_ms = context.ledger.fleet.now_ms()
        self._start_ticks = start_ticks_of("self")
        #: What is yet to be loaded before it is ready, what is being loaded first; () from then on.
        self._loading: tuple[str, ...] = ()
        #: The claim in hand, and when it was made.
        self._in_hand: tuple[Claim, float] | None = None
        #: True where the catalog could not be published, so that a heartbeat tries again.
        self._is_unpublished = False
        self._residency = Residency(
            context.cache,
            context.ledger,
            context.identity.name,
            context.placement.is_kept,
            settings.unload_wait_s,
        )
        self._wakeups = PassedOn(context, self._claimable)
        self._deaths = DeathsFile(settings, context.identity.name)
        self._is_supervised = settings.supervised
        self._items = ItemRunner(context, settings)
        self._trainings = TrainingRunner(context, settings)
        self._ingest = Ingest(context, settings)
        self._ranges = RangeReader(context, settings)
        self._rates = RateMeter(context.ledger.backlog.note_rate)
        self._readiness = ReadinessNotes(context, settings)
        self._news = StateNews(self._publish_status)
        self._rules = RuleChanges(context, self._readiness, self._news.note)
        self._closed = Event()
        self._watch: Thread | None = None

    def close(self) -> None:
        """End its threads, so that none publishes any more; a process that ends need not do so."""
        self._closed.set()
        self._news.close()
        self._context.leases.close()
        if self._watch is not None:
            self._watch.join(CLOSE_S)

    def warm_up(self) -> None:
        """Load what the slot serves, so that the first item pays for nothing; then be ready.

        That are the plugins' own models, what is kept here, and what was in use lately; the others
        are loaded with their first item. A model that cannot be loaded is logged, and unfit: its
        jobs are left to other workers.
        """
        self._claim_device()
        self._context.placement.look()
        self._context.placement.look_at_cordons()
        self._context.fitness.placement_has_changed()
        self._readiness.look()
        self._note_readiness()
        # Of a child that died while Redis was away, when the parent could not release it.
        self._context.ledger.work.release_worker(self._context.identity.name, crashed=True)
        names = self._readiness.loading_order(self._models_in_use())
        versions = {name: self._readiness.version_in_service(name) for name in names}
        refs = [f"{n}@{version}" for n, version in versions.items() if version is not None]
        self._loading = tuple(refs)
        self._news.publish_now()
        self._news.start()
        self._context.leases.start(self._on_heartbeat)  # loads may take longer than a record stays
        for name, version in versions.items():
            if self._is_due_at_start(name):
                with self._context.channel.computing():
                    self._load(name)
                self._note_readiness()
            if version is not None:
                refs.remove(f"{name}@{version}")
                self._loading = tuple(refs)
        self._readiness.note_warmed_up()
        self._warn_of_cold()
        self._context.fitness.on_change(self._news.note)
        if self._context.drain.error() is not None:
            return  # a model has found no device: the worker ends, and is never ready
        # Before it is ready: whoever waits for that may use its versions at once.
        log_and_continue("catalog not published", self._context.publish_catalog)
        self._loading = ()
        # What an operator has asked for while it loaded holds for its first claim, too.
        try_now("rules not looked at", self._rules.look)
        self._enter(WorkerState.READY)
        try_now("worker status not published", self._news.publish_now)
        self._watch = self._rules.watch(self._closed)
        self._context.registry.notify_worker_ready(self.status())

    def _models_in_use(self) -> set[str]:
        """Return the models of which items were done lately, by any worker."""
        rates = dict[str, Rate]()
        try_now(
            "what was in use is not known",
            lambda: rates.update(self._context.ledger.backlog.rates()),
        )
        since_ms = self._started_at_ms - IN_USE_MS
        return {
            QueueName.parse(queue).model for queue, rate in rates.items() if rate.at_ms > since_ms
        }

    def _is_due_at_start(self, name: str) -> bool:
        """Return True for a model with a version in service that is kept, or that has room."""
        context, version = self._context, self._readiness.version_in_service(name)
        if version is None:
            if context.placement.is_kept(name):
                log.warning(
                    "nothing loaded of model=%s: it has no version in service; `seqd models "
                    "promote %s@VERSION` puts one there",
                    *(name, name),
                )
            return False
        return context.placement.is_kept(name) or context.cache.has_room_for(
            context.cache.expected_bytes(name, version)
        )

    def _claim_device(self) -> None:
        """Have the plugins take the slot's GPU; where they cannot, the worker ends."""
        device = self._context.identity.device
        if device.kind == "cpu":
            return
        try:
            with PluginCall():
                self._context.registry.claim_device(device)
        except Exception as error:
            self._context.end_for_device(device_error(error))
            raise

    def run_slice(self) -> None:
        """Work until nothing is claimable, `slice_s` seconds are over, or the worker drains.

        Who has worked waits `LINGER_S` for more.
        """
        self._rules.is_at_work, is_idle = True, False
        try:
            is_idle = self._work_for_a_slice()
        finally:
            self._end_slice(is_idle=is_idle)

    def _work_for_a_slice(self) -> bool:
        """Claim and run units; return True where nothing was claimable since the last wakeup."""
        context = self._context
        ends_at, waits_until_s = monotonic() + self._slice_s, 0.0
        is_idle = True
        while self._rules.may_claim():
            self._rules.follow()
            self._try_unfit_again()
            self._warm_up_required()
            began = monotonic()
            claim = self._resumed_ingest() or self._claim()
            if claim is None:
                self._ingest.close()
                self._items.close()
                # A wakeup without work may be of a version that another process has published.
                if context.fitness.refresh(0.0 if is_idle else RESCAN_S):
                    self._publish_versions()
                    continue
                if self._has_read_range():
                    is_idle = False
                    continue
                if self._ingest.has_kept:
                    # Nobody would wake this worker when it is time to read on.
                    sleep(INGEST_POLL_S)
                    continue
                if is_idle:
                    self._wakeups.pass_on()
                if not self._wait_for_wakeup(waits_until_s):
                    break
                is_idle = True
                continue
            is_idle = False
            context.stats.claim_s += monotonic() - began
            self._enter(WorkerState.BUSY)
            self._measure(claim, began)
            waits_until_s = monotonic() + LINGER_S
            if monotonic() >= ends_at and not self._ingest.has_kept:
                self._wake_where_due()
                break
        return is_idle

    def _end_slice(self, *, is_idle: bool) -> None:
        """Publish what this worker does now; lose no wakeup with which it can do nothing."""
        context = self._context
        self._rules.is_at_work = False
        if not is_idle:
            self._rates.note(if_due=True)
        if not context.may_claim():
            log_and_continue("kept ingests not released", self._ingest.release_kept)
        if context.drain.is_raised():
            # What was released does not wait for the reconciler: another worker goes on at once.
            self._wake_where_due()
            self._enter(WorkerState.DRAINING)
        else:
            self._enter(WorkerState.READY)
            if context.is_cordoned() and is_idle:
                self._wakeups.pass_on()
            elif context.is_cordoned():
                self._wake_where_due()

    def _wait_for_wakeup(self, until_s: float) -> bool:
        """Wait for a wakeup, with nothing in hand; False where none has come."""
        if monotonic() >= until_s:
            return False
        self._rates.note(if_due=True)
        self._enter(WorkerState.READY)
        context = self._context
        redis, keys = context.ledger.redis, context.ledger.keys
        queues = [keys.wakeup(route) for route in context.routes]
        try:
            while context.may_claim() and (left_s := until_s - monotonic()) > 0:
                with waiting_at_most(0, retries=0):
                    if take_wakeup(redis, queues, min(left_s, LINGER_POLL_S)):
                        return True
        except (*REDIS_ERRORS, ResponseError):
            pass  # Celery listens to the same lists, and mends or says what is wrong there.
        return False

    def _has_read_range(self) -> bool:
        """Read a range of a file that another worker ingests, where there is nothing to compute."""
        if not self._context.ledger.work.are_ranges_offered:
            return False
        self._enter(WorkerState.BUSY)
        return self._ranges.read_one()

    def _resumed_ingest(self) -> Claim | None:
        """Claim an ingest again that was kept for this worker, if it is time to read on."""
        try:
            return self._ingest.resume()
        except REDIS_ERRORS as error:
            log.warning("no ingest is gone on with: %s", error)
            return None

    def _claim(self) -> Claim | None:
        """Claim units; None when there are none, Redis is full, or the worker drains.

        A claim is not sent twice, since it would lease twice. Where its answer is lost, what it
        may have leased is released first: nothing else is in hand.
        """
        work, name = self._context.ledger.work, self._context.identity.name
        while True:
            queues, left = self._residency.divide(self._context.fitness.queues())
            try:
                with waiting_at_most(0, retries=0):
                    return work.claim(name, queues, left)
            except RedisUnreachable:
                # This waits for the end of the outage.
                release = partial(work.release_worker, name, crashed=False)
                if not log_and_continue("nothing is claimed", release):
                    return None
            except REDIS_ERRORS as error:
                if not isinstance(error, RedisRefused):  # of which the outage has its line
                    log.warning("nothing is claimed: %s", error)
                return None

    def _claimable(self) -> tuple[str, ...]:
        """Return the queues that this worker claims from now, with nothing else to do."""
        queues, left = self._residency.divide(self._context.fitness.queues())
        return *queues, *left.cold

    def _wake_where_due(self) -> None:
        """Wake workers for what waits, if that can be done now: else the reconciler does."""
        work, queues = self._context.ledger.work, self._context.fitness.queues()
        try_now("workers not woken", lambda: work.wake_where_due(queues), is_repeated=True)

    def _publish_status(self) -> None:
        """Publish what this worker is doing: to probes, and then to the fleet."""
        status = self.status()
        self._note_readiness()
        self._context.counts.note_state(status, self._context.leases.lost_count)
        self._context.ledger.fleet.publish_worker(status)

    def _note_readiness(self) -> None:
        """Write down for probes what it can run, and whether it takes work at all."""
        held_back = "cordoned" if self._cordon_now() else ""
        self._readiness.write("stopped" if self._stopped_parent() else held_back or self._state)

    def status(self) -> WorkerStatus:
        """Return this worker as it is now."""
        identity, fitness = self._context.identity, self._context.fitness
        deaths = self._deaths.deaths()
        now_ms, offset_ms = self._context.ledger.fleet.clock()
        cordon = self._cordon_now()
        versions = dict(fitness.versions())
        stopped_pid = self._stopped_parent()
        is_cordoned = cordon is not None and self._state is not WorkerState.STARTING
        is_held_back = is_cordoned or stopped_pid is not None
        return WorkerStatus(
            worker=identity.name,
            slot=identity.slot.name,
            tasks=identity.slot.tasks,
            host=identity.host,
            pid=os.getpid(),
            pid_start_ticks=self._start_ticks,
            state=WorkerState.DRAINING if is_held_back else self._state,
            models_loaded=self._context.cache.names(),
            loaded_bytes=self._context.cache.loaded_bytes(),
            loading=self._loading,
            memory_budget_bytes=self._context.cache.budget_bytes,
            model_loads=self._context.cache.loads,
            left_out=fitness.left_out()[:MAX_LEFT_OUT],
            plugins=self._context.registry.statuses,
            versions=versions,
            run_tasks=self._context.run_tasks(versions),
            unfit=fitness.unfit(now_ms),
            work=self._context.stats.totals(),
            deaths=deaths.deaths,
            death_counts=deaths.counts_of.get(identity.name, {}),
            device=_device_status(identity.slot),
            labels=dict(identity.labels),
            claim=_claim_in_hand(
                self._in_hand, now_ms, is_lost=self._context.leases.goes_on_for_nothing()
            ),
            cordon=cordon,
            stopped_pid=stopped_pid,
            supervised=self._is_supervised,
            seqd_version=__version__,
            reads=FORMAT,
            started_at_ms=self._started_at_ms,
            seen_at_ms=now_ms,
            clock_offset_ms=offset_ms,
        )

    def _stopped_parent(self) -> int | None:
        """Return the pid of the parent where a signal has stopped it, and nothing is in hand.

        While it works it claims on by itself: only when it waits has it to be woken.
        """
        parent = os.getppid()
        return parent if self._state is WorkerState.READY and is_stopped(parent) else None

    def _measure(self, claim: Claim, began: float) -> None:
        """Run a claim, and add what it took to the rate of its queue.

        Not that of a training, which one claim need not bring to its end: its own events say how
        long it will take, and the one that ends it notes what it took as a whole. Nor that of
        reading a file, of which others may read parts beside their own work.
        """
        stats, counts, cache = self._context.stats, self._context.counts, self._context.cache
        before, loads = copy(stats), cache.loads
        lost = self._context.leases.lost_count
        job, task = claim.job, task_of(claim.job)
        name = ModelReference.parse(job.model).name
        if claim.version is not None:
            self._residency.note_claim(name, claim.version)
        counts.begin(task, name, claim.units, began)
        self._in_hand = (claim, monotonic())
        try:
            with working_on(_logged_work(claim, name)):
                _log_deaths(claim)
                self._run(claim)
        finally:
            self._in_hand = None
            if self._context.leases.lost_count != lost:
                self._news.note()  # else it were said to go on with that until the next heartbeat
        done = stats.since(before)
        counts.end(done, cache.last_load_s if cache.loads != loads else None)
        if cache.loads != loads:
            self._news.note()  # others leave to this worker what it has in memory
        if isinstance(job, TrainJob | SweepJob) or claim.units[0].name == "ingest":
            return
        route = route_of(task, self._context.store.plugin_of(name))
        (queue,) = queues_of_model(route, name, [claim.version])
        self._rates.add(queue, done.items, monotonic() - began, done.errored)
        self._rates.note(if_due=True)

    def _cordon_now(self) -> Cordon | None:
        rule = self._context.placement.cordon
        if rule is None:
            return None
        return cordon_of(rule, "draining" if self._context.drain.is_raised() else "cordoned")

    def _run(self, claim: Claim) -> None:
        """Lead a claim to its commit, or release its units."""
        work = self._context.ledger.work
        try:
            with self._context.leases.holding(claim.units):
                started = [unit.job_id for unit in claim.units if unit.started_job]
                is_waited_for = claim.job.priority is Priority.INTERACTIVE
                self._context.jobs_started(started, is_waited_for=is_waited_for)
                if claim.units[0].name == "ingest":
                    self._ingest.run(claim)
                elif isinstance(claim.job, TrainJob | SweepJob):
                    self._trainings.run(claim)
                else:
                    self._items.run(claim)
        except Stopped:
            for unit in claim.units:
                work.release_unit(unit)
        except LeaseLost as error:
            log.info("%s", error)
        except REDIS_ERRORS as error:
            log.error("work on %d units is lost: %s", len(claim.units), error)
            if isinstance(error, RedisFull):
                # Nobody's crash, and releasing takes no memory. Where Redis is away the leases
                # run out by themselves.
                for unit in claim.units:
                    work.release_unit(unit, wait_s=FULL_WAIT_S)
        except Exception:
            # A fault of ours. Counted like a crash, so that it is tried again, and not for ever.
            log.exception("unit=%s job=%s", claim.units[0].name, claim.units[0].job_id)
            for unit in claim.units:
                work.release_unit(unit, wait_s=self._backoff_s, crashed=True)

    def _load(self, name: str) -> None:
        try:
            name, version = self._context.store.resolve(name)
            self._context.loaded(name, version)
        except Unfit as fault:
            log.error("model %s could not be warmed up: %s", name, fault)
            self._context.fitness.mark(name, version, fault.unfit_code, str(fault))
            if (
                fault.unfit_code is UnfitCode.NO_DEVICE
                and self._context.identity.slot.kind == "gpu"
            ):
                self._context.end_for_device(UnusableSlot(str(fault)))
        except (SeqdError, OSError) as error:
            log.error("model %s could not be warmed up: %s", name, error)

    def _try_unfit_again(self) -> None:
        """Run what is unfit, and due again, on its warm-up input; come back where that works."""
        fitness = self._context.fitness
        for name, version in fitness.due():
            was_sick = fitness.code_of(name, version) is UnfitCode.DEVICE_FAULT
            began = monotonic()
            try:
                with self._context.channel.computing():
                    self._context.cache.try_again(name, version)
            except Exception as error:  # noqa: BLE001  a plugin may raise anything
                code = unfit_code(error, UnfitCode.LOAD_FAILED)
                fitness.mark(name, version, code, sentence_of(error), monotonic() - began)
                log.warning("still unfit for model=%s@%d code=%s: %s", name, version, code, error)
                if was_sick and fitness.failures(name, version) > MAX_DEVICE_FAILURES:
                    log.critical("device still sick, so this worker ends: %s", error)
                    self._context.end_for_device(DeviceUnavailable(sentence_of(error)))
                    return
            else:
                log.info("fit again for model=%s@%d", name, version)
                fitness.reopen(name, version)

    def _warm_up_required(self) -> None:
        """Load what has come into service of the models that this worker must have warm."""
        if not self._readiness.has_new():
            return
        for name in self._readiness.newly_in_service():
            with self._context.channel.computing():
                self._load(name)
            self._news.note()  # whoever is about to put a version in service waits for this
        self._warn_of_cold()
        self._note_readiness()

    def _warn_of_cold(self) -> None:
        cold = self._readiness.cold()
        if cold:
            log.warning(
                "required or placed here, and not in memory: %s. Either it is unfit, or "
                "SEQD_MODEL_CACHE_BYTES is too small for all that is to be kept",
                ", ".join(cold),
            )

    def _on_heartbeat(self) -> None:
        """Publish the status, and what has changed in the store; wake up for what is due again."""
        fitness = self._context.fitness
        self._news.note()
        if self._state is WorkerState.STARTING:
            return  # what it has is published once it is loaded
        self._rates.note()
        if fitness.refresh() or self._is_unpublished or self._is_outdated():
            self._publish_versions()
        is_due = fitness.due() or self._readiness.has_new()
        if is_due and self._state is WorkerState.READY:
            self._context.ledger.work.wake(self._context.routes[0])

    def _is_outdated(self) -> bool:
        """Return True where the catalog lacks a version of this worker's, or a roll-out."""
        catalog, store = self._context.ledger.fleet.catalog(), self._context.store
        offered = self._context.fitness.offered()
        return lacks_any(catalog, offered) or lacks_rollout(catalog, offered, store.rollout)

    def _publish_versions(self) -> None:
        """Publish what has changed in the store, for the others and for clients."""
        self._readiness.look()
        # First: of what stands in the catalog others ask which worker has it.
        try_now("worker status not published", self._news.publish_now, is_repeated=True)
        if not self._context.fitness.is_away():  # else they come back, and jobs wait for them
            self._is_unpublished = not log_and_continue(
                "catalog not published", self._context.publish_catalog
            )

    def _enter(self, state: WorkerState) -> None:
        """Have a new state published soon, which costs no claim."""
        if state is not self._state:
            self._state = state
            self._news.note()


def _claim_in_hand(
    held: tuple[Claim, float] | None, now_ms: int, *, is_lost: bool
) -> ClaimInHand | None:
    if held is None:
        return None
    claim, began_s = held
    return ClaimInHand(
        job_id=claim.units[0].job_id,
        unit=claim.units[0].name,
        units=len(claim.units),
        since_ms=max(0, now_ms - int((monotonic() - began_s) * 1000)),
        is_lost=is_lost,
    )


def _log_deaths(claim: Claim) -> None:
    """Log of units that killed a worker, or were with one that died, how that was."""
    for unit in claim.units:
        if unit.crashes:
            death = unit.death
            how = NOT_NOTED if death is None else f"{death.cause.value}: {death.message}"
            log.warning(
                "again, since a worker died or went silent with it: unit=%s job=%s attempt=%d "
                "crashes=%d: %s",
                *(unit.name, unit.job_id, unit.attempt, unit.crashes, how),
            )


def _logged_work(claim: Claim, model: str) -> LoggedWork:
    """Return what the log says of a claim."""
    jobs = first_jobs(unit.job_id for unit in claim.units)
    is_one = len(claim.units) == 1
    return LoggedWork(
        jobs,
        unit=claim.units[0].name if is_one else None,
        model=model if claim.version is None else str(ModelReference(model, claim.version)),
        trace=trace_of(claim.job.metadata) if len(jobs) == 1 else None,
    )


def _device_status(slot: Slot) -> DeviceStatus | None:
    if slot.gpu is None:
        return None
    return DeviceStatus(
        uuid=slot.gpu.uuid,
        name=wire_text(slot.gpu.name)[:128],
        memory_bytes=slot.gpu.memory_bytes,
        share_bytes=slot.share_bytes,
    )

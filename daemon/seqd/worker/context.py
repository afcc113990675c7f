"""What the code of a worker works with: its identity, ledger, plugins, store, models and leases.

`WorkerContext` is made once in each child, and all that runs there gets it. It also calls the
observers, fails jobs and publishes the catalog.
"""

import logging
import re
import socket
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from time import monotonic

from seqd import __version__
from seqd.errors import InvalidSettings, SeqdError, failure_of
from seqd.hookspecs import Device, LoadedModel, Model
from seqd.kinds import TRAIN, kind_of_task
from seqd.ledger import Ledger, connect
from seqd.ledger.acl import Role
from seqd.ledger.outage import Outage
from seqd.ledger.units import Unit
from seqd.local.child import WORKER_OUTPUT, log_place
from seqd.local.gpus import PinnedGpu
from seqd.local.redis_access import RedisAccess
from seqd.local.slots import Slot, parse_slot
from seqd.models.catalog import catalog_entries, versions_zero, with_versions_elsewhere
from seqd.models.plugin_frames import plugin_traceback
from seqd.models.registry import Registry
from seqd.models.shared_store import SharedStore, shared_store
from seqd.models.store import ModelStore
from seqd.plugin.calls import PluginCall
from seqd.serving import can_run
from seqd.settings import Settings
from seqd.targets import Place
from seqd.worker.channel import Channel
from seqd.worker.counting import WorkCounts, WorkerStats
from seqd.worker.drain import DrainFlag, GivesUpInDrain, ask_parent_to_end
from seqd.worker.faults import Unfit, is_out_of_memory, sentence_of, unfit_code
from seqd.worker.fitness import Fitness
from seqd.worker.leases import LeaseKeeper
from seqd.worker.logs import LOG as JOB_LOG
from seqd.worker.logs import log_end, named, try_now
from seqd.worker.placement import Placement
from seqd.worker.unit_budgets import NO_BUDGETS, BudgetRule
from seqd_schemas import (
    FORMAT,
    JobRecord,
    PluginStatus,
    SweepJob,
    TrainJob,
    UnfitCode,
    WorkerState,
    WorkerStatus,
    queues_of_model,
    route_of,
)

log = logging.getLogger(__name__)

#: Jobs that end together below which the log has a line of each.
FEW_JOBS = 8

_NAME = re.compile(r"[A-Za-z0-9_.:@-]{1,200}")


@dataclass(frozen=True, slots=True)
class Identity:
    """A worker's slot and name. The name is new at each start, so leases tell starts apart."""

    name: str
    slot: Slot
    host: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        """What operators' rules know the worker by."""
        return Place(self.name, self.slot.name, self.host, self.labels)

    @property
    def device(self) -> Device:
        """The device share, as plugins see it."""
        slot = self.slot
        return Device(slot.name, slot.kind, slot.threads, slot.framework_bytes)


def status_without_child(
    identity: Identity, settings: Settings, plugins: tuple[PluginStatus, ...], now_ms: int
) -> WorkerStatus:
    """Return the record of a worker of which no child has published one."""
    return WorkerStatus(
        worker=identity.name,
        slot=identity.slot.name,
        tasks=identity.slot.tasks,
        host=identity.host,
        pid=0,
        state=WorkerState.STARTING,
        plugins=plugins,
        labels=dict(identity.labels),
        supervised=settings.supervised,
        seqd_version=__version__,
        reads=FORMAT,
        started_at_ms=now_ms,
        seen_at_ms=now_ms,
    )


def identify(slot: Slot, name: str = "", labels: Mapping[str, str] | None = None) -> Identity:
    """Return the identity of the worker `name`, or of a new name. Raises InvalidSettings."""
    host = socket.gethostname()
    name = name or slot.new_worker_name()
    if _NAME.fullmatch(name) is None:
        raise InvalidSettings(
            f"The worker's name is {name!r}; allowed: up to 200 letters, digits and `_.:@-`, and "
            "no space, since it becomes part of a key."
        )
    return Identity(name=name, slot=slot, host=host, labels=labels or {})


def runnable_routes(slot: Slot, models: Mapping[str, Model]) -> tuple[str, ...]:
    """Return the routes that a slot can run: its tasks, of the models that fit its device."""
    routes = []
    for name, model in sorted(models.items()):
        if model.needs.device in ("any", slot.kind):
            routes += [route_of(task, name) for task in model.tasks if slot.does(task)]
    return tuple(routes)


def queues_of(routes: Sequence[str], store: ModelStore) -> tuple[str, ...]:
    """Return the queues of the routes: each by itself, and with the versions that the store has.

    Some of these may be what this worker cannot run and another can: they are woken for, too.
    """
    plugins = {route.partition(".")[2] for route in routes}
    models = store.made_with(plugins)
    queues = list(routes)
    for route in routes:
        task, _, plugin = route.partition(".")
        if task == TRAIN:
            continue
        for name, made_with in models.items():
            if made_with == plugin:
                queues += queues_of_model(route, name, store.numbers(name))
    return tuple(queues)


class ModelCache:
    """Model versions in memory, least recently used first to go; used by one thread.

    TensorFlow releases GPU memory only when its process ends, so the budget is what a slot can
    hold at once. A model that alone is larger than the budget still loads, alone.
    """

    def __init__(
        self,
        registry: Registry,
        store: ModelStore,
        device: Device,
        budget_bytes: int,
        is_kept: Callable[[str], bool] = lambda name: False,
    ) -> None:
        """The models that `is_kept` says are unloaded only when no other is left."""
        self._registry = registry
        self._store = store
        self.device = device
        #: Bytes that all of them may take together.
        self.budget_bytes = budget_bytes
        self._is_kept = is_kept
        #: Versions that other workers have in memory: here they go first.
        self.elsewhere: Collection[tuple[str, int]] = frozenset()
        self._loaded: OrderedDict[tuple[str, int], LoadedModel] = OrderedDict()
        #: Bytes of each that is, or was, in memory here.
        self._known_bytes: dict[tuple[str, int], int] = {}
        #: Seconds that the last load took, and how many there were.
        self.last_load_s, self.loads = 0.0, 0
        #: Which of the loads was that of a version.
        self._load_numbers: dict[tuple[str, int], int] = {}

    def get(self, name: str, version: int) -> LoadedModel:
        """Return a version, loaded, checked and warmed up.

        Raises UnknownModel, ArtifactDamaged, or whatever the plugin raises while it loads.
        """
        key = (name, version)
        if key in self._loaded:
            self._loaded.move_to_end(key)
            return self._loaded[key]
        try:
            return self._load(name, version)
        except Exception as error:
            if not self._loaded or not is_out_of_memory(error):
                raise
        # Outside the block above, which keeps what was loaded of it in memory.
        log.warning("no memory to load model=%s@%d; unloading all others", name, version)
        self._loaded.clear()
        return self._load(name, version)

    def _load(self, name: str, version: int) -> LoadedModel:
        log.info("loading model=%s@%d", name, version)  # the last line of who does not survive it
        began = monotonic()
        described = self._registry.model(self._store.plugin_of(name))
        artifact = self._store.open(name, version)
        self._make_room(described.needs.memory_bytes)  # else old and new are held together
        with PluginCall():
            model = described.load(artifact, self.device)
            memory_bytes = model.memory_bytes
        self._make_room(memory_bytes)
        with PluginCall():
            model.warm_up()
        self._loaded[name, version] = model
        self._known_bytes[name, version] = memory_bytes
        self.last_load_s, self.loads = monotonic() - began, self.loads + 1
        self._load_numbers[name, version] = self.loads
        log.info(
            "loaded model=%s@%d seconds=%.2f bytes=%d",
            *(name, version, self.last_load_s, memory_bytes),
        )
        return model

    def holds(self, name: str, version: int) -> bool:
        """Return True for a version that is loaded."""
        return (name, version) in self._loaded

    def load_number(self, name: str, version: int) -> int:
        """Return a number that is another one after each load of a version; 0 before the first."""
        return self._load_numbers.get((name, version), 0)

    def try_again(self, name: str, version: int) -> None:
        """Run a version on its warm-up input, loading it if it is not; raises as `get` does."""
        is_loaded = self.holds(name, version)
        model = self.get(name, version)
        if is_loaded:  # else it has just been run
            with PluginCall():
                model.warm_up()

    def names(self) -> tuple[str, ...]:
        """Return what is loaded, as `name@version`."""
        return tuple(f"{name}@{version}" for name, version in list(self._loaded))

    def loaded_bytes(self) -> dict[str, int]:
        """Return the bytes of each that is loaded, by `name@version`."""
        return {
            f"{name}@{version}": max(0, model.memory_bytes)
            for (name, version), model in list(self._loaded.items())
        }

    def expected_bytes(self, name: str, version: int) -> int:
        """Return what a version takes, or is expected to by others of its model and plugin.

        0 where nothing is known of it.
        """
        known = self._known_bytes.get((name, version))
        if known is not None:
            return known
        try:
            return self._guessed_bytes(name)
        except (SeqdError, OSError):  # loading it says what is wrong
            return 0

    def _guessed_bytes(self, name: str) -> int:
        of_model = [size for (one, _), size in self._known_bytes.items() if one == name]
        if of_model:
            return max(of_model)
        plugin = self._store.plugin_of(name)
        of_plugin = [
            size
            for (one, _), size in self._known_bytes.items()
            if self._store.plugin_of(one) == plugin
        ]
        needs = self._registry.model(plugin).needs.memory_bytes
        return max(of_plugin, default=needs)

    def has_room_for(self, wanted_bytes: int) -> bool:
        """Return True where so much can be loaded and nothing has to go."""
        held_bytes = sum(model.memory_bytes for model in list(self._loaded.values()))
        return held_bytes + wanted_bytes <= self.budget_bytes

    def unload_all_but(self, is_served: Callable[[str], bool]) -> bool:
        """Unload the models that this worker does not serve any more; True where there were."""
        going = [key for key in self._loaded if not is_served(key[0])]
        for name, version in going:
            del self._loaded[name, version]
            log.info("unloaded model=%s@%d: it is placed elsewhere", name, version)
        return bool(going)

    def _make_room(self, wanted_bytes: int) -> None:
        while self._loaded and not self.has_room_for(wanted_bytes):
            # The least used goes first: of what is not kept, and of copies before others.
            name, version = min(
                self._loaded,
                key=lambda key: (self._is_kept(key[0]), key not in self.elsewhere),
            )
            del self._loaded[name, version]
            log.info("unloaded model=%s@%d", name, version)


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a child has, from its start to its end."""

    identity: Identity
    #: What this slot can run, such as `classify.imdb_lstm`.
    routes: tuple[str, ...]
    ledger: Ledger
    registry: Registry
    store: ModelStore
    cache: ModelCache
    leases: LeaseKeeper
    drain: DrainFlag
    #: Starts of a unit before its items are given up.
    max_attempts: int
    #: What can be run now.
    fitness: Fitness
    #: What this worker serves, and keeps in memory, and whether it claims.
    placement: Placement = field(default_factory=lambda: Placement(Place("", "", "")))
    #: How much longer than expected items may be computed.
    budgets: BudgetRule = NO_BUDGETS
    #: Has the whole worker end, once it drains.
    end_node: Callable[[], None] = ask_parent_to_end
    #: What the child has done since it started.
    stats: WorkerStats = field(default_factory=WorkerStats)
    #: Where the watchdog reads what is at work: it ends this process when a plugin hangs.
    channel: Channel = field(default_factory=Channel)
    #: What it counts for metrics.
    counts: WorkCounts = field(default_factory=WorkCounts)
    #: Where the log of this worker is, as messages name it.
    log_place: str = WORKER_OUTPUT

    def described(self, name: str) -> Model:
        """Return the description of what a model is made with. Raises UnknownModel."""
        return self.registry.model(self.store.plugin_of(name))

    def plugin_running(self, name: str) -> PluginStatus:
        """Return the plugin that runs a model here. Raises UnknownModel."""
        return self.registry.plugin_of(self.store.plugin_of(name))

    def plugin_of(self, job: TrainJob | SweepJob) -> str:
        """Return the plugin's model that a training is to be made with."""
        return job.plugin or self.store.plugin_of(job.model)

    def run_tasks(self, models: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return the tasks that plugins have named, of those of some models that have any here."""
        of_plugin: dict[str, list[str]] = {}
        for route in self.routes:
            task, _, plugin = route.partition(".")
            if kind_of_task(task).task is None:
                of_plugin.setdefault(plugin, []).append(task)
        found = {name: of_plugin.get(self.store.plugin_of(name), []) for name in models}
        return {name: tuple(tasks) for name, tasks in found.items() if tasks}

    def loaded(self, name: str, version: int) -> LoadedModel:
        """Return a version in memory. Raises Unfit where that cannot be done here."""
        try:
            return self.cache.get(name, version)
        except Exception as error:
            if not isinstance(error, SeqdError):
                log.exception("model %s@%d could not be loaded", name, version)
            code = unfit_code(error, UnfitCode.LOAD_FAILED)
            raise Unfit(code, sentence_of(error), warm_up_failed=False) from None

    def another_can_run(self, task: str, model: str, version: int | None) -> bool:
        """Return True where another worker is up that says it can run this."""
        workers = self.ledger.fleet.workers()
        return any(
            can_run(one, task, model, version)
            for one in workers
            if one.worker != self.identity.name
        )

    def is_cordoned(self) -> bool:
        """Return True while a rule of an operator keeps this worker from claiming."""
        return self.placement.cordon is not None

    def may_claim(self) -> bool:
        """Return False while this worker drains, or an operator keeps it from claiming."""
        return not self.drain.is_raised() and not self.is_cordoned()

    def end_for_device(self, error: SeqdError) -> None:
        """Have the whole worker end with the status of an error of its device.

        A new process often finds a sick device well, and whoever supervises the worker starts one.
        """
        self.drain.raise_(error)
        self.end_node()

    def should_stop(self) -> bool:
        """Return True when the work in hand should end: lost leases, a paused job, or a drain."""
        return self.drain.is_raised() or self.leases.should_end()

    def should_stop_items(self) -> bool:
        """Return True as `should_stop` does, but in a drain not before `SEQD_DRAIN_S` are over.

        Items in hand are done sooner than they are done again elsewhere.
        """
        return self.drain.is_over() or self.leases.should_end()

    def fail_job(self, unit: Unit, error: SeqdError) -> bool:
        """Fail the job of a unit, and notify the observers; False where the unit is not ours."""
        is_ours = self.ledger.work.fail_job(unit, failure_of(error), plugin_traceback(error))
        self.leases.given_up(unit)
        if is_ours:
            self.jobs_finished([unit.job_id])
        return is_ours

    def jobs_started(self, job_ids: Sequence[str], *, is_waited_for: bool = False) -> None:
        """Log that this worker claimed the first unit of jobs, and notify the observers.

        `is_waited_for` says that their priority is `interactive`: the log tells of those once, at
        their end.
        """
        if not job_ids:
            return
        if not is_waited_for:
            JOB_LOG.info("started: %s", named(job_ids))
        if self.registry.is_observed("seqd_job_started"):
            name = self.identity.name
            self._tell_of(job_ids, lambda job: self.registry.notify_job_started(job, name))

    def jobs_finished(self, job_ids: Sequence[str], *, is_waited_for: bool = False) -> None:
        """Log that this worker ended jobs, and notify the observers, if that can be done.

        To read the records of two hundred jobs, or to write a line for each, takes longer than the
        jobs: of many, and of those that somebody waits for, the log has the names alone.
        """
        if not job_ids:
            return
        self.counts.jobs_ended(job_ids)
        is_brief = is_waited_for or len(job_ids) >= FEW_JOBS
        if is_brief:
            JOB_LOG.info("finished: %s", named(job_ids))

        def tell(job: JobRecord) -> None:
            if not is_brief:
                log_end(job, self.identity.slot.name)
            self.registry.notify_job_finished(job)

        if not is_brief or self.registry.is_observed("seqd_job_finished"):
            self._tell_of(job_ids, tell)

    def _tell_of(self, job_ids: Sequence[str], tell: Callable[[JobRecord], None]) -> None:
        """Read jobs, and tell of each. Some may be missed: work in hand is never lost for that."""

        def read_and_tell() -> None:
            for job in self.ledger.jobs.kept(job_ids):
                tell(job)

        try_now(f"not told to the log and observers: {named(job_ids)}", read_and_tell)

    def publish_catalog(self) -> None:
        """Publish which models and versions can be run here, unless their folders are away."""
        publish_catalog(
            self.ledger,
            self.registry,
            self.store,
            self.identity.name,
            self.fitness.is_away_now,
        )


def open_context(
    settings: Settings, channel: Channel | None = None, registry: Registry | None = None
) -> WorkerContext:
    """Return the context of the worker that the settings name; connects on first use.

    Without a `channel` nobody ends a plugin that hangs, and nothing is counted for metrics.
    Without a `registry` all installed plugins are loaded.
    """
    slot = parse_slot(settings.slot)
    if settings.device:  # its parent has looked it up
        slot = slot.pinned(PinnedGpu.read(settings.device))
    identity = identify(slot, settings.worker, settings.labels)
    drain = DrainFlag(settings, identity.name)
    # Whatever a child has computed it holds until Redis takes it. Nothing is claimed meanwhile, so
    # what is held is bounded: the units of one claim.
    outage = Outage(
        limit_s=inf,
        full_s=settings.lease_s,
        has_answered=True,  # the parent's
        is_proven=True,
    )
    outage.bears_denial = True  # its parent has had all rights
    ledger = open_ledger(settings, outage)
    watched = channel or Channel()
    # A wait for Redis is a sign of life: no plugin computes meanwhile.
    outage.gives_up = GivesUpInDrain(drain, watched.hear)
    registry = registry or Registry.load(settings)
    shared = shared_store(settings)
    if shared is not None:
        shared.objects.hear = watched.hear
    store = open_store(settings, registry, shared)
    routes = runnable_routes(identity.slot, registry.models)
    placement = Placement(
        identity.place,
        settings.serves,
        settings.required_models,
        ledger.placements,
        ledger.cordons,
    )
    cache = ModelCache(
        registry,
        store,
        identity.device,
        settings.model_cache_bytes,
        placement.is_kept,
    )
    return WorkerContext(
        identity=identity,
        routes=routes,
        ledger=ledger,
        registry=registry,
        store=store,
        cache=cache,
        fitness=Fitness(routes, store, cache.holds, placement.serves),
        placement=placement,
        leases=LeaseKeeper(ledger, settings.heartbeat_s, watched),
        channel=watched,
        drain=drain,
        max_attempts=settings.max_attempts,
        budgets=BudgetRule.of(settings),
        counts=WorkCounts(channel if settings.worker_metrics_port else None),
        log_place=log_place(settings, identity.slot.name, identity.host),
    )


def open_ledger(settings: Settings, outage: Outage) -> Ledger:
    """Return the ledger as a worker has it, which connects on first use."""
    if settings.redis_url is None:
        raise InvalidSettings("a worker needs SEQD_REDIS_URL; `seqd worker` sets it for its child")
    redis = connect(
        settings.redis_url,
        timeout_s=settings.redis_timeout_s,
        outage=outage,
        access=RedisAccess.of(settings),
        role=Role.WORKER,
    )
    return Ledger(redis, settings)


def open_store(
    settings: Settings, registry: Registry, shared: SharedStore | None = None
) -> ModelStore:
    """Return the model store, with version 0 of all plugins' models. Raises OtherFormat.

    `shared` is the one at a URL, if it is one.
    """
    store = ModelStore(settings.store_dir, versions_zero(registry), shared)
    store.check_format()
    return store


def publish_catalog(
    ledger: Ledger,
    registry: Registry,
    store: ModelStore,
    worker: str = "",
    is_away: Callable[[], bool] = lambda: False,
) -> None:
    """Publish which models and versions `worker` can run, beside those that others can.

    Nothing where `is_away` says, after the store was read, that a folder of it was away: its
    versions come back, and jobs that name them wait for that. Where another publishes meanwhile,
    the store is read again: it may have changed since.
    """
    fleet, is_published = ledger.fleet, False
    while not is_published:
        rows, now_ms = fleet.catalog_rows(), fleet.now_ms()
        published = fleet.entries_in(rows)
        others = [one for one in fleet.workers() if one.worker != worker]
        entries = catalog_entries(registry, store, now_ms)
        if is_away():
            return
        said = (
            with_versions_elsewhere(
                entry, published.get(entry.model), others, store.retiring(entry.model)
            )
            for entry in entries
        )
        is_published = fleet.publish_catalog(said, rows)
    # Of a model whose versions are all about to go.
    here = {entry.model for entry in entries}
    gone = [name for name in published.keys() - here if _is_gone(name, store)]
    if gone:
        fleet.remove_published(gone, older_than_ms=now_ms)


def _is_gone(name: str, store: ModelStore) -> bool:
    """Return True for a model of the store whose versions all are to go.

    Any other may be that of a worker that is down for a moment, and has another plugin.
    """
    try:
        numbers = store.numbers(name)
        return bool(numbers) and store.retiring(name).issuperset(numbers)
    except OSError:
        return False

"""What everything in a worker's child works with: ledger, plugins, store, models, leases.

Made once a child, by `open_workbench`. It holds and asks; it runs nothing. `runtime` and the
kinds of unit beside it (`item_jobs`, `trainings`, `ingest`) are handed it.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from seqd.errors import InvalidSettings, UnknownJob
from seqd.ledger import Ledger, connect
from seqd.ledger.wakeup import Wakeup
from seqd.local.slots import parse_slot
from seqd.models import ModelStore, Registry, catalog_entry, job_log
from seqd.settings import Settings
from seqd.worker.chores import outlive
from seqd.worker.drain import DrainFlag
from seqd.worker.identity import Identity, identify, runnable_routes
from seqd.worker.leases import LeaseKeeper
from seqd.worker.meter import WorkMeter
from seqd.worker.model_cache import ModelCache
from seqd_schemas import JobRecord

log = logging.getLogger(__name__)

#: Name of the observer that comes with the daemon, and the jobs up to which it is told of each.
JOB_LOG = "job_log"
FEW_JOBS = 8


@dataclass(frozen=True, slots=True)
class Workbench:
    """One child's tools."""

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
    #: What the child has done since it started.
    meter: WorkMeter = field(default_factory=WorkMeter)

    def should_stop(self) -> bool:
        """True when the work in hand should end: its leases are lost, it is paused, or we drain."""
        return self.drain.is_raised() or self.leases.should_end()

    def job_finished(self, job_id: str) -> None:
        """Tell the observers that this worker ended a job, if that can be done."""
        self._tell(job_id, self.registry.notify_job_finished)

    def jobs_started(self, job_ids: Sequence[str]) -> None:
        """Tell the observers that this worker claimed the first unit of jobs, if it can be done."""
        name = self.identity.name
        self._tell_all("started", job_ids, lambda job: self.registry.notify_job_started(job, name))

    def jobs_finished(self, job_ids: Sequence[str]) -> None:
        """Tell the observers as `job_finished` does, of jobs that ended together."""
        self._tell_all("finished", job_ids, self.registry.notify_job_finished)

    def _tell_all(
        self, what: str, job_ids: Sequence[str], notify: Callable[[JobRecord], None]
    ) -> None:
        """Tell of each; of many small jobs, the log of jobs gets one line for all of them.

        Reading the records of two hundred jobs, and writing a line for each, takes longer than
        the jobs: only an observer that somebody has installed is worth it.
        """
        if len(job_ids) < FEW_JOBS:
            for job_id in job_ids:
                self._tell(job_id, notify)
            return
        told = self.registry.observers_of(f"seqd_job_{what}")
        if told == [JOB_LOG]:
            job_log.LOG.info("%d jobs %s: job=%s and others", len(job_ids), what, job_ids[0])
        elif told:
            outlive(
                f"observers not told of {len(job_ids)} jobs", partial(self._read, job_ids, notify)
            )

    def _read(self, job_ids: Sequence[str], notify: Callable[[JobRecord], None]) -> None:
        for job in self.ledger.jobs.kept(job_ids):
            notify(job)

    def _tell(self, job_id: str, notify: Callable[[JobRecord], None]) -> None:
        """Read a job for the observers. They may miss one: work in hand is never lost for them."""

        def read_and_notify() -> None:
            try:
                notify(self.ledger.jobs.get(job_id))
            except UnknownJob:
                log.info("observers not told of job=%s: its owner has removed it", job_id)

        outlive(f"observers not told of job={job_id}", read_and_notify)

    def publish_catalog(self) -> None:
        """Tell the fleet which models and versions can be run here."""
        publish_catalog(self.ledger, self.registry, self.store)


def open_workbench(settings: Settings) -> Workbench:
    """Lay out the tools of the worker that the settings name; connects on first use."""
    if settings.redis_url is None:
        raise InvalidSettings("a worker needs SEQD_REDIS_URL; `seqd worker` sets it for its child")
    redis = connect(settings.redis_url, timeout_s=settings.redis_timeout_s)
    ledger = Ledger(redis, settings, Wakeup(settings.redis_url, settings).notify)
    identity = identify(parse_slot(settings.slot), settings.worker)
    registry = Registry.load(settings)
    store = open_store(settings, registry)
    return Workbench(
        identity=identity,
        routes=runnable_routes(identity.slot, registry.models),
        ledger=ledger,
        registry=registry,
        store=store,
        cache=ModelCache(registry, store, identity.device, settings.model_cache_bytes),
        leases=LeaseKeeper(ledger, settings.heartbeat_s, settings.max_silent_s),
        drain=DrainFlag(settings, identity.name),
        max_attempts=settings.max_attempts,
    )


def open_store(settings: Settings, registry: Registry) -> ModelStore:
    """Open the model store, with the starters of all plugins."""
    models = registry.models.items()
    starters = {name: model.starter for name, model in models if model.starter is not None}
    return ModelStore(settings.store_dir, starters)


def publish_catalog(ledger: Ledger, registry: Registry, store: ModelStore) -> None:
    """Tell the fleet which models and versions a process can run."""
    now_ms = ledger.fleet.now_ms()
    ledger.fleet.publish_catalog(
        catalog_entry(model, registry.plugin_of(name), store, now_ms)
        for name, model in registry.models.items()
    )

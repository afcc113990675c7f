"""What a worker's pool child does: it warms its models up, then answers wakeups.

`doorbell` makes one `Runtime` when the child starts and calls `answer_wakeup` for each wakeup. A
wakeup keeps the child busy for at most `slice_s` seconds, while there is work.
"""

import gc
import logging
import os
from time import monotonic

from seqd import __version__
from seqd.errors import REDIS_ERRORS, LeaseLost, RedisFull, SeqdError, Stopped
from seqd.ledger.work import Claim
from seqd.settings import Settings
from seqd.worker.intake import Intake
from seqd.worker.item_jobs import ItemJobs
from seqd.worker.sweeps import Sweeps
from seqd.worker.trainings import Trainings
from seqd.worker.workbench import Workbench
from seqd_schemas import SweepJob, TrainJob, WorkerState, WorkerStatus

log = logging.getLogger(__name__)

#: Seconds until units are tried again whose results Redis had no memory for.
FULL_WAIT_S = 5.0

#: Objects made, and not yet freed, after which the garbage collector looks for rings among them: a
#: few units' items. At Python's own 700 it looks at each batch while all of it is still in use.
COLLECT_AFTER = 10_000


class Runtime:
    """Claims units and has them run, one claim at a time."""

    def __init__(self, bench: Workbench, settings: Settings) -> None:
        self._bench = bench
        self._slice_s = settings.slice_s
        self._backoff_s = settings.backoff_s
        self._state = WorkerState.STARTING
        self._started_at_ms = bench.ledger.fleet.now_ms()
        self._items = ItemJobs(bench)
        self._trainings = Trainings(bench, settings)
        self._sweeps = Sweeps(bench, self._trainings)
        self._intake = Intake(bench, settings)

    def warm_up(self) -> None:
        """Load what the slot serves, so that the first item pays for nothing; then be ready.

        A model that cannot be loaded is logged and left out: its jobs get the reason.
        """
        _spare_the_collector()
        self.publish_status()
        for route in self._bench.routes:
            task, _, name = route.partition(".")
            if task != "train" and self._bench.store.versions(name):
                self._warm(name)
        self._bench.leases.start(self.publish_status)
        self._enter(WorkerState.READY)
        self._bench.registry.notify_worker_ready(self.status())

    def answer_wakeup(self) -> None:
        """Work until nothing is claimable, the slice is over, or the worker drains."""
        ends_at = monotonic() + self._slice_s
        while not self._bench.drain.is_raised():
            began = monotonic()
            claim = self._bench.ledger.work.claim(self._bench.identity.name, self._bench.routes)
            if claim is None:
                break
            self._bench.meter.add("claim_s", monotonic() - began)
            self._enter(WorkerState.BUSY)
            self._run(claim)
            if monotonic() >= ends_at:
                self._bench.ledger.work.notify_where_due(self._bench.routes)
                break
        if self._bench.drain.is_raised():
            # What was put back waits for nobody's next look: another worker goes on at once.
            self._bench.ledger.work.notify_where_due(self._bench.routes)
            self._enter(WorkerState.DRAINING)
        else:
            self._enter(WorkerState.READY)

    def publish_status(self) -> None:
        """Tell the fleet what this worker is doing."""
        self._bench.ledger.fleet.publish_worker(self.status())

    def status(self) -> WorkerStatus:
        """Describe this worker as it is now."""
        identity = self._bench.identity
        return WorkerStatus(
            worker=identity.name,
            slot=identity.slot.name,
            tasks=identity.slot.tasks,
            host=identity.host,
            pid=os.getpid(),
            state=self._state,
            models_loaded=self._bench.cache.names(),
            plugins=self._bench.registry.statuses,
            work=self._bench.meter.totals(),
            seqd_version=__version__,
            started_at_ms=self._started_at_ms,
            seen_at_ms=self._bench.ledger.fleet.now_ms(),
        )

    def _run(self, claim: Claim) -> None:
        try:
            with self._bench.leases.holding(claim.units):
                self._tell_observers(claim)
                self._run_kind(claim)
        except Stopped:
            for unit in claim.units:
                self._bench.ledger.work.release_unit(unit)
        except LeaseLost as error:
            log.info("%s", error)
        except REDIS_ERRORS as error:
            log.error("work on %d units is lost: %s", len(claim.units), error)
            self._give_back_if_possible(claim, error)
        except Exception:
            # A fault of ours. Counted like a crash, so that it is tried again, and not for ever.
            log.exception("unit=%s job=%s", claim.units[0].name, claim.units[0].job_id)
            for unit in claim.units:
                self._bench.ledger.work.release_unit(unit, wait_s=self._backoff_s, crashed=True)

    def _give_back_if_possible(self, claim: Claim, error: Exception) -> None:
        """Put the units back where Redis is full, which is nobody's crash; giving back is small.

        Where Redis is away the leases run out by themselves.
        """
        if isinstance(error, RedisFull):
            for unit in claim.units:
                self._bench.ledger.work.release_unit(unit, wait_s=FULL_WAIT_S)

    def _tell_observers(self, claim: Claim) -> None:
        self._bench.jobs_started([unit.job_id for unit in claim.units if unit.started_job])

    def _run_kind(self, claim: Claim) -> None:
        if claim.units[0].name == "ingest":
            self._intake.run(claim)
        elif isinstance(claim.job, TrainJob):
            self._trainings.run(claim.job, claim.units[0])
        elif isinstance(claim.job, SweepJob):
            self._sweeps.run(claim.job, claim.units[0])
        else:
            self._items.run(claim)

    def _warm(self, name: str) -> None:
        try:
            self._bench.cache.get(*self._bench.store.resolve(name))
        except SeqdError as error:
            log.error("model %s could not be warmed up: %s", name, error)
        except Exception:
            log.exception("model %s could not be warmed up", name)

    def _enter(self, state: WorkerState) -> None:
        if state is not self._state:
            self._state = state
            self.publish_status()


def _spare_the_collector() -> None:
    """Keep the garbage collector away from what stays: 1 to 6 us of 25 that a review took.

    Called before models are loaded, which may be put away again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)

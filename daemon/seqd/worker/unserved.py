"""Jobs that no worker of the fleet can run, by what they publish.

Such a job waits while a worker may still come back to it, and then fails with the reason of each
worker. With no worker up that takes its task and model at all, it waits: nothing is known of those
that will come.

Where its plugin is broken on all workers that have it, a job fails that was handed in since these
started. One that was accepted before waits: an upgrade has broken the plugin, and whoever takes it
back loses no job.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from time import monotonic

from seqd.errors import NoFitWorker, UnknownJob, failure_of
from seqd.ledger import Ledger
from seqd.serving import broken_everywhere, can_run, reasons
from seqd_schemas import PluginState, QueueName, UnfitCode, WorkerStatus

log = logging.getLogger(__name__)

#: Open jobs that one round looks at: the oldest, and as many more, each round from where the last
#: one ended.
LOOK_AT_JOBS = 100

#: What does not pass by waiting: somebody has to install or replace something.
LASTING = frozenset({UnfitCode.DAMAGED, UnfitCode.NO_LIBRARY, UnfitCode.LOAD_FAILED})

#: Seconds for which a plugin has to be broken on all workers, or `SEQD_UNFIT_GRACE_S` where that is
#: less: a sound worker that is restarted is back by then.
BROKEN_S = 30.0

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
    """Fails jobs that no worker can run; used by the worker that reconciles."""

    def __init__(self, ledger: Ledger, grace_s: float) -> None:
        self._ledger = ledger
        self._grace_s = grace_s
        self._next = 0
        #: By queue, when it was first seen that nobody can run it.
        self._since_s: dict[str, float] = {}
        #: By plugin, when it was first seen broken on all workers that have it.
        self._broken_since_s: dict[str, float] = {}

    def run_once(self) -> None:
        """Look at some of the open jobs, and fail those that have waited long enough."""
        workers = self._ledger.fleet.workers()
        broken_models = self._broken_models(workers)
        waiting: dict[str, float] = {}
        for job_id, queue in self._page():
            task, model, version = QueueName.parse(queue)
            broken = broken_models.get(model)
            if broken and self._came_after(job_id, workers, broken):
                self._fail(job_id, f"{task} of {model}", broken)
                continue
            if version is None:
                continue  # a training, whose worker decides when it releases it
            why = reasons(workers, task, model, version)
            if not why or any(can_run(one, task, model, version) for one in workers):
                continue
            since_s = waiting.setdefault(queue, self._since_s.get(queue, monotonic()))
            is_lasting = all(code in LASTING for code, _ in why.values())
            if is_lasting or monotonic() - since_s >= self._grace_s:
                self._fail(job_id, f"{task} of {model}@{version}", why)
        # A queue of which no job was looked at this time keeps its time.
        self._since_s = {**self._kept(workers), **waiting}

    def _broken_models(
        self, workers: Sequence[WorkerStatus]
    ) -> dict[str, Mapping[str, tuple[str, str]]]:
        """Return why each model has a plugin that is broken on all workers, for long enough."""
        names = {
            one.name
            for worker in workers
            for one in worker.plugins
            if one.state is PluginState.BROKEN
        }
        why = {name: broken_everywhere(workers, name) for name in names}
        now_s = monotonic()
        self._broken_since_s = {
            name: self._broken_since_s.get(name, now_s) for name in names if why[name]
        }
        wait_s = min(BROKEN_S, self._grace_s)
        lasting = {
            name for name, since_s in self._broken_since_s.items() if now_s - since_s >= wait_s
        }
        if not lasting:
            return {}
        catalog = self._ledger.fleet.catalog().items()
        return {model: why[entry.plugin] for model, entry in catalog if entry.plugin in lasting}

    def _came_after(
        self, job_id: str, workers: Sequence[WorkerStatus], names: Collection[str]
    ) -> bool:
        """Return True for a job that was handed in when all of these workers had started."""
        started_at_ms = max(one.started_at_ms for one in workers if one.worker in names)
        try:
            return self._ledger.jobs.get(job_id).created_at_ms >= started_at_ms
        except UnknownJob:
            return False  # removed meanwhile

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
            and monotonic() - since_s < 2 * self._grace_s + 60
        }

    def _fail(self, job_id: str, what: str, why: Mapping[str, tuple[str, str]]) -> None:
        error = no_fit_worker(what, why)
        try:
            self._ledger.control.fail(job_id, failure_of(error))
        except UnknownJob:
            return  # removed meanwhile
        log.error("failed job=%s: %s", job_id, error)

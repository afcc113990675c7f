"""Jobs that no worker of the fleet can run, by what they publish.

Such a job waits while a worker may still come back to it, and then fails with the reason of each
worker. With no worker up that takes its task and model at all, it waits: nothing is known of those
that will come, and whoever takes an upgrade back that has broken a plugin loses no job.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from seqd.errors import NoFitWorker, UnknownJob, failure_of
from seqd.ledger import Ledger
from seqd.serving import can_run, reasons
from seqd_schemas import QueueName, UnfitCode, WorkerStatus

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
    """Fails jobs that no worker can run; used by the worker that reconciles."""

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

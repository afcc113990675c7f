"""A random walk over the ledger: clients, workers, crashes and people, in any order.

Takes some dozens of `ledger_steps`, holds the ledger to all of `ledger_invariants` after each, and
brings every job to its end. The same seed makes the same walk, whatever the machine's speed; only
the order in which Redis 6 lists a dead worker's units is its own.
"""

from collections.abc import Callable

from ledger_fixtures import failed_items
from ledger_invariants import StoredLedger, check_ledger
from ledger_steps import WORKERS, Steps
from seqd.ledger.blobs import unpack_results
from seqd_schemas import JobState

#: Turns within which all that a walk can have left is done.
MOST_TURNS = 1_000

#: The worker that finishes what is left.
LAST_WORKER = "worker-z"

#: What stays when all jobs are removed: what the whole fleet shares.
STAYS = (
    *("work_left:recount", "limits", "events", "memory", "jobs:small", "evicted", "evictions"),
    "failures",
)


class Walk(Steps):
    """One walk; `seed` decides its steps."""

    def go(self) -> None:
        """Walk to the end of all jobs; raises AssertionError at the first broken promise."""
        steps, length = self._steps(), self.random.randint(30, 100)
        for step in self.random.choices(list(steps), list(steps.values()), k=length):
            step()
            self.check()
        self._finish()
        self.check()
        self._check_results()
        self._check_nothing_stays()

    def check(self) -> StoredLedger:
        stored = self.look()
        check_ledger(stored, self.jobs)
        return stored

    def _steps(self) -> dict[Callable[[], None], float]:
        """Return the possible steps and their weights."""
        return {
            self.submit: 2,
            self.append: 4,
            self.seal: 1,
            self.claim: 4,
            self.commit: 3,
            self.release_unit: 2,
            self.split: 2,
            self.renew: 2,
            self.write: 3,
            self.release_worker: 1,
            self.expire: 2,
            self.evict: 1,
            self.recount: 2,
            self.pause: 1,
            self.resume: 2,
            self.cancel: 0.5,
            self.fail: 0.5,
            self.run_out_of_time: 0.5,
            self.remove: 1,
            self.retry: 1,
        }

    def _finish(self) -> None:
        """Let all that is open go on, and work until it is done."""
        for job_id in self.jobs:
            self.ledger.control.resume(job_id)
            self.seal_job(job_id)
        for worker in WORKERS:
            self.release_all_of(worker, crashed=False)
        for _ in range(MOST_TURNS):
            units = self.claim_for(self.environment, LAST_WORKER)
            for unit in units:
                self.commit_unit(unit)
            if not units:
                self.expire()
            left = [job for job in self.check().jobs if job.is_open]
            if not left:
                return
        raise AssertionError(f"these never end: {left}")

    def _check_results(self) -> None:
        """Each answer stands once, in order; what has none can be tried again."""
        for job_id, job in self.jobs.items():
            record = self.ledger.jobs.get(job_id)
            rows = [row for n in range(job.units) for row in self.ledger.jobs.rows(job_id, n)]
            results = [result for row in rows for result in unpack_results(row)]
            whole = {result.custom_id for result in results}
            first = [job.answers[item] for item in job.items if item in whole]
            assert results == first, f"{job_id}: {results} are not what came first, {first}"
            if record.state is JobState.COMPLETED:
                assert [result.custom_id for result in results] == job.items
            self.check_undone(job_id, tuple(failed_items(self.ledger, job_id)))

    def _check_nothing_stays(self) -> None:
        for job_id in list(self.jobs):
            self.remove_job(job_id)
        stored = self.check()
        stays = {f"{self.environment.keys.prefix}:{name}" for name in STAYS}
        keys = self.environment.keys
        stays |= {keys.worker_deltas(worker) for worker in WORKERS}
        stays |= {keys.worker_classes(worker) for worker in (*WORKERS, LAST_WORKER)}
        # What tenants have used belongs to no job, and goes with its day; nor does a wakeup.
        of_no_job = f"{keys.prefix}:usage:", keys.wakeup("")
        stays |= {name for name in stored.names if name.startswith(of_no_job)}
        assert set(stored.names) <= stays, f"when all is removed, there are {stored.names}"

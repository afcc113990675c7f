"""One chaos run: a load under the faults of a seed, one after the other, and what came of it.

A fault waits until the job has moved since the one before, so that the longest stall is what
one fault costs. When a job is over before all faults have come, the same items are handed in
again, as often as the load allows.
"""

import random
import time
from collections import deque
from contextlib import suppress

import redis

from chaos.environment import Environment, environment, patiently
from chaos.faults import Faults, schedule
from chaos.loads import Load
from chaos.report import Outcome
from chaos.tally import Tally, tally_of
from chaos.victims import NoVictim
from chaos.watch import Watch
from seqd.client import JobHandle

#: A job that has not moved for so long has been forgotten: the run ends as failed.
STALL_LIMIT_S = 120.0


def run_under_faults(load: Load, counts: dict[str, int], slots: int, seed: int) -> Outcome:
    """Run the load in an environment under the faults of the seed; return what came of it."""
    faults = sum(counts.values())
    print(f"seed {seed}: {load.items:,} items on {load.name}, {faults} faults", flush=True)
    with environment(load.plugin, slots, load.prepare) as raised:
        load.run_undisturbed(raised.client)
        return _Run(raised, load, random.Random(seed), counts).run(seed)


class _Run:
    """A run under way."""

    def __init__(
        self, environment: Environment, load: Load, choice: random.Random, counts: dict[str, int]
    ) -> None:
        self._environment = environment
        self._load = load
        self._choice = choice
        self._due = deque(schedule(choice, counts))
        self._faults = Faults(environment)
        self._watch = Watch(environment)
        self._done = 0

    def run(self, seed: int) -> Outcome:
        """Run jobs until all faults have come; returns what came of it."""
        began, due = time.monotonic(), len(self._due)
        total, jobs, again = Tally(), 0, 0
        with self._watch.looking():
            while not jobs or (self._due and jobs < self._load.jobs_at_most):
                jobs += 1
                job, tally = self._run_job(f"chaos-{jobs}")
                total.add(tally)
                again += self._units_started_again(job)
        watch = self._watch
        return Outcome(
            load=self._load.name,
            seed=seed,
            faults=self._done,
            faults_due=due,
            jobs=jobs,
            **vars(total),
            units_again=again,
            late_commits=self._environment.late_commits(),
            longest_stall_s=watch.longest_stall_s,
            seconds=time.monotonic() - began,
            worker_growth_mb=watch.worker_growth_mb,
            worker_peak_mb=watch.worker_peak_mb,
            client_peak_mb=watch.client_peak_mb,
            redis_peak_mb=max(watch.redis_peak_mb, self._faults.redis_peak_mb),
        )

    def _run_job(self, job_id: str) -> tuple[JobHandle, Tally]:
        # The connections may have been cut since the last call; the id makes it one job.
        job = patiently(lambda: self._load.submit(self._environment.client, job_id))
        self._watch.follow(job)
        self._inject(job)
        while not patiently(job.record).state.is_terminal:
            time.sleep(0.05)
        self._watch.follow(None)
        return job, tally_of(job.results(), self._load)

    def _inject(self, job: JobHandle) -> None:
        """Do faults until there are no more of them, or the job has ended."""
        while self._due:
            _wait_until_moved(job)
            time.sleep(self._choice.uniform(*self._load.pause_s))
            if patiently(job.record).state.is_terminal:
                return
            with suppress(NoVictim):  # The job has just ended: this fault waits for the next.
                self._do_next()

    def _do_next(self) -> None:
        name = self._due[0]
        what = self._faults.do(name, self._choice)
        self._due.popleft()
        self._done += 1
        print(f"{time.strftime('%H:%M:%S')} fault {self._done:2}: {name} {what}", flush=True)

    def _units_started_again(self, job: JobHandle) -> int:
        with redis.Redis.from_url(self._environment.url) as client:
            attempts = client.hvals(self._environment.settings.keys.attempts(job.job_id))
        return sum(int(attempt) > 1 for attempt in attempts)


def _wait_until_moved(job: JobHandle) -> None:
    """Wait until an item more is done, or the job has ended."""
    before = patiently(job.record)
    deadline = time.monotonic() + STALL_LIMIT_S
    while (now := patiently(job.record)).counts.done == before.counts.done:
        if now.state.is_terminal:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"no item was finished for {STALL_LIMIT_S:g} s")
        time.sleep(0.05)

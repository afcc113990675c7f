"""What is done to all jobs that match a filter, and lists of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from model import steering
from model.jobs import ModelJob, Result
from model.ledger import Ledger, Refused
from model.working import end_if_overdue
from seqd_schemas import JobState

ENDED = frozenset(state for state in JobState if state.is_terminal)
OPEN = frozenset(JobState) - ENDED

#: States in which there is something to do.
ABLE = {
    "cancel": OPEN,
    "pause": frozenset({JobState.QUEUED, JobState.RUNNING}),
    "resume": frozenset({JobState.PAUSED}),
    "remove": ENDED,
}


#: Of a job that is taken: how it ended, whether it is kept, its results where they are one row, and
#: the code of its failure.
Taken = tuple[JobState | None, bool, tuple[Result, ...] | None, str | None]


@dataclass
class Done:
    """How many jobs were acted on, and why others were not."""

    acted_on: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def matching(ledger: Ledger, tenant: str | None, states: frozenset[JobState]) -> list[ModelJob]:
    """Return the jobs of a tenant, or of all, in one of these states, the newest first."""
    return [job for job in ledger.listed() if job.state in states and tenant in (None, job.tenant)]


def act(ledger: Ledger, action: str, tenant: str | None) -> Done:
    """Do something to all jobs of a tenant, or to all, the oldest first."""
    done = Done()
    for job in reversed(matching(ledger, tenant, ABLE[action])):
        try:
            getattr(steering, action)(ledger, job.job_id)
        except Refused:
            done.refused["continued"] += 1
        else:
            done.acted_on += 1
    return done


def take_ended(ledger: Ledger, job_ids: Sequence[str], *, cancels: bool) -> list[Taken]:
    """Return how jobs have ended, and forget them; those that are open may be cancelled for it."""
    return [_taken(ledger, job_id, cancels=cancels) for job_id in job_ids]


def _taken(ledger: Ledger, job_id: str, *, cancels: bool) -> Taken:
    job = ledger.jobs.get(job_id)
    if job is None:
        return None, False, None, None
    end_if_overdue(ledger, job)
    if cancels and job.is_open:
        ledger.stop(job, JobState.CANCELLED)
    if job.is_open:
        return None, True, None, None
    is_one_row = (
        job.state is JobState.COMPLETED and len(list(job.parts)) == 1 and job.training is None
    )
    results = tuple(job.results) if is_one_row else None
    failure = None if job.failure is None else job.failure.code
    is_left = job.state is JobState.COMPLETED and results is None
    if not is_left and ledger.open_continuation(job) is None:
        steering.take_out(ledger, job_id)
    return job.state, True, results, failure

"""What is done to all jobs that match a filter, and lists of them."""

from collections import Counter
from dataclasses import dataclass, field

from model import steering
from model.ledger import Ledger, ModelJob, Refused
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

"""How many jobs match filters, and what was done to them, for people and for programs."""

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_rows
from seqd.client.many_jobs import JobCount, JobsActedOn, past_of
from seqd.views.many_jobs import done_told, refused_told
from seqd.views.numbers import count, counted
from seqd_schemas import JobAction

#: Kinds of jobs that a table shows, those with most jobs first.
_SHOWN = 12

#: Jobs after which it is said how far it is.
_SAID_EVERY = 1_000


class Progress:
    """Says on a terminal how far a walk over jobs is, now and then."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._said = 0

    def counted(self, found: JobCount) -> None:
        """Say how many were looked at."""
        self._say(found.looked_at, "jobs looked at")

    def acted_on(self, done: JobsActedOn, jobs: int) -> None:
        """Say on how many of so many jobs it was done."""
        self._say(done.acted_on, f"of {counted(jobs, 'job')}")

    def _say(self, number: int, what: str) -> None:
        if self._screen.is_live and number // _SAID_EVERY > self._said:  # a step has several jobs
            self._said = number // _SAID_EVERY
            self._screen.say(f"{count(number)} {what}", "dim")


def say_count(screen: Screen, found: JobCount) -> None:
    """Say how many jobs match, by state, model and tenant."""
    past = past_of(JobAction(found.action))
    if not found.jobs:
        screen.say(
            f"No job matches that could be {past}; {counted(found.looked_at, 'job')} looked at."
        )
        return
    ordered = sorted(found.groups.items(), key=lambda row: (-row[1], row[0]))
    rows = [(number, *group) for group, number in ordered[:_SHOWN]]
    print_rows(screen, ("jobs", "state", "model", "tenant"), rows)
    rest = found.jobs - sum(number for _, number in ordered[:_SHOWN])
    if rest:
        screen.say(f"and {counted(rest, 'job')} of other states, models and tenants")
    screen.say(f"{counted(found.jobs, 'job')} would be {past}.")


def say_outcome(screen: Screen, found: JobCount, done: JobsActedOn, *, is_finished: bool) -> None:
    """Say what was done, what was not, and why."""
    if not is_finished:
        past = past_of(JobAction(found.action))
        so_far = f"{count(done.acted_on)} of {counted(found.jobs, 'job')}"
        screen.say(
            f"Stopped: {so_far} were {past}. The same command goes on with the rest.", "yellow"
        )
    else:
        screen.say(done_told(done))
    if is_finished and (changed := changed_of(found, done)):
        screen.say(f"{counted(changed, 'job')} ended, or changed state, in the meantime.")
    if done.gone:
        screen.say(f"{counted(done.gone, 'job')} went in the meantime.")
    for sentence in refused_told(done):
        screen.say(sentence, "yellow")


def changed_of(found: JobCount, done: JobsActedOn) -> int:
    """Return how many of the counted jobs did not match any more."""
    return max(0, found.jobs - done.acted_on - done.refused.total() - done.gone)


def record_of(found: JobCount, done: JobsActedOn | None) -> dict[str, object]:
    """Return the same as a record for programs; without `done` nothing was done."""
    acted = done or JobsActedOn(found.action)
    return {
        "action": found.action,
        "matched": found.jobs,
        "groups": [
            {"state": group.state, "model": group.model, "tenant": group.tenant, "jobs": number}
            for group, number in found.groups.items()
        ],
        "until_ms": found.until_ms,
        "acted_on": acted.acted_on,
        "changed": 0 if done is None else changed_of(found, acted),
        "gone": acted.gone,
        "refused": dict(acted.refused),
        "first_refused": {
            reason: {"job_id": job_id, "message": message}
            for reason, (job_id, message) in acted.first_refused.items()
        },
    }

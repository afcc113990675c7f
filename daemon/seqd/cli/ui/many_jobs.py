"""How many jobs match filters, and what was done to them, for people and for programs."""

from types import TracebackType
from typing import Self

from seqd.cli.ui.numbers import count, counted
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_rows
from seqd.client.many_jobs import JobCount, JobsActedOn, past_of
from seqd_schemas import JobAction

#: Kinds of jobs that a table shows, those with most jobs first.
_SHOWN = 12

#: What is done, while it is done.
_DOING = {
    "cancel": "cancelling",
    "pause": "pausing",
    "resume": "resuming",
    "retry": "retrying",
    "remove": "removing",
}


class Walk:
    """The bar of a walk over jobs; where the screen is no terminal, nothing."""

    def __init__(self, screen: Screen, action: str, jobs: int | None = None) -> None:
        """`jobs` is how many it acts on; None for a walk that counts them."""
        self._progress = None
        if not screen.is_live:
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[jobs]}", markup=False, justify="right"),
            TimeRemainingColumn(),
            console=screen.console,
            expand=True,
            transient=True,
            redirect_stdout=False,
        )
        what = "counting" if jobs is None else _DOING[action]
        self._task = self._progress.add_task(what, total=jobs, jobs="0")
        self._jobs = jobs

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def counted(self, found: JobCount) -> None:
        """Show how far a count is."""
        if self._progress is not None:
            shown = f"{count(found.jobs)} of {count(found.looked_at)} jobs match"
            self._progress.update(self._task, jobs=shown)

    def acted_on(self, done: JobsActedOn) -> None:
        """Show how far the acting is."""
        if self._progress is not None:
            shown = f"{count(done.acted_on)} of {count(self._jobs or 0)} jobs"
            self._progress.update(self._task, completed=done.acted_on, jobs=shown)


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
    past = past_of(JobAction(found.action))
    if not is_finished:
        so_far = f"{count(done.acted_on)} of {counted(found.jobs, 'job')}"
        screen.say(
            f"Stopped: {so_far} were {past}. The same command goes on with the rest.", "yellow"
        )
    else:
        were = "was" if done.acted_on == 1 else "were"
        screen.say(f"{counted(done.acted_on, 'job')} {were} {past}.")
    if is_finished and (changed := changed_of(found, done)):
        screen.say(f"{counted(changed, 'job')} ended, or changed state, in the meantime.")
    if done.gone:
        screen.say(f"{counted(done.gone, 'job')} went in the meantime.")
    for reason, number in done.refused.most_common():
        job_id, sentence = done.first_refused[reason]
        screen.say(
            f"{counted(number, 'job')} stayed as they are ({reason}), such as {job_id}: {sentence}",
            "yellow",
        )


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

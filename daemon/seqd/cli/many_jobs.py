"""Steering the jobs that match filters: a count, a question, then each of them, with progress.

`seqd jobs cancel`, `pause`, `resume`, `retry` and `rm` take the filters of `seqd jobs list` in the
place of ids.
"""

import sys
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer

from seqd.cli import options, readers
from seqd.cli.exits import MISTAKE, OK, holding_interrupts, status_of_interrupt
from seqd.cli.showing import Found
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_rows
from seqd.client import Client, JobCount, JobFilters, JobsActedOn
from seqd.client.many_jobs import past_of
from seqd.errors import InvalidRequest, Unconfirmed
from seqd.views.many_jobs import done_told, refused_told
from seqd.views.numbers import count, counted
from seqd.views.numbers import counted as numbered
from seqd_schemas import JobAction

#: Jobs above which a person types their number, where fewer are a yes.
MOST_BY_YES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterOptions:
    """Which jobs are meant, by what they have in common."""

    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            help="Only jobs in this state: queued, running, paused, completed, failed, cancelled "
            "or expired; may be given again.",
        ),
    ] = None
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            help="Only these: classify, generate, run, train or sweep.",
        ),
    ] = None
    model: options.OfModel = None
    tenant: options.OfTenant = None
    since: Annotated[
        datetime | None,
        readers.typed(
            "--since",
            by=readers.moment,
            help="Only accepted since then: 30m, 2h or 7d back from now, 2026-11-26 or "
            "2026-11-26T10:00.",
        ),
    ] = None
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            "--metadata", metavar="KEY=VALUE", help="Only with this note; may be given again."
        ),
    ] = None

    def filters(self) -> JobFilters:
        """Return the filters as a client takes them. Raises InvalidRequest."""
        return {
            "states": self.state or (),
            "kind": self.kind,
            "model": self.model,
            "tenant": self.tenant,
            "since": self.since,
            "metadata": readers.notes(self.metadata),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyJobs(FilterOptions):
    """Which jobs were asked for by filters, and how."""

    every: Annotated[bool, typer.Option("--all", help="All jobs, in the place of filters.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the jobs that match.")] = (
        False
    )
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False

    @property
    def has_filters(self) -> bool:
        """True where a filter is given."""
        given = (self.state, self.kind, self.model, self.tenant, self.since, self.metadata)
        return any(given)

    def refuse_beside_ids(self, verb: str) -> None:
        """Raise InvalidRequest where options say which jobs, beside ids."""
        if self != type(self)():
            raise InvalidRequest(
                "jobs are named by id and by options (filters, --all, --dry-run or --yes). Give "
                f"ids alone, or filters: seqd jobs {verb} --state failed --since 2h"
            )

    def refuse_nothing(self, verb: str) -> None:
        """Raise InvalidRequest where neither ids nor filters say which jobs."""
        if not self.has_filters and not self.every:
            raise InvalidRequest(
                "no job is named: give its id, or filters as `seqd jobs list` takes them, such as "
                f"`seqd jobs {verb} --tenant acme --since 2h`; --all means all jobs"
            )
        if self.has_filters and self.every:
            raise InvalidRequest("--all means all jobs: leave the filters out, or --all")


#: Gives a command the options of `ManyJobs`, as `many`.
takes_filters = options.takes(ManyJobs, "many")


def act_on_many(action: str, many: ManyJobs) -> Found:
    """Count the jobs that match, ask, and act on each; exit status 2 where some were refused."""

    many.refuse_nothing("rm" if action == "remove" else action)
    filters = many.filters()
    progress = Screen(to_stderr=True)
    with options.open_client() as client:
        on_step = Progress(progress).counted
        counted = client.count_jobs(action, every=many.every, on_step=on_step, **filters)
        if many.dry_run or not counted.jobs:
            found = {"dry_run": many.dry_run, "finished": not many.dry_run}
            return Found(
                record_of(counted, None) | found, lambda screen: say_count(screen, counted)
            )
        if not many.yes:
            _refuse_unasked(counted)
            say_count(progress, counted)
            _confirm(counted)
        done, interrupt = _act(client, counted, filters, many)
    is_finished = interrupt is None
    status = MISTAKE if done.refused else OK
    return Found(
        record_of(counted, done) | {"dry_run": many.dry_run, "finished": is_finished},
        lambda screen: say_outcome(screen, counted, done, is_finished=is_finished),
        status=status if interrupt is None else status_of_interrupt(interrupt),
    )


def _act(
    client: Client, counted: JobCount, filters: JobFilters, many: ManyJobs
) -> tuple[JobsActedOn, KeyboardInterrupt | None]:
    """Act on the jobs; Ctrl-C stops between two steps."""

    acts = {
        "cancel": client.cancel_jobs,
        "pause": client.pause_jobs,
        "resume": client.resume_jobs,
        "retry": client.retry_jobs,
        "remove": client.remove_jobs,
    }
    so_far, progress = JobsActedOn(counted.action), Progress(Screen(to_stderr=True))
    with holding_interrupts(lambda: False) as held:

        def step(done: JobsActedOn) -> None:
            nonlocal so_far
            so_far = done
            progress.acted_on(done, counted.jobs)
            if held:
                raise held[0]

        try:
            act = acts[counted.action]
            return act(every=many.every, counted=counted, on_step=step, **filters), None
        except KeyboardInterrupt as interrupt:
            return so_far, interrupt


def _refuse_unasked(counted: JobCount) -> None:
    """Raise Unconfirmed where there is nobody to ask."""
    from seqd.client.many_jobs import past_of

    if not sys.stdin.isatty():
        past = past_of(JobAction(counted.action))
        raise Unconfirmed(
            f"{numbered(counted.jobs, 'job')} {'matches' if counted.jobs == 1 else 'match'}, and "
            f"none was {past}. Say --yes to {counted.action} them, or --dry-run to see which they "
            "are."
        )


def _confirm(counted: JobCount) -> None:
    """Ask; raise typer.Abort unless the answer is yes, or of many jobs their number."""
    verb, jobs = counted.action.capitalize(), numbered(counted.jobs, "job")
    if counted.jobs <= MOST_BY_YES:
        typer.confirm(f"{verb} {jobs}?", abort=True, err=True)
        return
    typed = str(typer.prompt(f"{verb} {jobs}? Type {counted.jobs:,} to go on", err=True))
    if typed.replace(",", "").strip() != str(counted.jobs):
        typer.echo("That is another number: nothing was done.", err=True)
        raise typer.Abort


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

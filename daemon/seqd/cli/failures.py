"""`seqd failures`: the dead letters, which tell what failed; list, show, replay and purge them.

They are kept beside the jobs and outlive them. Replaying tries failed items again once their cause
is mended; purging removes dead letters, and no result.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, cast, get_args

import typer

from seqd.cli import completion, options, readers
from seqd.cli.exits import MISTAKE, OK
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts
from seqd.client import Client, FailureFilters
from seqd.client.failures import (
    FailureGroup,
    FailureGroups,
    GroupBy,
    end_at_the_newest,
    failures_found,
    groups_found,
)
from seqd.errors import InvalidRequest, JobDamaged, LaterVersion, UnknownJob
from seqd.escaping import one_line, printable
from seqd.ledger.job_filter import failure_filter
from seqd.views.failures import (
    MAX_INPUT_CHARS,
    MAX_MESSAGE_CHARS,
    code_of,
    failure_facts,
    groups_told,
    items_of,
    model_ref_of,
    plan_told,
    replay_told,
    what_to_do,
    why_no_input,
)
from seqd.views.numbers import age, count, counted
from seqd_schemas import FailureRecord, FailureScope, Item


@dataclass(frozen=True, slots=True)
class _Typed:
    """Which dead letters are meant, by the names in `FailureFilters`."""

    model: options.OfModel = None
    task: Annotated[
        str | None,
        typer.Option("--task", help="Only of jobs that asked for this, such as train."),
    ] = None
    tenant: options.OfTenant = None
    code: Annotated[
        str | None,
        typer.Option("--code", help="Only with this error code, such as plugin_error."),
    ] = None
    cause: Annotated[
        str | None,
        typer.Option(
            "--cause", help="Only where a worker died of this: hang, out_of_memory, signal, …"
        ),
    ] = None
    worker: Annotated[
        str | None, typer.Option("--worker", help="Only recorded by this worker.")
    ] = None
    job: Annotated[
        str | None,
        typer.Option("--job", help="Only of this job.", autocompletion=completion.jobs),
    ] = None
    since: Annotated[
        datetime | None,
        readers.typed(
            "--since",
            by=readers.moment,
            help="Only failed since then: 30m, 2h or 7d back from now, 2026-11-26 or "
            "2026-11-26T10:00.",
        ),
    ] = None
    until: Annotated[
        datetime | None,
        readers.typed(
            "--until",
            by=readers.moment,
            help="Only failed before this time, which is written as for --since.",
        ),
    ] = None

    def read(self) -> FailureFilters:
        """Return those that are given."""
        given = asdict(self)
        return cast("FailureFilters", {name: one for name, one in given.items() if one is not None})


_Ids = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="Ids of dead letters, as listed.")
]
_All = Annotated[bool, typer.Option("--all", help="All of them, where nothing else is given.")]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]

#: Gives a command these options; it gets those that are given as `filters`.
_takes_filters = options.takes(_Typed, "filters", _Typed.read)


@_takes_filters
@shown
def list_failures(
    by: Annotated[
        str,
        typer.Option("--by", help="Group by: failure, code, model, worker, cause, job or tenant."),
    ] = "failure",
    each: Annotated[
        bool, typer.Option("--each", help="List each dead letter, in place of groups.")
    ] = False,
    limit: Annotated[int, options.limit("Lines to list")] = 20,
    *,
    filters: FailureFilters,
) -> Found:
    """List what failed: dead letters with one cause together, those with most items first.

    One cause is the same model, error code, way of a worker's death, place in the plugin and form
    of the message.
    """
    by = readers.choice("--by", by, get_args(GroupBy))
    wanted, is_filtered = failure_filter(filters), bool(filters)
    with options.open_ledger() as ledger:
        run, now_ms = ledger.transport.run, ledger.fleet.now_ms()
        if each:
            records = run(failures_found(ledger, wanted, limit))
            return Found(
                records,
                lambda screen: print_failures(screen, records, now_ms, is_filtered=is_filtered),
            )
        groups = run(groups_found(ledger, wanted, by))
    counts = {"failures": groups.entries, "items": groups.items, "jobs": groups.jobs}
    return Found(
        counts | {"groups": [group.as_json() for group in groups.listed()[:limit]]},
        lambda screen: print_groups(screen, groups, by, limit, now_ms, is_filtered=is_filtered),
    )


@shown
def show(
    failure: Annotated[str, typer.Argument(metavar="ID", help="Id of a dead letter, as listed.")],
) -> Found:
    """Show one dead letter: what failed and why, its input, the traceback, and what to do."""
    with options.open_client() as client:
        record = client.failure(failure)
        items = client.failure_items(failure)
        is_kept = _is_kept(client, record.job_id)
    return Found(
        record.model_dump(mode="json") | {"input": items, "job_is_kept": is_kept},
        lambda screen: print_failure(screen, record, items, is_kept=is_kept),
    )


@_takes_filters
@shown
def replay(
    failures: _Ids = None,
    every: _All = False,
    current_version: Annotated[
        bool,
        typer.Option(
            "--current-version", help="On the version in service, not on the one that failed."
        ),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also what was tried again before.")
    ] = False,
    yes: _Yes = False,
    dry_run: _DryRun = False,
    *,
    screen: Screen,
    filters: FailureFilters,
) -> Found:
    """Try failed items again, once their cause is mended; says how many, and asks, first.

    Each job is continued by a new one, with its items that have such an error, under their names. A
    training goes on from its last checkpoint. Jobs that still run are left alone; then the exit
    status is 2.
    """
    filters |= {"ids": failures} if failures else {}
    _refuse_nothing(filters, "replay", every=every)
    with options.open_client() as client:
        replays = partial(client.replay, again=again, current_version=current_version)
        done = replays(every=every, dry_run=True, **filters)
        ready = [one for one in done if not one.left_because]
        if ready and not dry_run:
            screen.say(plan_told(ready, current_version=current_version))
            _confirm("replay", is_confirmed=yes)
            left = [one for one in done if one.left_because]
            # By their ids: what fails or ends meanwhile was not shown.
            filters |= {"ids": [id_ for one in ready for id_ in one.failure_ids]}
            done = [*replays(**filters), *left]

    def view(screen: Screen) -> None:
        for line in replay_told(done, is_dry_run=dry_run):
            screen.say(line.text, line.style)

    return Found(
        [asdict(one) for one in done],
        view,
        status=MISTAKE if any(one.left_because for one in done) else OK,
    )


@_takes_filters
@shown
def purge(
    failures: _Ids = None,
    every: _All = False,
    yes: _Yes = False,
    dry_run: _DryRun = False,
    *,
    screen: Screen,
    filters: FailureFilters,
) -> Found:
    """Remove dead letters; says how many, and asks, first. Jobs and their results stay."""
    filters |= {"ids": failures} if failures else {}
    _refuse_nothing(filters, "purge", every=every)
    with options.open_client() as client:
        end_at_the_newest(filters, client.failures(1, **filters))
        every = not filters  # `--all` has an end by now where there is a dead letter
        found = removed = client.purge_failures(every=every, dry_run=True, **filters)
        if found and not dry_run:
            screen.say(f"{counted(found, 'dead letter')} will be removed; jobs and results stay.")
            _confirm("purge", is_confirmed=yes)
            removed = client.purge_failures(every=every, **filters)
    told = f"{counted(removed, 'dead letter')} {'would be ' if dry_run else ''}removed."
    return Found(
        {"purged": 0 if dry_run else removed, "found": found},
        told if found else "No dead letter matches.",
    )


def _is_kept(client: Client, job_id: str) -> bool:
    try:
        client.job(job_id).record()
    except UnknownJob:
        return False
    except (JobDamaged, LaterVersion):
        pass  # it is there
    return True


def _confirm(action: str, *, is_confirmed: bool) -> None:
    if not is_confirmed:
        question = "Replay them?" if action == "replay" else "Remove them?"
        options.ask(
            question, f"Nothing was done. Say --yes to {action} them, or --dry-run to look."
        )


def _refuse_nothing(filters: FailureFilters, action: str, *, every: bool) -> None:
    """Raise InvalidRequest where it is not said which dead letters are meant."""
    if not filters and not every:
        raise InvalidRequest(
            f"It is not said which dead letters to {action}: name ids, filters such as --code "
            "plugin_error --since 2h, or --all. `seqd failures list` lists them."
        )
    if filters and every:
        raise InvalidRequest("--all is given with filters; leave one of them out")


def print_groups(
    screen: Screen, groups: FailureGroups, by: str, limit: int, now_ms: int, *, is_filtered: bool
) -> None:
    """Print groups of dead letters, that with the most items first."""
    listed = groups.listed()
    if not listed:
        _say_none(screen, is_filtered=is_filtered)
        return
    screen.say(groups_told(groups, "cause" if by == "failure" else by), "bold")
    for group in listed[:limit]:
        screen.say()
        _print_group(screen, group, by, now_ms)
    if len(listed) > limit:
        screen.say()
        screen.say(f"{count(len(listed) - limit)} more: say -n {len(listed)}", "dim")


def _say_none(screen: Screen, *, is_filtered: bool) -> None:
    screen.say(f"There are no dead letters{' that match' if is_filtered else ''}.")


def print_failures(
    screen: Screen, records: Sequence[FailureRecord], now_ms: int, *, is_filtered: bool
) -> None:
    """Print dead letters one by one."""
    if not records:
        _say_none(screen, is_filtered=is_filtered)
        return
    for record in records:
        again = f", tried again by {record.replayed_by}" if record.replayed_by else ""
        screen.say(
            f"{record.id}  {code_of(record)}  job {record.job_id}: {items_of(record)}, "
            f"{model_ref_of(record)}, {age(record.at_ms, now_ms)} ago{again}",
            "bold",
        )
        screen.say(f"  {one_line(record.message, MAX_MESSAGE_CHARS)}")


def print_failure(
    screen: Screen, record: FailureRecord, items: Sequence[Item], *, is_kept: bool
) -> None:
    """Print one dead letter in full, and what to do about it."""
    print_facts(screen, failure_facts(record))
    _print_input(screen, record, items, is_kept=is_kept)
    if record.traceback:
        screen.say()
        screen.say("traceback, in the plugin", "dim")
        for line in printable(record.traceback).splitlines():
            screen.say(line)
    screen.say()
    for line in what_to_do(record, is_kept=is_kept):
        screen.say(line)


def _print_group(screen: Screen, group: FailureGroup, by: str, now_ms: int) -> None:
    when = f"last {age(group.last_at_ms, now_ms)} ago"
    if group.first_at_ms != group.last_at_ms:
        when = f"first {age(group.first_at_ms, now_ms)} ago, {when}"
    items = f"{counted(group.items, 'item')}, " if group.items else ""
    what = f"{items}{counted(group.jobs, 'job')}"
    if by == "failure":
        screen.say(f"{code_of(group)}  {group.task} {group.model}  {what}", "bold")
    else:
        screen.say(f"{group.name}  {what}", "bold")
    screen.say(f"  {one_line(group.message, MAX_MESSAGE_CHARS)}")
    again = f", {count(group.replayed)} tried again" if group.replayed else ""
    screen.say(f"  {when}, in {counted(group.entries, 'dead letter')}{again}", "dim")
    screen.say(f"  seqd failures show {group.example_id}", "dim")


def _print_input(
    screen: Screen, record: FailureRecord, items: Sequence[Item], *, is_kept: bool
) -> None:
    if record.scope is FailureScope.JOB:
        return
    screen.say()
    if items:
        screen.say(f"input of item {one_line(items[0].custom_id, 128)}", "dim")
        screen.say(one_line(items[0].text, MAX_INPUT_CHARS))
    else:
        screen.say(why_no_input(record, is_kept=is_kept), "dim")

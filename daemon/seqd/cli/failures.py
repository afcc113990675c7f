"""`seqd failures`: the dead letters, which tell what failed; list, show, replay and purge them.

They are kept beside the jobs and outlive them. Replaying tries failed items again once their cause
is mended; purging removes dead letters, and no result.
"""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import completion, options
from seqd.cli.exits import MISTAKE, OK
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_json
from seqd.errors import InvalidRequest, JobDamaged, LaterVersion, Unconfirmed, UnknownJob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seqd.client import Client, FailureFilters, ReplayedJob

app = typer.Typer(
    no_args_is_help=True,
    help="List and show what failed (dead letters), try it again once it is mended, remove it.",
)

_Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Only of this model, or version: name@3.",
        autocompletion=completion.models,
    ),
]
_Task = Annotated[
    str | None, typer.Option("--task", help="Only of jobs that asked for this, such as train.")
]
_Tenant = Annotated[
    str | None,
    typer.Option(
        "--tenant",
        metavar="NAME",
        help="Only on this account.",
        autocompletion=completion.tenants,
    ),
]
_Code = Annotated[
    str | None, typer.Option("--code", help="Only with this error code, such as plugin_error.")
]
_Cause = Annotated[
    str | None,
    typer.Option("--cause", help="Only where a worker died so: hang, out_of_memory, signal, …"),
]
_Worker = Annotated[str | None, typer.Option("--worker", help="Only recorded by this worker.")]
_Job = Annotated[
    str | None, typer.Option("--job", help="Only of this job.", autocompletion=completion.jobs)
]
_Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Only failed since: 30m, 2h or 7d ago, or a day or time, 2026-11-26T10:00.",
    ),
]
_Until = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="Only failed before; as --since."),
]
_Ids = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="Ids of dead letters, as listed.")
]
_All = Annotated[bool, typer.Option("--all", help="All of them, where nothing else is given.")]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]

#: The year 9999, the last of a datetime, in milliseconds.
_CALENDAR_ENDS_MS = 253_370_000_000_000

#: Jobs that `replay` hands in before it says how far it is.
_SAID_EVERY = 100


@app.command("list")
def list_failures(
    model: _Model = None,
    task: _Task = None,
    tenant: _Tenant = None,
    code: _Code = None,
    cause: _Cause = None,
    worker: _Worker = None,
    job: _Job = None,
    since: _Since = None,
    until: _Until = None,
    by: Annotated[
        str,
        typer.Option("--by", help="Group by: failure, code, model, worker, cause, job or tenant."),
    ] = "failure",
    each: Annotated[
        bool, typer.Option("--each", help="List each dead letter, in place of groups.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=10_000, help="Lines to list at most.")
    ] = 20,
    as_json: options.Json = False,
) -> None:
    """List what failed: dead letters with one cause together, those with most items first.

    One cause is one model, code, way of a worker's death, place in the plugin and form of message.
    """
    from typing import get_args

    from seqd.cli.ui.failures import print_failures, print_groups
    from seqd.client.failure_groups import GroupBy

    by = options.choice("--by", by, get_args(GroupBy))
    filters = _filters(
        model=model, task=task, tenant=tenant, code=code, cause=cause, worker=worker, job=job,
        since=since, until=until,
    )  # fmt: skip
    is_filtered = any(value is not None for value in filters.values())
    with options.open_client() as client:
        if each:
            records = client.failures(limit, **filters)
        else:
            groups = client.failure_groups(by, **filters)
    if each and as_json:
        print_json(records)
    elif each:
        print_failures(Screen(), records, is_filtered=is_filtered)
    elif as_json:
        counts = {"failures": groups.entries, "items": groups.items, "jobs": groups.jobs}
        shown = [group.as_json() for group in groups.listed()[:limit]]
        print_json({**counts, "groups": shown})
    else:
        print_groups(Screen(), groups, by, limit, is_filtered=is_filtered)


@app.command()
def show(
    failure: Annotated[str, typer.Argument(metavar="ID", help="Id of a dead letter, as listed.")],
    as_json: options.Json = False,
) -> None:
    """Show one dead letter: what failed and why, its input, the traceback, and what to do."""
    from seqd.cli.ui.failures import print_failure

    with options.open_client() as client:
        record = client.failure(failure)
        items = client.failure_items(failure)
        is_kept = _is_kept(client, record.job_id)
    if as_json:
        print_json(
            record.model_dump(mode="json")
            | {"input": [item.model_dump(mode="json") for item in items], "job_is_kept": is_kept}
        )
    else:
        print_failure(Screen(), record, items, is_kept=is_kept)


@app.command()
def replay(
    failures: _Ids = None,
    model: _Model = None,
    task: _Task = None,
    tenant: _Tenant = None,
    code: _Code = None,
    cause: _Cause = None,
    worker: _Worker = None,
    job: _Job = None,
    since: _Since = None,
    until: _Until = None,
    every: _All = False,
    current_version: Annotated[
        bool,
        typer.Option(
            "--current-version", help="On the version in service, not on the one that failed."
        ),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also what another job tries again already.")
    ] = False,
    yes: _Yes = False,
    dry_run: _DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Try failed items again, once their cause is mended; says how many, and asks, first.

    A new job continues each job, and takes its items with such an error, under their names. A
    training goes on from its last checkpoint. Jobs that still run are left. Exit status 2 when one
    was left.
    """
    from seqd.cli.ui.failures import say_plan, say_replayed

    filters = _filters(
        failures, model=model, task=task, tenant=tenant, code=code, cause=cause, worker=worker,
        job=job, since=since, until=until,
    )  # fmt: skip
    _refuse_nothing(filters, "replay", every=every)
    screen = Screen(to_stderr=as_json)
    with options.open_client() as client:
        plan = client.replay(
            every=every, dry_run=True, again=again, current_version=current_version, **filters
        )
        ready = [one for one in plan if not one.left_because]
        if dry_run or not ready:
            done = plan
        else:
            say_plan(screen, ready, current_version=current_version)
            _confirm("Replay them?", "replay", is_confirmed=yes)
            done = [one for one in plan if one.left_because]
            done += _replayed(client, ready, screen, current_version=current_version, again=again)
    if as_json:
        print_json([_as_json(one) for one in done])
    else:
        say_replayed(screen, done, is_dry_run=dry_run)
    raise typer.Exit(MISTAKE if any(one.left_because for one in done) else OK)


@app.command()
def purge(
    failures: _Ids = None,
    model: _Model = None,
    task: _Task = None,
    tenant: _Tenant = None,
    code: _Code = None,
    cause: _Cause = None,
    worker: _Worker = None,
    job: _Job = None,
    since: _Since = None,
    until: _Until = None,
    every: _All = False,
    yes: _Yes = False,
    dry_run: _DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Remove dead letters; says how many, and asks, first. Jobs and their results stay."""
    from seqd.cli.ui.numbers import counted

    filters = _filters(
        failures, model=model, task=task, tenant=tenant, code=code, cause=cause, worker=worker,
        job=job, since=since, until=until,
    )  # fmt: skip
    _refuse_nothing(filters, "purge", every=every)
    screen = Screen(to_stderr=as_json)
    with options.open_client() as client:
        _end_at_the_newest(client, filters)
        every = not filters  # `--all` has an end by now where there is a dead letter
        found = removed = client.purge_failures(every=every, dry_run=True, **filters)
        if found and not dry_run:
            screen.say(f"{counted(found, 'dead letter')} will be removed; jobs and results stay.")
            _confirm("Remove them?", "purge", is_confirmed=yes)
            removed = client.purge_failures(every=every, **filters)
    if as_json:
        print_json({"purged": 0 if dry_run else removed, "found": found})
    elif not found:
        screen.say("No dead letter matches.")
    elif dry_run:
        screen.say(f"{counted(found, 'dead letter')} would be removed.")
    else:
        screen.say(f"{counted(removed, 'dead letter')} removed.")


def _end_at_the_newest(client: "Client", filters: "FailureFilters") -> None:
    """Leave out what fails from now on, while somebody is asked and later."""
    newest = client.failures(1, **filters)
    if newest and filters.get("until") is None and newest[0].at_ms < _CALENDAR_ENDS_MS:
        filters["until"] = datetime.fromtimestamp((newest[0].at_ms + 1) / 1000, UTC)


def _replayed(
    client: "Client",
    ready: "Sequence[ReplayedJob]",
    screen: Screen,
    *,
    current_version: bool,
    again: bool,
) -> "list[ReplayedJob]":
    """Replay job after job, and say how far it is where they are many."""
    done: list[ReplayedJob] = []
    for number, planned in enumerate(ready, start=1):
        done += client.replay(ids=planned.failure_ids, current_version=current_version, again=again)
        if number % _SAID_EVERY == 0:
            screen.say(f"{number:,} of {len(ready):,} jobs", "dim")
    return done


def _is_kept(client: "Client", job_id: str) -> bool:
    try:
        client.job(job_id).record()
    except UnknownJob:
        return False
    except (JobDamaged, LaterVersion):
        pass  # it is there
    return True


def _as_json(replayed: "ReplayedJob") -> dict[str, object]:
    from dataclasses import asdict

    return asdict(replayed)


def _confirm(question: str, action: str, *, is_confirmed: bool) -> None:
    """Ask, unless it is confirmed. Raises Unconfirmed where nobody can be asked."""
    if is_confirmed:
        return
    if not sys.stdin.isatty():
        raise Unconfirmed(f"Nothing was done. Say --yes to {action} them, or --dry-run to look.")
    typer.confirm(question, abort=True, err=True)


def _refuse_nothing(filters: "FailureFilters", action: str, *, every: bool) -> None:
    """Raise InvalidRequest where it is not said which dead letters are meant."""
    if not filters and not every:
        raise InvalidRequest(
            f"It is not said which dead letters to {action}: name ids, filters such as --code "
            "plugin_error --since 2h, or --all. `seqd failures list` lists them."
        )
    if filters and every:
        raise InvalidRequest("--all is given with filters; leave one of them out")


def _filters(ids: "Sequence[str] | None" = None, **typed: str | None) -> "FailureFilters":
    """Return the filters that are given."""
    given: FailureFilters = {}
    moments = {
        name: options.read_since(typed.pop(name, None), f"--{name}") for name in ("since", "until")
    }
    given.update({name: value for name, value in typed.items() if value is not None})  # type: ignore[typeddict-item]
    given.update({name: value for name, value in moments.items() if value is not None})  # type: ignore[typeddict-item]
    if ids:
        given["ids"] = ids
    return given

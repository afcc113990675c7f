"""`seqd jobs cancel`, `pause`, `resume`, `retry` and `rm`: what is done to jobs that are there.

Each holds in the ledger at once, with or without a worker up.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import options

if TYPE_CHECKING:
    from seqd.cli.rendering.screen import Screen
    from seqd.client import JobHandle
    from seqd_schemas import JobRecord


def cancel(job: options.JobIdArgument, as_json: options.Json = False) -> None:
    """Cancel a job, with or without a worker up. What was done stays readable."""
    with options.open_client() as client:
        handle = client.job(job)
        had_ended = handle.record().state.is_terminal
        state = handle.cancel()
        record = handle.record()
    if _printed(record, as_json=as_json):
        return
    if had_ended:
        _say_it_had_ended(record)
    elif record.kind == "train":
        typer.echo(f"Job {job} is {state}. Go on from its last checkpoint: seqd jobs resume {job}")
    else:
        typer.echo(f"Job {job} is {state}, with {_done(record)} items done.")


def pause(job: options.JobIdArgument, as_json: options.Json = False) -> None:
    """Begin no further unit of a job until it is resumed. Units in hand are finished.

    A training stops at a checkpoint. Works with or without a worker up.
    """
    with options.open_client() as client:
        handle = client.job(job)
        had_ended = handle.record().state.is_terminal
        handle.pause()
        record = handle.record()
    if _printed(record, as_json=as_json):
        return
    if had_ended:
        _say_it_had_ended(record)
        return
    done = "" if record.kind == "train" else f", with {_done(record)} items done"
    typer.echo(f"Job {job} is {record.state}{done}. Let it go on: seqd jobs resume {job}")


def resume(job: options.JobIdArgument, as_json: options.Json = False) -> None:
    """Let a paused job go on; or a training that was cancelled, failed or expired.

    A training that had ended goes on from its last checkpoint, as a new job.
    """
    with options.open_client() as client:
        handle = client.resume(job)
        record = handle.record()
    if _printed(record, as_json=as_json):
        return
    if handle.job_id == job:
        typer.echo(f"Job {job} is {record.state}. Watch it: seqd jobs watch {job}")
    else:
        typer.echo(
            f"Job {handle.job_id} goes on from the last checkpoint of job {job}. Watch it: "
            f"seqd jobs watch {handle.job_id}"
        )


def retry(
    job: options.JobIdArgument,
    failed: Annotated[
        bool,
        typer.Option("--failed", help="The items without a result; all that can be retried."),
    ] = True,
    out: options.Out = None,
    as_json: options.Json = False,
    detach: options.Detach = False,
) -> None:
    """Hand the failed items of a job that has ended in again, on the same model version.

    The results are those of the whole job: the new ones in the place of the errors, in input
    order. Exit status 2 when an item has an error still.
    """
    from seqd.cli.detaching import leave_running
    from seqd.cli.following import cancelling, say_if_nobody_is_there
    from seqd.cli.rendering.screen import Screen

    screen = Screen(to_stderr=out is None or as_json or detach)
    with options.open_client() as client:
        first = client.job(job)
        handle = client.retry(job)
        if detach:
            leave_running(handle, screen, as_json=as_json)
            screen.say(f"The results of both: seqd jobs results {job} --merged")
            return
        with cancelling(handle, screen):
            say_if_nobody_is_there(client, handle, screen)
            status = _see_retry_through(first, handle, out, screen, as_json=as_json)
    raise typer.Exit(status)


def remove(
    jobs: Annotated[list[str], typer.Argument(help="Ids of jobs that have ended.")],
) -> None:
    """Forget jobs that have ended, with their results and events. Model versions stay."""
    with options.open_client() as client:
        for job in jobs:
            client.job(job).remove()
            typer.echo(f"Job {job} is removed.")


def _see_retry_through(
    first: "JobHandle",
    handle: "JobHandle",
    out: options.Out,
    screen: "Screen",
    *,
    as_json: bool,
) -> int:
    from seqd.cli.bulk import Output, print_line, read_results, result_files
    from seqd.cli.exits import MISTAKE, OK
    from seqd.cli.rendering.summary import say_retry_summary
    from seqd.cli.rendering.tables import print_json
    from seqd.cli.tally import Tally

    tally = Tally()
    with result_files(out, None) as files:
        output = Output(files, print_line, as_json=as_json)
        is_final = lambda: handle.record().sealed  # noqa: E731
        record = read_results(
            handle, screen, output, tally, is_final, results=first.merged_results()
        )
        if files is not None:
            files.commit()
    say_retry_summary(screen, record, tally, files)
    if as_json and files is not None:
        print_json(record)
    return MISTAKE if tally.errored else OK


def _printed(record: "JobRecord", *, as_json: bool) -> bool:
    from seqd.cli.rendering.tables import print_json

    if as_json:
        print_json(record)
    return as_json


def _say_it_had_ended(record: "JobRecord") -> None:
    typer.echo(f"Job {record.job_id} had ended before, as {record.state}; nothing was changed.")


def _done(record: "JobRecord") -> str:
    return f"{record.counts.done:,} of {record.counts.total:,}"

"""`seqd jobs cancel`, `pause`, `resume`, `retry` and `rm`: what is done to jobs that are there.

Each holds in the ledger at once, with or without a worker up.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import options
from seqd.cli.exits import MISTAKE, OK, tell
from seqd.errors import InvalidRequest, UnknownJob, WrongState

if TYPE_CHECKING:
    from seqd.cli.rendering.screen import Screen
    from seqd.client import JobHandle
    from seqd_schemas import JobRecord


def cancel(job: options.JobIdArgument, as_json: options.Json = False) -> None:
    """Cancel a job, with or without a worker up. What was done stays readable."""
    from seqd.client.requests import has_its_input

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
        go_on = f" Continue it: seqd jobs resume {job}" if has_its_input(record) else ""
        typer.echo(f"Job {job} is {state}.{go_on}")
    else:
        typer.echo(f"Job {job} is {state}, with {_done(record)} done.")


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
    done = "" if record.kind == "train" else f", with {_done(record)} done"
    typer.echo(f"Job {job} is {record.state}{done}. Let it go on: seqd jobs resume {job}")


def resume(job: options.JobIdArgument, as_json: options.Json = False) -> None:
    """Let a paused job go on; or continue a training that was cancelled, failed or expired.

    A new job continues a training that had ended, from its last checkpoint if it has one.
    """
    from seqd_schemas import JobState

    with options.open_client() as client:
        before = client.job(job)
        found = before.record()
        handle = client.resume(job)
        record = handle.record()
        continues = handle.job_id != job
        has_checkpoint = continues and before.has_checkpoint()
    if _printed(record, as_json=as_json):
        return
    if continues:
        _say_what_continues(found, handle.job_id, has_checkpoint=has_checkpoint)
    elif found.state is JobState.PAUSED:
        typer.echo(f"Job {job} is {record.state}. Watch it: seqd jobs watch {job}")
    else:
        typer.echo(f"Job {job} is {record.state} already; nothing was changed.")


def retry(
    job: options.JobIdArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="File for the results of the whole, from the first job on, as JSON lines; errors "
            "go beside it. Else stdout.",
        ),
    ] = None,
    as_json: options.Json = False,
    detach: options.Detach = False,
) -> None:
    """Hand the failed items of a job that has ended in again, on the same model version.

    The results are those of the whole, also when the job is a retry itself: all of the first job,
    in input order, the new ones in the place of the errors. Exit status 2 when an item has an
    error still.
    """
    from seqd.cli.detaching import leave_running
    from seqd.cli.following import cancelling, say_if_nobody_is_there
    from seqd.cli.rendering.screen import Screen
    from seqd.cli.rendering.summary import say_what_was_not_sent

    screen = Screen(to_stderr=out is None or as_json or detach)
    with options.open_client() as client:
        handle = client.retry(job)
        if detach:
            leave_running(handle, screen, as_json=as_json)
            say_what_was_not_sent(screen, client.job(job).record(), handle.record())
            whole = handle.origin().job_id
            screen.say(f"The results of the whole: seqd jobs results {whole} --merged")
            return
        with cancelling(handle, screen):
            say_if_nobody_is_there(client, handle, screen)
            status = _see_retry_through(handle, out, screen, as_json=as_json)
            say_what_was_not_sent(screen, client.job(job).record(), handle.record())
    raise typer.Exit(status)


def remove(
    jobs: Annotated[list[str], typer.Argument(help="Ids of jobs that have ended.")],
) -> None:
    """Forget jobs that have ended, with their results and events. Model versions stay.

    Exit status 2 when one of them could not be removed; the others are.
    """
    status = OK
    with options.open_client() as client:
        for job in jobs:
            try:
                client.job(job).remove()
            except (InvalidRequest, UnknownJob, WrongState) as error:
                status = tell(error)
            else:
                typer.echo(f"Job {job} is removed.")
    raise typer.Exit(status)


def _see_retry_through(
    handle: "JobHandle",
    out: Path | None,
    screen: "Screen",
    *,
    as_json: bool,
) -> int:
    from seqd.cli.bulk import Output, print_line, read_results, result_files
    from seqd.cli.rendering.summary import say_retry_summary
    from seqd.cli.rendering.tables import print_json
    from seqd.cli.tally import Tally

    tally, first = Tally(), handle.origin()
    with result_files(out, None) as files:
        output = Output(files, print_line, as_json=as_json)
        is_final = lambda: handle.record().sealed  # noqa: E731
        course = read_results(
            handle, screen, output, tally, is_final, results=first.merged_results()
        )
        if files is not None:
            files.commit()
    say_retry_summary(screen, course.record, first.record(), tally, files)
    if as_json and files is not None:
        print_json(course.record)
    return MISTAKE if tally.errored else OK


def _printed(record: "JobRecord", *, as_json: bool) -> bool:
    from seqd.cli.rendering.tables import print_json

    if as_json:
        print_json(record)
    return as_json


def _say_what_continues(found: "JobRecord", job_id: str, *, has_checkpoint: bool) -> None:
    from seqd.cli.rendering.screen import printable
    from seqd_schemas import JobState

    if has_checkpoint:
        typer.echo(f"Job {job_id} continues job {found.job_id} from its last checkpoint.")
    else:
        typer.echo(f"Job {found.job_id} has no checkpoint; job {job_id} starts from the beginning.")
    if found.state is JobState.FAILED and found.failure is not None:
        typer.echo(f"Job {found.job_id} had failed: {printable(found.failure.message)}")
    typer.echo(f"Watch it: seqd jobs watch {job_id}")


def _say_it_had_ended(record: "JobRecord") -> None:
    typer.echo(f"Job {record.job_id} had ended before, as {record.state}; nothing was changed.")


def _done(record: "JobRecord") -> str:
    from seqd.client.handle import things_of

    return f"{record.counts.done:,} of {record.counts.total:,} {things_of(record)}"

"""`seqd jobs`: the jobs of the ledger, whoever handed them in; looked at here.

What is done to them is in `job_control`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import job_control, options
from seqd.cli.exits import MISTAKE, OK
from seqd.errors import InvalidRequest, JobFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seqd.cli.bulk import Output, Result
    from seqd.cli.rendering.screen import Screen
    from seqd.client import JobHandle

app = typer.Typer(
    no_args_is_help=True,
    help="List, show, watch and fetch jobs; cancel, pause, resume, retry and remove them.",
)


@app.command("list")
def list_jobs(
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=10_000, help="Jobs to list at most.")
    ] = 20,
    as_json: options.Json = False,
) -> None:
    """List the newest jobs that are kept, newest first."""
    from seqd.cli.rendering.job_tables import print_jobs
    from seqd.cli.rendering.screen import Screen
    from seqd.cli.rendering.tables import print_json

    with options.open_client() as client:
        records = client.jobs(limit)
    if as_json:
        print_json(records)
    else:
        print_jobs(Screen(), records)


@app.command()
def show(job: options.JobIdArgument, as_json: options.Json = False) -> None:
    """Show one job: its state, its counts, its request, and why it failed if it did."""
    from seqd.cli.rendering.job_tables import print_job
    from seqd.cli.rendering.screen import Screen
    from seqd.cli.rendering.tables import print_json

    with options.open_client() as client:
        record = client.job(job).record()
    if as_json:
        print_json(record)
    else:
        print_job(Screen(), record)


@app.command()
def watch(job: options.JobIdArgument, as_json: options.Json = False) -> None:
    """Follow a job to its end; Ctrl-C leaves it running. With --json, events as JSON lines.

    Exit status as of the command that handed it in.
    """
    from seqd.cli.bulk import print_event
    from seqd.cli.following import say_if_paused
    from seqd.cli.rendering.screen import Screen
    from seqd.cli.sweeps import see_sweep_through
    from seqd.cli.trainings import see_training_through

    screen = Screen()
    with options.open_client() as client:
        handle = client.job(job)
        record = handle.record()
        if as_json:
            for event in handle.events():
                print_event(event)
        else:
            say_if_paused(screen, record)
            if record.kind == "train":
                see_training_through(client, handle, screen, as_json=False)
            elif record.kind == "sweep":
                see_sweep_through(handle, screen)
            else:
                _watch_items(handle, screen)
        record = handle.wait()
    raise typer.Exit(MISTAKE if record.counts.errored or record.counts.expired else OK)


@app.command()
def results(
    job: options.JobIdArgument,
    out: options.Out = None,
    merged: Annotated[
        bool, typer.Option("--merged", help="With the results of later retries in their places.")
    ] = False,
) -> None:
    """Fetch a job's results in input order, as JSON lines; of a running job, as they come.

    Of a job that was cancelled, failed or expired, the undone items come as errors.
    """
    from seqd.cli.bulk import Output, print_line, result_files
    from seqd.cli.rendering.screen import Screen

    with options.open_client() as client, result_files(out, None) as files:
        handle = client.job(job)
        if handle.record().kind == "train":
            if out is not None:
                raise InvalidRequest(f"job {job} is a training, it has no items; leave --out away")
            status = _print_training(handle)
        else:
            output = Output(files, print_line, as_json=False)
            status = _fetch(handle, Screen(to_stderr=out is None), output, merged=merged)
    raise typer.Exit(status)


@app.command()
def plot(
    job: options.JobIdArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File (PNG). Else sweep-JOB.png, here.")
    ] = None,
) -> None:
    """Draw what a sweep has trained by now: its figures and its time against the values."""
    from seqd.cli.rendering.screen import Screen
    from seqd.cli.sweeps import draw
    from seqd.plots.canvas import check_plot
    from seqd.sweep_report import report_of, sweep_job_of

    path = out or Path(f"sweep-{job}.png")
    check_plot(path)
    with options.open_client() as client:
        handle = client.job(job)
        report_results = handle.results_by_now().values()
        report = report_of(sweep_job_of(handle.record()), report_results)
    raise typer.Exit(OK if draw(Screen(), report, path) else MISTAKE)


app.command("cancel")(job_control.cancel)
app.command("pause")(job_control.pause)
app.command("resume")(job_control.resume)
app.command("retry")(job_control.retry)
app.command("rm")(job_control.remove)


def _watch_items(handle: "JobHandle", screen: "Screen") -> None:
    from seqd.cli.rendering.bulk_view import bulk_view
    from seqd.cli.rendering.summary import Course, say_headline

    with bulk_view(screen, handle.record(), lambda: handle.record().sealed) as view:
        for event in handle.events():
            view.show(event)
        view.finish(handle.record())
    record = handle.record()
    say_headline(screen, Course(record, view.was_paused))
    if record.counts.done:
        screen.say(f"Its results: seqd jobs results {handle.job_id}")


def _fetch(handle: "JobHandle", screen: "Screen", output: "Output", *, merged: bool) -> int:
    """Like a bulk job's own command, but a job that ended early has its partial results."""
    from seqd.cli.bulk import read_results
    from seqd.cli.rendering.summary import say_bulk_summary, say_merged_summary
    from seqd.cli.tally import Tally

    tally = Tally()
    failed: list[JobFailed] = []
    jobs = _with_retries(handle) if merged else [handle]
    _say_which_are_paused(jobs)
    given = handle.merged_results() if merged else _before_failure(handle.results(), failed)
    last = jobs[-1]
    is_final = lambda: last.record().sealed  # noqa: E731
    course = read_results(last, screen, output, tally, is_final, results=given)
    if output.files is not None:
        output.files.commit()
    if last is handle:
        say_bulk_summary(screen, course, tally, output.files)
    else:
        say_merged_summary(screen, handle.record(), course.record, tally, output.files)
    if failed:
        raise failed[0]
    return MISTAKE if tally.errored else OK


def _with_retries(handle: "JobHandle") -> "list[JobHandle]":
    jobs = [handle]
    while (retry := jobs[-1].continuation()) is not None:
        jobs.append(retry)
    return jobs


def _say_which_are_paused(jobs: "Sequence[JobHandle]") -> None:
    """Say on stderr, whatever goes to stdout, which jobs somebody has to resume."""
    from seqd.cli.following import say_if_paused
    from seqd.cli.rendering.screen import Screen

    for job in jobs:
        say_if_paused(Screen(to_stderr=True), job.record())


def _before_failure(results: "Iterator[Result]", failed: list[JobFailed]) -> "Iterator[Result]":
    """Give what a failed job still has, and its failure into `failed`."""
    try:
        yield from results
    except JobFailed as error:
        failed.append(error)


def _print_training(handle: "JobHandle") -> int:
    from seqd.cli.rendering.tables import print_json

    print_json(handle.wait().training)
    return OK

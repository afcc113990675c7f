"""`seqd jobs`: list, show, cancel, pause, resume, retry and remove jobs, whoever submitted them.

Each command takes effect in the ledger at once, also when no worker runs.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from seqd.cli import completion, options
from seqd.cli.bulk import Output, Result, bulk_view, print_event, print_line, read_results
from seqd.cli.exits import MISTAKE, OK, print_error
from seqd.cli.handing_in import HandIn, say_if_paused
from seqd.cli.many_jobs import FilterOptions, ManyJobs, act_on_many, takes_filters
from seqd.cli.output_options import (
    OutputOptions,
    columns_asked,
    opened_output,
    takes_result_options,
)
from seqd.cli.result_files import ResultFiles
from seqd.cli.showing import Found, shown
from seqd.cli.ui.jobs import print_job, print_jobs, say_where_it_stopped
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.stdout import print_json
from seqd.cli.ui.summary import (
    BulkOutcome,
    ResultCounts,
    say_bulk_summary,
    say_headline,
    say_what_was_not_sent,
)
from seqd.client import JobHandle
from seqd.client.job import things_of
from seqd.client.requests import has_its_input
from seqd.errors import InvalidRequest, JobFailed, RedisUnreachable, SeqdError
from seqd_schemas import JobAction, JobRecord, JobState, SweepJob, TrainJob

_Job = Annotated[
    str | None,
    typer.Argument(help="The job's id; else filters.", autocompletion=completion.jobs),
]
_Limit = Annotated[int, options.limit("Jobs to list")]


@options.takes(FilterOptions, "wanted")
@shown
def list_jobs(limit: _Limit = 20, *, wanted: FilterOptions) -> Found:
    """List the newest jobs that are kept and match all that is given, newest first.

    A search that has looked at too many other jobs says where it stopped.
    """
    filters = wanted.filters()
    with options.open_client() as client:
        records = client.jobs(limit, **filters)
    say_where_it_stopped(Screen(to_stderr=True), records)
    return Found(records, lambda screen: print_jobs(screen, records, records.at_ms))


@shown
def show(job: options.JobIdArgument) -> Found:
    """Show one job: its state, counts and times, its request, its workers and how fast it goes.

    And why it waits, or failed. With --json what goes on in it is its `activity`.
    """
    with options.open_client() as client:
        handle = client.job(job)
        record, activity = handle.record(), handle.activity()
        has_errors = record.state.is_terminal and record.counts.errored
        errors = client.explain(job).errors if has_errors else {}
    found = record.model_dump(mode="json") | {"activity": activity.as_json()}
    return Found(found, lambda screen: print_job(screen, record, activity, errors))


@shown
def watch(job: options.JobIdArgument, *, screen: Screen) -> None:
    """Follow a job to its end; Ctrl-C leaves it running. With --json, events as JSON lines.

    Exit status as of the command that handed it in.
    """
    from seqd.cli.train import follow_sweep, follow_training

    with options.open_client() as client:
        handle = client.job(job)
        record = handle.record()
        if screen.is_beside_json:
            for event in handle.events():
                print_event(event)
        else:
            say_if_paused(screen, record)
            if isinstance(record.job, TrainJob):
                follow_training(client, handle, screen)
            elif isinstance(record.job, SweepJob):
                follow_sweep(client, handle, screen)
            else:
                _watch_items(handle, screen)
        record = handle.wait()
    raise typer.Exit(MISTAKE if record.counts.errored or record.counts.expired else OK)


@takes_result_options
def results(
    job: options.JobIdArgument,
    merged: Annotated[
        bool, typer.Option("--merged", help="With the results of later retries in their places.")
    ] = False,
    *,
    output: OutputOptions,
) -> None:
    """Fetch a job's results in input order, as JSON lines; of a running job, as they come.

    Of a job that was cancelled, failed or expired, the undone items come as errors.
    """
    with options.open_client() as client:
        handle = client.job(job)
        record = handle.record()
        if isinstance(record.job, TrainJob):
            if given := [*output.given(), *(["--merged"] if merged else [])]:
                raise InvalidRequest(
                    f"job {job} is a training, it has no items; leave {' and '.join(given)} away"
                )
            print_json(handle.wait().training)
            return
        with _opened_for(handle, output) as files:
            to = Output(files, print_line)
            status = _fetch(handle, Screen(to_stderr=output.goes_to_stdout), to, merged=merged)
    raise typer.Exit(status)


def plot(
    job: options.JobIdArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File (PNG). Else sweep-JOB.png, here.")
    ] = None,
) -> None:
    """Draw what a sweep has trained by now: its figures and its time against the values."""
    from seqd.analysis.plots import check_plot
    from seqd.analysis.sweeps import report_of, sweep_job_of
    from seqd.cli.train import draw

    path = out or Path(f"sweep-{job}.png")
    check_plot(path)
    with options.open_client() as client:
        handle = client.job(job)
        # First: it refuses a job of another kind.
        results_by_now = handle.results_by_now().values()
        report = report_of(sweep_job_of(handle.record()), results_by_now)
    raise typer.Exit(OK if draw(Screen(), report, path) else MISTAKE)


@takes_filters
@shown
def cancel(job: _Job = None, *, many: ManyJobs) -> Found:
    """Cancel a job, with or without a worker up. What was done stays readable.

    Or all open jobs that match filters, as `seqd jobs list` takes them.
    """
    if job is None:
        return act_on_many("cancel", many)
    many.refuse_beside_ids("cancel")

    with options.open_client() as client:
        handle = client.job(job)
        had_ended = handle.record().state.is_terminal
        state = handle.cancel()
        record = handle.record()
    if had_ended:
        return Found(record, _had_ended_told(record))
    if isinstance(record.job, TrainJob):
        go_on = f" Continue it: seqd jobs resume {job}" if has_its_input(record) else ""
        return Found(record, f"Job {job} is {state}.{go_on}")
    return Found(record, f"Job {job} is {state}, with {_done(record)} done.")


@takes_filters
@shown
def pause(job: _Job = None, *, many: ManyJobs) -> Found:
    """Begin no further unit of a job until it is resumed. Units in hand are finished.

    A training stops at a checkpoint. Works with or without a worker up. Or all jobs that match
    filters, and are queued or running.
    """
    if job is None:
        return act_on_many("pause", many)
    many.refuse_beside_ids("pause")

    with options.open_client() as client:
        handle = client.job(job)
        had_ended = handle.record().state.is_terminal
        handle.pause()
        record = handle.record()
    if had_ended:
        return Found(record, _had_ended_told(record))
    done = "" if isinstance(record.job, TrainJob) else f", with {_done(record)} done"
    return Found(record, f"Job {job} is {record.state}{done}. Let it go on: seqd jobs resume {job}")


@takes_filters
@shown
def resume(job: _Job = None, *, many: ManyJobs) -> Found:
    """Let a paused job go on; or continue a training that was cancelled, failed or expired.

    A new job continues a training that had ended, from its last checkpoint if it has one. With
    filters, the paused jobs that match go on.
    """
    if job is None:
        return act_on_many("resume", many)
    many.refuse_beside_ids("resume")

    with options.open_client() as client:
        before = client.job(job)
        old = before.record()
        handle = client.resume(job)
        record = handle.record()
        continues = handle.job_id != job
        has_checkpoint = continues and before.has_checkpoint()
    if continues:
        return Found(record, _continuing_told(old, handle.job_id, has_checkpoint=has_checkpoint))
    if old.state.may(JobAction.RESUME):
        stands = f"is {record.state}."
        if record.waiting is not None:
            stands = f"is not paused any more, and waits: {record.waiting.message}"
        return Found(record, f"Job {job} {stands} Watch it: seqd jobs watch {job}")
    return Found(record, f"Job {job} is {record.state} already; nothing was changed.")


@takes_filters
@takes_result_options
@shown
def retry(
    job: _Job = None,
    detach: options.Detach = False,
    *,
    screen: Screen,
    many: ManyJobs,
    output: OutputOptions,
) -> Found | None:
    """Hand the failed items of a job that has ended in again, on the same model version.

    All results of the first job are printed, in input order, the new ones in the place of the
    errors; also when the job is a retry itself. Exit status 2 when an item has an error still.

    With filters, all ended jobs that match and have failed items, each once; nothing is waited for.
    """
    if job is None:
        output.for_command(waits=False)
        return act_on_many("retry", many)
    many.refuse_beside_ids("retry")

    screen = screen.on_stderr() if output.goes_to_stdout or detach else screen
    with (
        options.open_client() as client,
        _opened_for(client.job(job), output.for_command(waits=not detach)) as files,
    ):
        hand_in = HandIn(
            client=client,
            screen=screen,
            send=lambda _: client.retry(job),
            told=f"Interrupted while job {job} was retried. What continues it: seqd jobs show "
            f"{job}",
        )
        if detach:
            handle = hand_in.detached()
            say_what_was_not_sent(screen, client.job(job).record(), handle.record())
            whole = handle.origin().job_id
            screen.say(f"The results of the whole: seqd jobs results {whole} --merged")
            return None
        with hand_in.waited_for() as begun:
            status = _follow_retry(begun.handle, files, screen)
            say_what_was_not_sent(screen, client.job(job).record(), begun.handle.record())
    raise typer.Exit(status)


@takes_filters
@shown
def remove(
    jobs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Ids of jobs that have ended; else filters.", autocompletion=completion.jobs
        ),
    ] = None,
    *,
    screen: Screen,
    many: ManyJobs,
) -> Found:
    """Forget jobs that have ended, with their results and events. Model versions stay.

    Exit status 2 when one of them could not be removed; the others are.
    """
    if not jobs:
        return act_on_many("remove", many)
    many.refuse_beside_ids("rm")
    status, removed = OK, list[str]()
    with options.open_client() as client:
        for job in jobs:
            try:
                client.job(job).remove()
            except SeqdError as error:
                status = print_error(error)
                if isinstance(error, RedisUnreachable):
                    break  # as for the others
            else:
                removed.append(job)
                screen.say(f"Job {job} is removed.")
    return Found({"removed": removed}, status=status)


def _watch_items(handle: JobHandle, screen: Screen) -> None:
    with bulk_view(screen, handle.record) as view:
        for event in handle.events():
            view.show(event)
        view.finish(handle.record())
    record = handle.record()
    say_headline(screen, BulkOutcome(record, view.was_paused))
    if record.counts.done:
        screen.say(f"Its results: seqd jobs results {handle.job_id}")


def _fetch(handle: JobHandle, screen: Screen, output: Output, *, merged: bool) -> int:
    """Write a bulk job's results, those of one that ended early too; return the exit status."""
    counts = ResultCounts()
    failed: list[JobFailed] = []
    jobs = _with_retries(handle) if merged else [handle]
    for job in jobs:  # whatever goes to stdout
        say_if_paused(Screen(to_stderr=True), job.record())
    selected = handle.merged_results() if merged else _before_failure(handle.results(), failed)
    last = jobs[-1]
    outcome = read_results(last, screen, output, counts, results=selected)
    earlier = [one.record() for one in jobs[:-1]]
    output.commit([*earlier, outcome.record])
    outcome = replace(outcome, first=earlier[0] if earlier else None)
    say_bulk_summary(screen, outcome, counts, output.files)
    if failed:
        raise failed[0]
    return MISTAKE if counts.errored else OK


def _with_retries(handle: JobHandle) -> list[JobHandle]:
    jobs = [handle]
    while (retry := jobs[-1].continuation()) is not None:
        jobs.append(retry)
    return jobs


def _before_failure(results: Iterator[Result], failed: list[JobFailed]) -> Iterator[Result]:
    """Yield the results that a failed job has, and append its failure to `failed`."""
    try:
        yield from results
    except JobFailed as error:
        failed.append(error)


def _opened_for(
    handle: JobHandle, output: OutputOptions
) -> AbstractContextManager[ResultFiles | None]:
    """Return the files for a job's results, to be entered, before anything is sent."""
    if output.is_plain:
        return nullcontext()
    record = handle.record()
    asked = columns_asked(record.job.parameters, getattr(record.job, "min_score", None))
    fields = handle.output_fields()
    return opened_output(output, record.kind, more_columns=asked, fields=fields)


def _follow_retry(handle: JobHandle, files: ResultFiles | None, screen: Screen) -> int:
    counts, origin = ResultCounts(), handle.origin()
    output = Output(files, print_line)
    outcome = read_results(handle, screen, output, counts, results=origin.merged_results())
    first = origin.record()
    output.commit([first, outcome.record])
    say_bulk_summary(screen, replace(outcome, first=first, is_retried=True), counts, files)
    if screen.is_beside_json and files is not None:
        print_json(outcome.record)
    return MISTAKE if counts.errored else OK


def _continuing_told(old: JobRecord, job_id: str, *, has_checkpoint: bool) -> str:
    told = [
        f"Job {job_id} continues job {old.job_id} from its last checkpoint."
        if has_checkpoint
        else f"Job {old.job_id} has no checkpoint; job {job_id} starts from the beginning."
    ]
    if old.state is JobState.FAILED and old.failure is not None:
        told.append(f"Job {old.job_id} had failed: {old.failure.message}")
    return "\n".join([*told, f"Watch it: seqd jobs watch {job_id}"])


def _had_ended_told(record: JobRecord) -> str:
    return f"Job {record.job_id} had ended before, as {record.state}; nothing was changed."


def _done(record: JobRecord) -> str:
    return f"{record.counts.done:,} of {record.counts.total:,} {things_of(record)}"

"""Leaves a job to run by itself once its input is complete: `--detach`."""

import typer

from seqd.cli.following import cancelling
from seqd.cli.rendering.screen import Screen
from seqd.cli.rendering.tables import print_json
from seqd.client import JobHandle
from seqd.client.handle import expiry_of
from seqd_schemas import JobRecord, JobState


def leave_running(handle: JobHandle, screen: Screen, *, as_json: bool) -> None:
    """Wait until the input is in the ledger, then print the job's id, or its record as JSON.

    Raises what reading the input raised, or JobFailed.
    """
    with cancelling(handle, screen):
        handle.close()
        record = handle.record()
        if record.state is JobState.FAILED:
            handle.wait()  # ended, so this only raises
    if as_json:
        print_json(record)
        return
    typer.echo(handle.job_id)
    if handle.durable and not record.state.is_terminal:
        screen.say("The server has it on its disk.")
    screen.say(_whereabouts(record))


def _whereabouts(record: JobRecord) -> str:
    """Say how the job is by now: an upload takes its time, and a small job none."""
    job_id = record.job_id
    if record.state is JobState.EXPIRED:
        return expiry_of(record)
    if record.state is JobState.PAUSED:
        return f"Job {job_id} is paused; it goes on with: seqd jobs resume {job_id}"
    if not record.state.is_terminal:
        return f"It runs by itself. Watch it: seqd jobs watch {job_id}"
    if record.kind == "train":
        return f"It is {record.state} already: seqd jobs show {job_id}"
    return f"It is {record.state} already. Its results: seqd jobs results {job_id}"

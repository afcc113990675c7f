"""Leaves a job to run by itself once its input is complete: `--detach`."""

import typer

from seqd.cli.following import cancelling
from seqd.cli.rendering.screen import Screen
from seqd.cli.rendering.tables import print_json
from seqd.client import JobHandle
from seqd_schemas import JobState


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
    if handle.durable:
        screen.say("The server has it on its disk.")
    screen.say(f"It runs by itself. Watch it: seqd jobs watch {handle.job_id}")

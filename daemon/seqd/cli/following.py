"""What a command does with its submitted job: follow it, cancel it at Ctrl-C, or detach from it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import typer

from seqd.cli.exits import INTERRUPTED
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_json
from seqd.client import Client, JobHandle
from seqd.client.job_steps import expiry_of, things_of
from seqd.client.requests import has_its_input
from seqd.errors import RedisUnreachable, SeqdError
from seqd.ledger.outage import waiting_at_most
from seqd.serving import waiting_of
from seqd_schemas import Event, JobRecord, JobState

#: Seconds for which Ctrl-C waits for a Redis that is away, to cancel the job.
_CANCEL_WAIT_S = 2.0

#: Seconds that the last events may take after the last result.
_LAST_EVENTS_S = 5.0


@contextmanager
def following(handle: JobHandle, show: Callable[[Event], None]) -> Iterator[None]:
    """Pass the job's events to `show`, from another thread, during a `with` block.

    A block that ends without an error waits for the terminal event, and raises what reading
    the events, or `show`, raised.
    """
    failures: list[Exception] = []

    def follow() -> None:
        try:
            for event in handle.events():
                show(event)
        except Exception as error:  # noqa: BLE001 (raised again by the thread that waits)
            failures.append(error)

    # A daemon thread: an interrupted command ends without it.
    thread = Thread(target=follow, name="seqd-events", daemon=True)
    thread.start()
    yield
    thread.join(_LAST_EVENTS_S)
    if failures:
        raise failures[0]


@contextmanager
def cancelling(handle: JobHandle, screen: Screen) -> Iterator[None]:
    """Cancel the job when this command cannot see it through; exit with 130 at Ctrl-C.

    Nobody would read its results: the output's pipe is closed, say, or its disk is full. A job goes
    on that a Redis which is away keeps from sight: JobOutOfReach says how to find it again.
    """
    try:
        yield
    except RedisUnreachable as error:
        raise handle.out_of_reach(error) from error
    except KeyboardInterrupt:
        _cancel_and_say(handle, screen)
        raise typer.Exit(INTERRUPTED) from None
    except Exception:
        with suppress(SeqdError):  # the first error is the one to report
            handle.cancel()
        raise


@contextmanager
def waiting_for(client: Client, handle: JobHandle, screen: Screen) -> Iterator[None]:
    """Wait for the job in a `with` block, as `cancelling` does.

    Says first why the job waits, if no worker that is up can run it.
    """
    with cancelling(handle, screen):
        waiting = waiting_of(handle.record(), client.workers())
        if waiting is not None:
            screen.say(f"Job {handle.job_id} waits. {waiting.message}", "yellow")
            handle.notice.has_told(waiting.message)
        yield


def say_if_paused(screen: Screen, record: JobRecord) -> None:
    """Say so when a job is paused that somebody is about to wait for."""
    if record.state is JobState.PAUSED:
        job_id = record.job_id
        screen.say(f"Job {job_id} is paused; it goes on with: seqd jobs resume {job_id}", "yellow")


def detach_from(handle: JobHandle, screen: Screen, *, as_json: bool) -> None:
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
    screen.say(_state_of_detached(record))


def _cancel_and_say(handle: JobHandle, screen: Screen) -> None:
    job_id = handle.job_id
    try:
        with waiting_at_most(_CANCEL_WAIT_S):
            state = handle.cancel()
    except SeqdError as error:
        screen.say(f"Job {job_id} may still run: {error}", "red")
        screen.say(f"Watch it: seqd jobs watch {job_id}. Cancel it: seqd jobs cancel {job_id}")
        return
    if state is not JobState.CANCELLED:
        screen.say(f"Job {handle.job_id} had already {state} by then.")
        return
    record = handle.record()
    counts = record.counts
    if record.kind == "train":
        go_on = f" Continue it: seqd jobs resume {handle.job_id}" if has_its_input(record) else ""
        screen.say(f"Cancelled job {handle.job_id}.{go_on}")
        return
    screen.say(
        f"Cancelled job {handle.job_id} with {counts.done:,} of {counts.total:,} "
        f"{things_of(record)} done."
    )
    if counts.done:
        screen.say(f"What was done: seqd jobs results {handle.job_id}")


def _state_of_detached(record: JobRecord) -> str:
    """Return how the job is by now: an upload takes its time, and a small job none."""
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

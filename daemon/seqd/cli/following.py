"""What a command does with its submitted job: follow it, cancel it at Ctrl-C, or detach from it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from threading import Thread, Timer
from typing import Any, TypeVar

import typer

from seqd.cli.exits import holding_interrupts, status_of_interrupt
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.stdout import print_json
from seqd.client import Client, JobHandle
from seqd.client.job import expiry_of, things_of
from seqd.client.requests import has_its_input
from seqd.errors import (
    IdempotencyConflict,
    JobOutOfReach,
    OutputExists,
    OutputUnwritable,
    RedisUnreachable,
    SeqdError,
)
from seqd.kinds import KINDS
from seqd.ledger.model_pauses import paused_waiting
from seqd.ledger.outage import waiting_at_most
from seqd.serving import waiting_of
from seqd.settings import load_settings
from seqd_schemas import Event, JobAction, JobRecord, JobState

AnyJob = TypeVar("AnyJob", bound=JobHandle[Any])

#: Seconds for which Ctrl-C waits for a Redis that is away, to cancel the job.
_CANCEL_WAIT_S = 2.0

#: Units from which on a job may last.
SEVERAL_UNITS = 2

#: Seconds after which any other job is none that is over in a moment.
_MOMENT_S = 5.0

#: Seconds for which an interrupted command goes on to send what it has of its input.
_UPLOAD_WAIT_S = 0.2

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


def handed_in_told(job_id: str) -> str:
    """Return where to see whether a job is there whose hand-in was interrupted."""
    return (
        f"Interrupted while job {job_id} was handed in. Whether it is there: seqd jobs show "
        f"{job_id}"
    )


@contextmanager
def handing_in(told: str) -> Iterator[None]:
    """Say what is `told` where Ctrl-C or SIGTERM comes in a `with` block, and exit."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        Screen(to_stderr=True).say(told)
        raise typer.Exit(status_of_interrupt(interrupt)) from None


@dataclass(frozen=True, slots=True)
class Interruption:
    """What a command does with its job when it is interrupted."""

    #: True where the job goes on.
    leaves: bool = False
    #: How to go on, as a sentence without its end; what there is of results where it is empty.
    way_on: str = ""
    #: Ends the reading of the input, which may wait for a pipe.
    close_input: Callable[[], None] = lambda: None
    #: True where the input is a pipe, of which more may come at any time.
    waits_for_pipe: Callable[[], bool] = lambda: False
    #: Lets interrupts come from here on, and raises one that was held back.
    obey: Callable[[], None] = lambda: None


@contextmanager
def cancelling(
    handle: JobHandle, screen: Screen, interruption: Interruption | None = None
) -> Iterator[None]:
    """End the job when this command cannot see it through; exit with 130 at Ctrl-C.

    Nobody would read its results. It is cancelled at Ctrl-C, and fails by any error, complete or
    not. A closed pipe behind the output is taken as Ctrl-C is, and exits with 141. A job goes on
    that an `interruption` leaves running, and one whose output cannot be written: its results are
    kept. So does one that a Redis which is away keeps from sight: JobOutOfReach says how to find it
    again.
    """
    interruption = interruption or Interruption()
    try:
        interruption.obey()
        yield
    except (JobOutOfReach, IdempotencyConflict):  # of another input: not this command's job
        raise
    except RedisUnreachable as error:
        raise handle.steps.out_of_reach(error) from error
    except (KeyboardInterrupt, BrokenPipeError) as interrupt:
        if isinstance(interrupt, BrokenPipeError):
            screen = Screen(to_stderr=True)
            screen.say("Nobody reads the output any more.")
        if interruption.leaves:
            _leave_and_say(handle, screen, interruption)
        else:
            try:
                # First, or the job fails, since its input breaks off.
                _cancel_and_say(handle, screen, interruption)
            finally:
                interruption.close_input()
        raise typer.Exit(status_of_interrupt(interrupt)) from None
    except (OutputUnwritable, OutputExists) as error:
        _let_go(handle, interruption)
        raise type(error)(f"{error}. {_kept(handle, interruption)}") from None
    except Exception as error:
        with suppress(SeqdError):  # the first error is the one to report
            handle.fail(error)
        raise


@contextmanager
def waiting_for(
    client: Client, handle: JobHandle, screen: Screen, interruption: Interruption | None = None
) -> Iterator[None]:
    """Wait for the job in a `with` block, as `cancelling` does.

    Says first why the job waits, if no worker that is up can run it; and with an `interruption`
    which job it is, and what an interruption does: of a job of several units first, of a small one
    on a terminal once it is not over in a moment.
    """
    with cancelling(handle, screen, interruption), ExitStack() as ends:
        record = handle.record()
        if interruption is not None and not record.state.is_terminal:
            says = partial(_say_what_ends_it, handle, screen, interruption)
            if record.units >= SEVERAL_UNITS or handle.is_uploading:
                says()
            elif screen.is_live:
                ends.callback(_later(says).cancel)
        waiting = waiting_of(record, client.workers())
        if waiting is not None:
            screen.say(f"Job {handle.job_id} waits. {waiting.message}", "yellow")
            handle.steps.notice.has_told(waiting)
        yield


@contextmanager
def handed_in(client: Client, send: Callable[[], AnyJob], screen: Screen) -> Iterator[AnyJob]:
    """Hand a job in by `send`, and wait for it in a `with` block as `waiting_for` does.

    Ctrl-C and SIGTERM while it is handed in are obeyed once it is there, and cancel it.
    """
    with holding_interrupts(lambda: False) as held:
        handle = send()
    with waiting_for(client, handle, screen):
        if held:
            raise held[0]
        yield handle


def say_if_paused(screen: Screen, record: JobRecord) -> None:
    """Say so when a job is paused that somebody is about to wait for."""
    if record.state.may(JobAction.RESUME):
        screen.say(_how_it_goes_on(record), "yellow")


def detach_from(client: Client, handle: JobHandle, screen: Screen) -> None:
    """Wait until the input is in the ledger, then print the job's id, or its record as JSON.

    Says why the job waits, if nobody can run it now. Raises what reading the input raised, or
    JobFailed.
    """
    with cancelling(handle, screen):
        handle.close()
        record = handle.record()
        if record.state is JobState.FAILED:
            handle.wait()  # ended, so this only raises
    if screen.is_beside_json:
        print_json(record)
        return
    typer.echo(handle.job_id)
    if handle.durable and not record.state.is_terminal:
        screen.say("The server has it on its disk.")
    pauses, workers = client.paused_models(), client.workers()
    waiting = paused_waiting(record, pauses) or waiting_of(record, workers)
    if waiting is not None:
        screen.say(f"Job {handle.job_id} waits. {waiting.message}", "yellow")
    screen.say(_state_of_detached(record, waits=waiting is not None))


def _how_it_goes_on(record: JobRecord) -> str:
    job_id = record.job_id
    return f"Job {job_id} is {record.state}; it goes on with: seqd jobs resume {job_id}"


def _later(says: Callable[[], None]) -> Timer:
    """Have something said by another thread after a moment, unless that is cancelled."""
    timer = Timer(_MOMENT_S, says)
    timer.daemon = True
    timer.start()
    return timer


def _say_what_ends_it(handle: JobHandle, screen: Screen, interruption: Interruption) -> None:
    """Say which job it is, and what Ctrl-C does before it comes."""
    does = "leaves it running" if interruption.leaves else "cancels it"
    other = "" if interruption.leaves else "; --detach-on-interrupt would leave it running"
    screen.say(f"Job {handle.job_id}. Ctrl-C {does}{other}.")


def _leave_and_say(handle: JobHandle, screen: Screen, interruption: Interruption) -> None:
    has_all = _let_go(handle, interruption)
    job_id = handle.job_id
    if not has_all:
        minutes = load_settings().abandoned_upload_s / 60
        screen.say(
            f"Job {job_id} waits for the rest of its input, for {minutes:g} minutes, and fails "
            f"without it. {interruption.way_on}."
        )
    else:
        screen.say(f"Job {job_id} goes on. {interruption.way_on}.")
    screen.say(f"Watch it: seqd jobs watch {job_id}. Cancel it: seqd jobs cancel {job_id}")


def _let_go(handle: JobHandle, interruption: Interruption) -> bool:
    """Leave the job as it is; return whether it has all of its input.

    What of it is at hand is sent first, for a moment.
    """
    if not handle.is_uploading:
        return True
    with suppress(SeqdError):
        handle.let_go(0.0 if interruption.waits_for_pipe() else _UPLOAD_WAIT_S)
    interruption.close_input()
    with suppress(SeqdError), waiting_at_most(_CANCEL_WAIT_S):
        handle.close()
        return handle.record().sealed
    return False


def _kept(handle: JobHandle, interruption: Interruption) -> str:
    job_id = handle.job_id
    return (
        f"Job {job_id} keeps its results. "
        + (f"{interruption.way_on}, or " if interruption.way_on else "")
        + f"elsewhere: seqd jobs results {job_id} --out FILE"
    )


def _cancel_and_say(handle: JobHandle, screen: Screen, interruption: Interruption) -> None:
    job_id = handle.job_id
    try:
        with waiting_at_most(_CANCEL_WAIT_S):
            state = handle.cancel()
    except SeqdError as error:
        screen.say(f"Job {job_id} may still run: {error}", "red")
        screen.say(f"Watch it: seqd jobs watch {job_id}. Cancel it: seqd jobs cancel {job_id}")
        return
    if state is not JobState.CANCELLED:
        way_on = f" {interruption.way_on}." if interruption.way_on else ""
        screen.say(f"Job {handle.job_id} had already {state} by then.{way_on}")
        return
    record = handle.record()
    counts = record.counts
    if not KINDS[record.kind].has_items:
        go_on = f" Continue it: seqd jobs resume {handle.job_id}" if has_its_input(record) else ""
        screen.say(f"Cancelled job {handle.job_id}.{go_on}")
        return
    screen.say(
        f"Cancelled job {handle.job_id} with {counts.done:,} of {counts.total:,} "
        f"{things_of(record)} done."
    )
    if counts.done:
        screen.say(f"What was done: seqd jobs results {handle.job_id}")
    if interruption.way_on.startswith("Go on") and record.sealed:
        screen.say(f"{interruption.way_on}.")
    elif interruption.way_on.startswith("Go on"):
        screen.say(
            "Not all of its input had been sent: the same command with --resume begins anew. With "
            "--detach-on-interrupt it would go on where it was."
        )


def _state_of_detached(record: JobRecord, *, waits: bool) -> str:
    """Return how the job is by now: an upload takes its time, and a small job none."""
    job_id = record.job_id
    if record.state is JobState.EXPIRED:
        return expiry_of(record)
    if record.state.may(JobAction.RESUME):
        return _how_it_goes_on(record)
    if not record.state.is_terminal:
        runs = "once that has changed" if waits else "by itself"
        return f"It runs {runs}. Watch it: seqd jobs watch {job_id}"
    if not KINDS[record.kind].has_items:
        return f"It is {record.state} already: seqd jobs show {job_id}"
    return f"It is {record.state} already. Its results: seqd jobs results {job_id}"

"""How a command hands its job in and waits for it, and what Ctrl-C and SIGTERM do to the job.

They are held back while the job is handed in, unless this thread reads its input, and obeyed once
it is there: by then it is known which job it is. It is cancelled, or goes on where that was asked
for. They are obeyed, too, where the job cannot be handed in: a Redis that is away is waited for no
longer then.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from threading import Timer
from typing import Any, NoReturn

import typer

from seqd.cli.bulk import Result
from seqd.cli.drafts import JobNote
from seqd.cli.exits import holding_interrupts, status_of_interrupt
from seqd.cli.sources import Feed
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.stdout import print_json
from seqd.client import Client, JobHandle
from seqd.client.job import expiry_of, things_of
from seqd.client.requests import has_its_input
from seqd.errors import (
    IdempotencyConflict,
    InvalidInput,
    JobOutOfReach,
    OutputExists,
    OutputUnwritable,
    RedisUnreachable,
    SeqdError,
)
from seqd.kinds import KINDS
from seqd.ledger.model_pauses import paused_waiting
from seqd.ledger.outage import waiting_at_most, waiting_unless
from seqd.ledger.submissions import new_job_id
from seqd.serving import waiting_of
from seqd.settings import load_settings
from seqd_schemas import JobAction, JobRecord, JobState, output_folder_of

#: Seconds for which Ctrl-C waits for a Redis that is away, to cancel the job.
_CANCEL_WAIT_S = 2.0

#: Units from which on a job may last.
SEVERAL_UNITS = 2

#: Seconds after which any other job is none that is over in a moment.
_MOMENT_S = 5.0

#: Seconds for which an interrupted command goes on to send what it has of its input.
_UPLOAD_WAIT_S = 0.2


@dataclass(frozen=True, slots=True)
class Begun:
    """A job that is handed in."""

    handle: JobHandle[Any]
    #: What is written in the place of the job's own results; None of a new job.
    results: Iterator[Result] | None = None
    #: What remembers the job until its output is whole; None where it goes to a stream.
    note: JobNote | None = None
    #: What the input is called of a job that goes on with `--resume`; empty of any other.
    resumed_with: str = ""

    @contextmanager
    def telling_another_input(self) -> Iterator[None]:
        """Raise InvalidInput where the input turns out to be another than that of before."""
        try:
            yield
        except IdempotencyConflict:
            if not self.resumed_with:
                raise
            job_id = self.handle.job_id
            raise InvalidInput(
                f"{self.resumed_with} is not the input that job {job_id} was made of. Put that "
                "back, or leave out --resume for a new job. What there is: seqd jobs results "
                f"{job_id}"
            ) from None

    def end(self) -> None:
        """Forget the job: its output is whole."""
        if self.note is not None:
            self.note.remove()


@dataclass(frozen=True, slots=True, kw_only=True)
class HandIn:
    """What a command hands in, and what becomes of it when the command is interrupted."""

    client: Client
    screen: Screen
    #: Hands the job in under an identifier.
    send: Callable[[str], JobHandle[Any]]
    #: The identifier that was asked for.
    job_id: str | None = None
    #: The items, read by this command; None of a job without.
    feed: Feed | None = None
    #: True where an interrupt leaves the job running.
    leaves: bool = False
    #: True where a folder of results names the job, for `--resume`.
    has_folder: bool = False
    #: What is said at an interrupt that is not held back; else where to look for the job.
    told: str = ""

    def sent(self, job_id: str, note: JobNote | None = None, *, is_noted: bool = True) -> Begun:
        """Hand the job in, noted first; say which it is at an interrupt that is not held back."""
        try:
            if note is not None and not is_noted:
                note.write(job_id)
            return Begun(self.send(job_id), note=note)
        except KeyboardInterrupt as interrupt:
            self._close_input()
            go_on = "" if note is None else ". Either way the same command with --resume goes on"
            told = self.told or (
                f"Interrupted while job {job_id} was handed in. Whether it is there: seqd jobs "
                f"show {job_id}"
            )
            Screen(to_stderr=True).say(f"{told}{go_on}")
            raise typer.Exit(status_of_interrupt(interrupt)) from None

    @contextmanager
    def begun(self, begin: "Callable[[HandIn], Begun] | None" = None) -> Iterator[Begun]:
        """Hand the job in, by `begin` where that is given, and end it with a `with` block.

        Nobody would read its results. It is cancelled at Ctrl-C, with exit status 130, and fails by
        any error, complete or not. A closed pipe behind the output is taken as Ctrl-C is, and exits
        with 141. A job goes on that an interrupt `leaves` running, and one whose output cannot be
        written: its results are kept. So does one that a Redis which is away keeps from sight:
        JobOutOfReach says how to find it again.
        """
        has_begun = False
        with holding_interrupts(lambda: has_begun or self._is_input_read_here()) as came:
            sending = replace(self, send=partial(_send_unless, came, self.send))
            with _obeying_where_it_fails(came), waiting_unless(lambda: bool(came)):
                begun = begin(sending) if begin else sending.sent(self.job_id or new_job_id())
            with begun.telling_another_input(), self._ending(begun, came):
                has_begun = True
                if came:
                    raise came[0]
                yield begun

    @contextmanager
    def waited_for(self, begin: "Callable[[HandIn], Begun] | None" = None) -> Iterator[Begun]:
        """Hand the job in, and wait for it in a `with` block, as `begun` does.

        Says first why the job waits, if no worker that is up can run it; and of one with an input
        which job it is, and what an interrupt does: where it has several units first, of a small
        one on a terminal once it is not over in a moment.
        """
        with self.begun(begin) as begun, ExitStack() as ends:
            handle, record = begun.handle, begun.handle.record()
            if self.feed is not None and not record.state.is_terminal:
                if record.units >= SEVERAL_UNITS or handle.is_uploading:
                    self._say_what_ends(handle)
                elif self.screen.is_live:
                    ends.callback(_later(partial(self._say_what_ends, handle)).cancel)
            waiting = waiting_of(record, self.client.workers())
            if waiting is not None:
                self.screen.say(f"Job {handle.job_id} waits. {waiting.message}", "yellow")
                handle.steps.notice.has_told(waiting)
            yield begun

    def detached(self) -> JobHandle[Any]:
        """Hand the job in with all of its input, then print its id, or its record as JSON.

        Says why the job waits, if nobody can run it now. Raises what reading the input raised, or
        JobFailed.
        """
        with self.begun() as begun:
            handle = begun.handle
            handle.close()
            record = handle.record()
            if record.state is JobState.FAILED:
                handle.wait()  # ended, so this only raises
        screen = self.screen
        if screen.is_beside_json:
            print_json(record)
            return handle
        typer.echo(handle.job_id)
        if handle.durable and not record.state.is_terminal:
            screen.say("The server has it on its disk.")
        pauses, workers = self.client.paused_models(), self.client.workers()
        waiting = paused_waiting(record, pauses) or waiting_of(record, workers)
        if waiting is not None:
            screen.say(f"Job {handle.job_id} waits. {waiting.message}", "yellow")
        screen.say(_state_of_detached(record, waits=waiting is not None))
        return handle

    @contextmanager
    def _ending(self, begun: Begun, came: list[KeyboardInterrupt]) -> Iterator[None]:
        handle = begun.handle
        try:
            yield
        except (JobOutOfReach, IdempotencyConflict):  # of another input: not this command's job
            raise
        except RedisUnreachable as error:
            raise handle.steps.out_of_reach(error) from error
        except (KeyboardInterrupt, BrokenPipeError) as interrupt:
            self._end_interrupted(begun, interrupt)
        except (OutputUnwritable, OutputExists) as error:
            self._let_go(handle)
            raise type(error)(f"{error}. {_kept(handle, self._way_on(begun))}") from None
        except Exception as error:
            if came:  # a library that is interrupted may raise an error of its own, as pydantic
                self._end_interrupted(begun, came[0])
            with suppress(SeqdError):  # the first error is the one to report
                handle.fail(error)
            raise

    def _end_interrupted(
        self, begun: Begun, interrupt: KeyboardInterrupt | BrokenPipeError
    ) -> NoReturn:
        screen = self.screen
        if isinstance(interrupt, BrokenPipeError):
            screen = Screen(to_stderr=True)
            screen.say("Nobody reads the output any more.")
        if self.leaves:
            self._leave_and_say(begun, screen)
        else:
            try:
                # First, or the job fails, since its input breaks off.
                _cancel_and_say(begun.handle, screen, self._way_on(begun))
            finally:
                self._close_input()
        raise typer.Exit(status_of_interrupt(interrupt)) from None

    def _is_input_read_here(self) -> bool:
        return self.feed is not None and self.feed.is_read_here

    def _close_input(self) -> None:
        if self.feed is not None:
            self.feed.close()

    def _way_on(self, begun: Begun) -> str:
        """Return how to go on, as a sentence without its end; empty of a job without an input."""
        if self.feed is None and not self.has_folder:
            return ""
        if begun.note is None and not self.has_folder:
            return f"Its results: seqd jobs results {begun.handle.job_id}"
        return "Go on: the same command with --resume"

    def _say_what_ends(self, handle: JobHandle[Any]) -> None:
        """Say which job it is, and what Ctrl-C does before it comes."""
        does = "leaves it running" if self.leaves else "cancels it"
        other = "" if self.leaves else "; --detach-on-interrupt would leave it running"
        self.screen.say(f"Job {handle.job_id}. Ctrl-C {does}{other}.")

    def _leave_and_say(self, begun: Begun, screen: Screen) -> None:
        has_all, job_id = self._let_go(begun.handle), begun.handle.job_id
        way_on = self._way_on(begun)
        if not has_all:
            minutes = load_settings().abandoned_upload_s / 60
            screen.say(
                f"Job {job_id} waits for the rest of its input, for {minutes:g} minutes, and fails "
                f"without it. {way_on}."
            )
        else:
            screen.say(f"Job {job_id} goes on. {way_on}.")
        screen.say(f"Watch it: seqd jobs watch {job_id}. Cancel it: seqd jobs cancel {job_id}")

    def _let_go(self, handle: JobHandle[Any]) -> bool:
        """Leave the job as it is; return whether it has all of its input.

        What of it is at hand is sent first, for a moment.
        """
        if not handle.is_uploading:
            return True
        is_live = self.feed is not None and self.feed.is_live()
        with suppress(SeqdError):
            handle.let_go(0.0 if is_live else _UPLOAD_WAIT_S)
        self._close_input()
        with suppress(SeqdError), waiting_at_most(_CANCEL_WAIT_S):
            handle.close()
            return handle.record().sealed
        return False


def _send_unless(
    came: list[KeyboardInterrupt], send: Callable[[str], JobHandle[Any]], job_id: str
) -> JobHandle[Any]:
    """Hand a job in; where that fails, raise the interrupt that is held back instead."""
    try:
        return send(job_id)
    except Exception:
        if came:
            raise came[0] from None
        raise


@contextmanager
def _obeying_where_it_fails(came: list[KeyboardInterrupt]) -> Iterator[None]:
    """Exit as the interrupt does that is held back, where what a `with` block begins fails."""
    try:
        yield
    except Exception:
        if came:
            raise typer.Exit(status_of_interrupt(came[0])) from None
        raise


def say_if_paused(screen: Screen, record: JobRecord) -> None:
    """Say so when a job is paused that somebody is about to wait for."""
    if record.state.may(JobAction.RESUME):
        screen.say(_how_it_goes_on(record), "yellow")


def _how_it_goes_on(record: JobRecord) -> str:
    job_id = record.job_id
    return f"Job {job_id} is {record.state}; it goes on with: seqd jobs resume {job_id}"


def _later(says: Callable[[], None]) -> Timer:
    """Have something said by another thread after a moment, unless that is cancelled."""
    timer = Timer(_MOMENT_S, says)
    timer.daemon = True
    timer.start()
    return timer


def _kept(handle: JobHandle[Any], way_on: str) -> str:
    job_id = handle.job_id
    return (
        f"Job {job_id} keeps its results. "
        + (f"{way_on}, or " if way_on else "")
        + f"elsewhere: seqd jobs results {job_id} --out FILE"
    )


def _cancel_and_say(handle: JobHandle[Any], screen: Screen, way_on: str) -> None:
    job_id = handle.job_id
    try:
        with waiting_at_most(_CANCEL_WAIT_S):
            state = handle.cancel()
    except SeqdError as error:
        screen.say(f"Job {job_id} may still run: {error}", "red")
        screen.say(f"Watch it: seqd jobs watch {job_id}. Cancel it: seqd jobs cancel {job_id}")
        return
    if state is not JobState.CANCELLED:
        screen.say(f"Job {handle.job_id} had already {state} by then.{way_on and f' {way_on}.'}")
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
    if way_on.startswith("Go on") and (record.sealed or output_folder_of(record.job)):
        screen.say(f"{way_on}.")
    elif way_on.startswith("Go on"):
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

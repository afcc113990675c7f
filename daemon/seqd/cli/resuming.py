"""`--resume`: goes on with the job of a command that stopped before its output was whole.

While a command writes `results.jsonl`, the file `.results.jsonl.job` beside it has the job's id.
The job keeps its results, so the output is written anew from the first of them, whatever was
written before: none comes twice and none is missing.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from seqd.cli.drafts import sync_folder, unwritable
from seqd.cli.exits import holding_interrupts
from seqd.cli.following import Interruption, handed_in_told, handing_in
from seqd.cli.ui.screen import Screen
from seqd.client import Client, JobHandle
from seqd.errors import (
    IdempotencyConflict,
    InvalidInput,
    InvalidRequest,
    JobCancelled,
    JobDamaged,
    JobExpired,
    JobFailed,
    JobOutOfReach,
    OutputUnwritable,
    UnknownJob,
    WrongState,
)
from seqd.ledger.submissions import new_job_id
from seqd_schemas import JobRecord, JobState

if TYPE_CHECKING:
    from seqd.cli.bulk import Result
    from seqd.cli.output_options import OutputOptions
    from seqd.cli.result_files import ResultFiles
    from seqd.cli.sources import Feed

#: Hands the job in under an identifier.
Send = Callable[[str], JobHandle]


@dataclass(frozen=True, slots=True)
class Begun:
    """A job whose results are to be written."""

    handle: JobHandle
    #: What is written in the place of the job's own results; None of a new job.
    results: "Iterator[Result] | None" = None
    #: What remembers the job until its output is whole; None where it goes to a stream.
    note: "JobNote | None" = None
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

    @property
    def way_on(self) -> str:
        """How to go on after an interruption, as a sentence without its end."""
        if self.note is None:
            return f"Its results: seqd jobs results {self.handle.job_id}"
        return "Go on: the same command with --resume"


class JobNote:
    """The file beside an output that names the job whose results go into it."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._path = out.with_name(f".{out.name}.job")

    def read(self) -> str | None:
        """Return the job's id; None without a file. Raises InvalidRequest for another file."""
        try:
            return str(json.loads(self._path.read_bytes())["job_id"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InvalidRequest(
                f"{str(self._path)!r} should name the job of an interrupted command, and cannot be "
                f"read ({error}). Remove it, and look for the job: seqd jobs list"
            ) from None

    def write(self, job_id: str) -> None:
        """Note a job, so that it outlives a power failure. Raises OutputUnwritable."""
        draft = self._path.with_name(f"{self._path.name}.part")
        try:
            with draft.open("w", encoding="utf-8") as file:
                json.dump({"job_id": job_id}, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise unwritable(self.out, error) from None
        sync_folder(self._path.parent)

    def remove(self) -> None:
        """Remove the file."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


@contextmanager
def begin(
    client: Client,
    wanted: "OutputOptions",
    files: "ResultFiles | None",
    feed: "Feed",
    send: Send,
    job_id: str | None,
) -> Iterator[tuple[Begun, Interruption]]:
    """Hand a job in, or with `--resume` go on with that of an earlier command.

    Its id is noted before it is sent. Ctrl-C and SIGTERM are held back, unless this thread waits
    for a pipe, until whoever follows the job obeys them (`cancelling`): it alone knows what becomes
    of the job. Raises what `send` does, InvalidRequest where there is no file beside which it could
    be noted, and InvalidInput for another input.
    """
    with ExitStack() as holding:
        held = holding.enter_context(holding_interrupts(lambda: feed.is_read_here))

        def obey() -> None:
            holding.close()
            if held:
                raise held[0]

        begun = _begun(client, wanted, files, feed, send, job_id)
        with begun.telling_another_input():
            yield (
                begun,
                Interruption(wanted.leaves, begun.way_on, feed.close, feed.is_live, obey),
            )


def _begun(
    client: Client,
    wanted: "OutputOptions",
    files: "ResultFiles | None",
    feed: "Feed",
    send: Send,
    job_id: str | None,
) -> Begun:
    new_id = job_id or new_job_id()
    if files is None or files.is_stream:
        if wanted.resume:
            raise InvalidRequest(
                "--resume needs a file, --out results.jsonl, beside which the job is noted. To a "
                "stream: send the same with --job-id ID or --idempotency-key KEY again"
            )
        return _sent(send, new_id, feed)
    note = JobNote(files.path)
    earlier = note.read()
    screen = Screen(to_stderr=True)
    if earlier is not None and wanted.resume:
        return _resumed(client, note, earlier, feed, send, screen)
    if earlier is not None:
        _say_what_is_left(client, earlier, screen)
    elif wanted.resume:
        screen.say(f"No job is noted beside {files.path}: this command begins anew.")
    return _anew(note, new_id, feed, send)


def _resumed(
    client: Client, note: JobNote, job_id: str, feed: "Feed", send: Send, screen: Screen
) -> Begun:
    first = client.job(job_id)
    try:
        record = first.record()
    except UnknownJob:
        screen.say(
            f"Job {job_id} was not handed in, or is not kept any more: it is handed in now.",
            "yellow",
        )
        return _sent(send, job_id, feed, note)
    if record.state is JobState.COMPLETED or not record.state.is_terminal:
        # The input is compared with that of the job; what it lacks is sent.
        begun = _resent(send, job_id, feed, note)
        screen.say(
            f"Job {job_id} is {record.state}: if this input is its own, its results are written "
            "from the first on."
        )
        return begun
    if not record.sealed:
        screen.say(_lacks_input(record), "yellow")
        return _anew(note, new_job_id(), feed, send)
    _compare(send, job_id, feed, note)
    return _rest(client, first, record, note, screen)


def _say_what_is_left(client: Client, job_id: str, screen: Screen) -> None:
    """Say what `--resume` would have done with an earlier command's job, where that is kept."""
    with suppress(UnknownJob, JobDamaged):
        record = client.job(job_id).record()
        if record.state.is_terminal and not record.sealed:
            screen.say(_lacks_input(record), "yellow")
            return
        screen.say(
            f"Job {job_id}, noted for this output, is {record.state}: with its input, --resume "
            "would have gone on with it.",
            "yellow",
        )


def _lacks_input(record: JobRecord) -> str:
    return (
        f"Job {record.job_id} is {record.state} and did not have all of its input: it begins anew."
    )


def _compare(send: Send, job_id: str, feed: "Feed", note: JobNote) -> None:
    """Raise InvalidInput where a job that has ended was asked for something else, or of another."""
    begun = _resent(send, job_id, feed, note)
    with begun.telling_another_input(), suppress(JobCancelled, JobExpired, JobFailed):
        begun.handle.wait()


def _resent(send: Send, job_id: str, feed: "Feed", note: JobNote) -> Begun:
    """Hand in what is to be resumed; raise InvalidInput where it asks for something else."""
    try:
        return replace(_sent(send, job_id, feed, note), resumed_with=feed.name)
    except IdempotencyConflict:
        raise InvalidInput(
            f"the input, the model or an option is another than in the command that is to be "
            f"resumed, whose job is {job_id}. Begin anew: the same command without --resume"
        ) from None


def _rest(
    client: Client, first: JobHandle, record: JobRecord, note: JobNote, screen: Screen
) -> Begun:
    """Have done what a job left undone that ended early with all of its input."""
    last = first
    while (later := last.continuation()) is not None:
        last = later
    record = last.record()
    if record.state.is_terminal and record.state is not JobState.COMPLETED:
        with suppress(WrongState):  # nothing is left that could be done
            last = client.retry(last.job_id)
    if last.job_id != first.job_id:
        screen.say(f"Job {last.job_id} does what job {first.job_id} has left undone.")
    return Begun(last, first.merged_results(), note)


def _anew(note: JobNote, job_id: str, feed: "Feed", send: Send) -> Begun:
    def note_and_send(job_id: str) -> JobHandle:
        note.write(job_id)
        return send(job_id)

    try:
        begun = _sent(note_and_send, job_id, feed, note)
    except (JobOutOfReach, OutputUnwritable, typer.Exit):
        raise  # it may be there, or could not be noted
    except Exception:
        note.remove()
        raise
    if begun.handle.job_id != job_id:  # an idempotency key stands for another
        note.write(begun.handle.job_id)
    return begun


def _sent(send: Send, job_id: str, feed: "Feed", note: JobNote | None = None) -> Begun:
    """Hand the job in; say which it is where an interrupt is not held back."""
    go_on = "" if note is None else ". Either way the same command with --resume goes on"
    with handing_in(f"{handed_in_told(job_id)}{go_on}"):
        try:
            return Begun(send(job_id), note=note)
        except KeyboardInterrupt:
            feed.close()
            raise

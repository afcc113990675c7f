"""`--resume`: goes on with the job of a command that stopped before its output was whole.

While a command writes `results.jsonl`, the file `.results.jsonl.job` beside it has the job's id.
The job keeps its results, so the output is written anew from the first of them, whatever was
written before: none comes twice and none is missing.
"""

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from seqd.cli.drafts import JobNote
from seqd.cli.handing_in import Begun, HandIn
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
    from seqd.cli.result_files import ResultFiles


def begin(hand_in: HandIn, files: "ResultFiles | None", *, resumes: bool) -> Begun:
    """Hand a job in, or with `--resume` go on with that of an earlier command.

    Its id is noted before it is sent. Raises what sending does, InvalidRequest where there is no
    file beside which it could be noted, and InvalidInput for another input.
    """
    new_id = hand_in.job_id or new_job_id()
    if files is None or files.is_stream:
        if resumes:
            raise InvalidRequest(
                "--resume needs a file, --out results.jsonl, beside which the job is noted. To a "
                "stream: send the same with --job-id ID or --idempotency-key KEY again"
            )
        return hand_in.sent(new_id)
    note = JobNote(files.path)
    earlier = note.read()
    screen = Screen(to_stderr=True)
    if earlier is not None and resumes:
        return _resumed(hand_in, note, earlier, screen)
    if earlier is not None:
        _say_what_is_left(hand_in.client, earlier, screen)
    elif resumes:
        screen.say(f"No job is noted beside {files.path}: this command begins anew.")
    return _anew(hand_in, note, new_id)


def _resumed(hand_in: HandIn, note: JobNote, job_id: str, screen: Screen) -> Begun:
    first = hand_in.client.job(job_id)
    try:
        record = first.record()
    except UnknownJob:
        screen.say(
            f"Job {job_id} was not handed in, or is not kept any more: it is handed in now.",
            "yellow",
        )
        return hand_in.sent(job_id, note)
    if record.state is JobState.COMPLETED or not record.state.is_terminal:
        # The input is compared with that of the job; what it lacks is sent.
        begun = _resent(hand_in, note, job_id)
        screen.say(
            f"Job {job_id} is {record.state}: if this input is its own, its results are written "
            "from the first on."
        )
        return begun
    if not record.sealed:
        screen.say(_lacks_input(record), "yellow")
        return _anew(hand_in, note, new_job_id())
    _compare(hand_in, note, job_id)
    return _rest(hand_in.client, first, record, note, screen)


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


def _compare(hand_in: HandIn, note: JobNote, job_id: str) -> None:
    """Raise InvalidInput where a job that has ended was asked for something else, or of another."""
    begun = _resent(hand_in, note, job_id)
    with begun.telling_another_input(), suppress(JobCancelled, JobExpired, JobFailed):
        begun.handle.wait()


def _resent(hand_in: HandIn, note: JobNote, job_id: str) -> Begun:
    """Hand in what is to be resumed; raise InvalidInput where it asks for something else."""
    try:
        assert hand_in.feed is not None, "what is resumed has an input"
        return replace(hand_in.sent(job_id, note), resumed_with=hand_in.feed.name)
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


def _anew(hand_in: HandIn, note: JobNote, job_id: str) -> Begun:
    try:
        begun = hand_in.sent(job_id, note, is_noted=False)
    except (JobOutOfReach, OutputUnwritable, typer.Exit):
        raise  # it may be there, or could not be noted
    except Exception:
        note.remove()
        raise
    if begun.handle.job_id != job_id:  # an idempotency key stands for another
        note.write(begun.handle.job_id)
    return begun

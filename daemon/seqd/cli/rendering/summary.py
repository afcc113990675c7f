"""What is said when a job has ended: counts, pace, accuracy, the first errors, what to do next."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from seqd.cli.rendering.bulk_view import seconds_of, title_of
from seqd.cli.rendering.numbers import count, counted, duration, metric, rate
from seqd.cli.rendering.screen import Screen
from seqd.cli.tally import Tally
from seqd.client.handle import expiry_of
from seqd_schemas import JobRecord, JobState, Task, TrainingResult

if TYPE_CHECKING:
    from seqd.cli.result_files import ResultFiles

_DONE = {"classify": "classified", "generate": "continued", "train": "trained", "sweep": "trained"}

#: Seconds below which a job's pace says nothing.
_PACE_FROM_S = 0.2

#: The command that puts a newly trained model to use.
_NEXT: dict[str, str] = {
    "classify": 'seqd classify --text "..." --model {ref}',
    "generate": 'seqd generate {ref} "..."',
}


@dataclass(frozen=True, slots=True)
class Course:
    """How a bulk job went, to the end of its results."""

    record: JobRecord
    #: True when it stood still for a while, so that it has no pace as a whole.
    was_paused: bool = False


def say_bulk_summary(
    screen: Screen, course: Course, tally: Tally, files: "ResultFiles | None"
) -> None:
    """Say what a bulk job came to, and how to do the rest of it."""
    say_headline(screen, course, tally)
    _say_accuracy(screen, tally)
    _say_files(screen, tally, files)
    if tally.errored:
        _say_errors(screen, tally, files, of=course.record.job_id)
        _say_rest(screen, course.record, tally)


def say_merged_summary(
    screen: Screen, first: JobRecord, last: JobRecord, tally: Tally, files: "ResultFiles | None"
) -> None:
    """Say what a job and its retries came to together, which is what `tally` is of.

    There is no pace: of the time between the jobs nobody knows what it was.
    """
    line = f"{count(tally.succeeded)} {_DONE[first.kind]} by {title_of(first)} (with its retries)"
    screen.say(line + _shares(tally))
    _say_files(screen, tally, files)
    if tally.errored:
        _say_errors(screen, tally, files, of=f"{first.job_id} --merged")
        _say_rest(screen, last, tally)


def say_retry_summary(
    screen: Screen, retry: JobRecord, first: JobRecord, tally: Tally, files: "ResultFiles | None"
) -> None:
    """Say what a retry came to; `tally` is of the whole, which begins with job `first`."""
    counts = retry.counts
    have = "has" if counts.total == 1 else "have"
    screen.say(
        f"{count(counts.succeeded)} of {counted(counts.total, 'retried item')} {have} a result now."
    )
    _say_files(screen, tally, files)
    if tally.errored:
        _say_errors(screen, tally, files, of=f"{first.job_id} --merged")
        _say_rest(screen, retry, tally)


def say_what_was_not_sent(screen: Screen, ended: JobRecord, retry: JobRecord) -> None:
    """Say how many failed items of the ended job its retry leaves out, once it is complete."""
    left_out = ended.counts.total - ended.counts.succeeded - retry.counts.total
    if left_out > 0 and retry.sealed:
        was, has = ("was", "it has") if left_out == 1 else ("were", "they have")
        screen.say(
            f"{counted(left_out, 'failed item')} {was} not sent again: {has} no text that could be "
            "read.",
            "yellow",
        )


def say_headline(screen: Screen, course: Course, tally: Tally | None = None) -> None:
    """Say how many items were done, by which version, how fast, and with what labels."""
    record = course.record
    line = f"{count(record.counts.succeeded)} {_DONE[record.kind]} by {title_of(record)}"
    seconds = seconds_of(record)
    if seconds is not None and seconds >= _PACE_FROM_S:
        pace = f"{rate(record.counts.done / seconds)} a second"
        line += f" in {duration(seconds)}, {'its pauses included' if course.was_paused else pace}"
    screen.say(line + ("" if tally is None else _shares(tally)))


def say_training_summary(screen: Screen, result: TrainingResult, tasks: frozenset[Task]) -> None:
    """Say which version a training made, how good it is, and what to try with it."""
    ref = f"{result.model}@{result.version}"
    screen.say(f"{ref} is in the model store, after {duration(result.seconds)}.", "bold green")
    figures = [
        f"{name.replace('_', ' ')} {metric(value)}" for name, value in result.metrics.items()
    ]
    if figures:
        screen.say("  " + ", ".join(figures))
    for task, command in _NEXT.items():
        if task in tasks:
            screen.say(f"Try it: {command.format(ref=ref)}")


def _say_accuracy(screen: Screen, tally: Tally) -> None:
    if tally.accuracy is not None:
        screen.say(
            f"Accuracy {tally.accuracy:.2%} on {counted(tally.labelled, 'labelled item')}", "bold"
        )
    elif tally.labels_differ:
        screen.say(
            f"No accuracy: the input's labels are {', '.join(tally.true_labels[:8])}; the model "
            f"gave {', '.join(sorted(tally.predicted)[:8])}"
        )


def _shares(tally: Tally) -> str:
    shares = [f"{count(number)} {label}" for label, number in sorted(tally.predicted.items())]
    return f": {', '.join(shares)}" if shares else ""


def _say_files(screen: Screen, tally: Tally, files: "ResultFiles | None") -> None:
    if files is not None and tally.succeeded:
        screen.say(f"{files.path}: {counted(tally.succeeded, 'result')}, in input order")


def _say_errors(screen: Screen, tally: Tally, files: "ResultFiles | None", *, of: str) -> None:
    """Show the first errors, and where all are: `of` is what `jobs results` is to be given."""
    total = counted(tally.succeeded + tally.errored, "item")
    have = "has" if tally.errored == 1 else "have"
    more = ", the first ones" if tally.errored > len(tally.first_errors) else ""
    screen.say(f"{count(tally.errored)} of {total} {have} no result{more}:", "red")
    for failure in tally.first_errors:
        screen.say(f"  {failure.custom_id}  {failure.error.code}: {failure.error.message}")
    if files is not None:
        screen.say(f"{files.errors_path}: {counted(tally.errored, 'error')}, in input order")
    elif tally.errored > len(tally.first_errors):
        screen.say(f"All of them: seqd jobs results {of} --out results.jsonl")


def _say_rest(screen: Screen, record: JobRecord, tally: Tally) -> None:
    """Say how to do what an ended job left undone, where doing it again may help."""
    if record.state is JobState.EXPIRED:
        screen.say(expiry_of(record), "red")
    elif record.sealed and record.continued_by is None and tally.worth_a_retry:
        screen.say(f"Once more: seqd jobs retry {record.job_id}")

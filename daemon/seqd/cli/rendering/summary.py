"""What is said when a job has ended: counts, pace, accuracy, the first errors, what to do next."""

from seqd.cli.rendering.bulk_view import seconds_of, title_of
from seqd.cli.rendering.numbers import count, counted, duration, metric, rate
from seqd.cli.rendering.screen import Screen
from seqd.cli.result_files import ResultFiles
from seqd.cli.tally import Tally
from seqd_schemas import JobRecord, Task, TrainingResult

_DONE = {"classify": "classified", "generate": "continued", "train": "trained"}

#: Seconds below which a job's pace says nothing.
_PACE_FROM_S = 0.2

#: The command that puts a newly trained model to use.
_NEXT: dict[str, str] = {
    "classify": 'seqd classify --text "..." --model {ref}',
    "generate": 'seqd generate {ref} "..."',
}


def say_bulk_summary(
    screen: Screen, record: JobRecord, tally: Tally, files: ResultFiles | None
) -> None:
    """Say what a bulk job came to."""
    say_headline(screen, record, tally)
    _say_accuracy(screen, tally)
    if files is not None and tally.succeeded:
        screen.say(f"{files.path}: {counted(tally.succeeded, 'result')}, in input order")
    if tally.errored:
        _say_errors(screen, record, tally, files)


def say_retry_summary(
    screen: Screen, record: JobRecord, tally: Tally, files: ResultFiles | None
) -> None:
    """Say what a retry came to, `tally` being of the whole of both jobs' results."""
    counts = record.counts
    have = "has" if counts.total == 1 else "have"
    screen.say(
        f"{count(counts.succeeded)} of {counted(counts.total, 'retried item')} {have} a result now."
    )
    if files is not None and tally.succeeded:
        screen.say(f"{files.path}: {counted(tally.succeeded, 'result')}, in input order")
    if tally.errored:
        _say_errors(screen, record, tally, files)


def say_headline(screen: Screen, record: JobRecord, tally: Tally | None = None) -> None:
    """Say how many items were done, by which version, how fast, and with what labels."""
    line = f"{count(record.counts.succeeded)} {_DONE[record.kind]} by {title_of(record)}"
    seconds = seconds_of(record)
    if seconds is not None and seconds >= _PACE_FROM_S:
        line += f" in {duration(seconds)}, {rate(record.counts.done / seconds)} a second"
    if tally is not None and tally.predicted:
        shares = [f"{count(number)} {label}" for label, number in sorted(tally.predicted.items())]
        line += f": {', '.join(shares)}"
    screen.say(line)


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


def _say_errors(screen: Screen, record: JobRecord, tally: Tally, files: ResultFiles | None) -> None:
    total = counted(tally.succeeded + tally.errored, "item")
    have = "has" if tally.errored == 1 else "have"
    more = ", the first ones" if tally.errored > len(tally.first_errors) else ""
    screen.say(f"{count(tally.errored)} of {total} {have} no result{more}:", "red")
    for failure in tally.first_errors:
        screen.say(f"  {failure.custom_id}  {failure.error.code}: {failure.error.message}")
    if files is not None:
        screen.say(f"{files.errors_path}: {counted(tally.errored, 'error')}, in input order")
    elif tally.errored > len(tally.first_errors):
        screen.say(f"All of them: seqd jobs results {record.job_id} --out results.jsonl")

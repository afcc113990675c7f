"""The summary of an ended job: the counts of its results, and the sentences that report them."""

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seqd.cli.label_map import suggested_options
from seqd.cli.ui.screen import Screen
from seqd.client.job import expiry_of
from seqd.kinds import CLASSIFY, GENERATE, KINDS, TRAIN
from seqd.views.jobs import OF_THE_TEXT, model_of, seconds_of
from seqd.views.numbers import count, counted, duration, metric, rate
from seqd_schemas import (
    CatalogEntry,
    Classification,
    ClassifyJob,
    ItemFailure,
    ItemSuccess,
    JobRecord,
    JobState,
    ModelReference,
    TrainingResult,
    engine_of,
)

if TYPE_CHECKING:
    from seqd.cli.result_files import ResultFiles

#: Errors that are shown; all of them are in the errors file.
SHOWN_ERRORS = 3

#: Labels that are shown, the most frequent ones; a model may have thousands.
_SHOWN_LABELS = 10


#: Seconds below which a job's rate says nothing, and items a second that would read as 0.0.
_RATE_FROM_S = 0.2
_LEAST_RATE = 0.05

#: The command that puts a newly trained model to use, by task; of a plugin's own, `_RUN`.
_NEXT: dict[str, str] = {
    CLASSIFY: 'seqd classify --text "..." --model {ref}',
    GENERATE: 'seqd generate {ref} "..."',
}
_RUN = {"text": 'seqd run {ref} {task} --text "..."', "record": "seqd run {ref} {task} FILE"}


class ResultCounts:
    """Counts results in input order, and compares each with its true label.

    Each result removes a label at the front of `truth`, which may grow meanwhile, ahead of the
    results.
    """

    def __init__(self, truth: deque[str | None] | None = None) -> None:
        self.succeeded = 0
        self.errored = 0
        #: Of those with a result, the ones whose score is below the job's `min_score`.
        self.uncertain = 0
        #: True once an item has an error that another try may mend: the text is not the reason.
        self.worth_a_retry = False
        self.first_errors: list[ItemFailure] = []
        self.predicted: Counter[str] = Counter()
        #: Results by the version that they name, None of those that name none: the job's.
        self.versions: Counter[int | None] = Counter()
        self._truth = truth if truth is not None else deque[str | None]()
        self._true_labels: Counter[str] = Counter()
        self._right = 0

    def add(self, result: ItemSuccess | ItemFailure) -> None:
        """Count the next result."""
        truth = self._truth.popleft() if self._truth else None
        if isinstance(result, ItemFailure):
            self.errored += 1
            self.worth_a_retry |= result.error.code not in OF_THE_TEXT
            if len(self.first_errors) < SHOWN_ERRORS:
                self.first_errors.append(result)
            return
        self.succeeded += 1
        self.versions[result.version] += 1
        if isinstance(result.output, Classification):
            self._compare(truth, result.output)

    @property
    def labelled(self) -> int:
        """Classified items whose true label is known."""
        return self._true_labels.total()

    @property
    def accuracy(self) -> float | None:
        """Share of the labelled items that got their true label; None without any.

        None also when the two sets of labels have nothing in common: `labels_differ` then.
        """
        if not self.labelled or self.labels_differ:
            return None
        return self._right / self.labelled

    @property
    def labels_differ(self) -> bool:
        """True when the model names its classes otherwise than the input does."""
        return bool(self.labelled) and not set(self._true_labels) & set(self.predicted)

    @property
    def true_labels(self) -> list[str]:
        """The labels of the input, sorted."""
        return sorted(self._true_labels)

    def _compare(self, truth: str | None, output: Classification) -> None:
        self.predicted[output.label] += 1
        self.uncertain += output.uncertain
        if truth is not None:
            self._true_labels[truth] += 1
            self._right += truth == output.label


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """How a bulk job ended."""

    record: JobRecord
    #: True when it was paused for a while, so that it has no rate as a whole.
    was_paused: bool = False
    #: True where it did what an earlier job had left undone, and the results are of both.
    is_rest: bool = False
    #: The job whose last retry it is, where the results are those of all of them.
    first: JobRecord | None = None
    #: True where this command has handed that retry in.
    is_retried: bool = False


def say_bulk_summary(
    screen: Screen, outcome: BulkOutcome, counts: ResultCounts, files: "ResultFiles | None"
) -> None:
    """Say what a bulk job came to, and how to do the rest of it; with `first` of the whole.

    Of a whole without a rate: the time between the jobs is nobody's.
    """
    record, first = outcome.record, outcome.first
    if first is None:
        say_headline(screen, outcome, counts)
        if len(record.plugin_versions) > 1:
            screen.say(
                f"Several versions of the plugin computed it: {', '.join(record.plugin_versions)}",
                "yellow",
            )
    elif outcome.is_retried:
        have = "has" if record.counts.total == 1 else "have"
        retried = counted(record.counts.total, "retried item")
        screen.say(f"{count(record.counts.succeeded)} of {retried} {have} a result now.")
    else:
        line = f"{count(counts.succeeded)} {KINDS[first.kind].done} by {_done_by(first, counts)}"
        screen.say(f"{line} (with its retries){_shares(counts)}")
    if not outcome.is_retried:
        _say_uncertain(screen, first or record, counts)
    _say_accuracy(screen, counts)
    if files is not None and not files.is_stream and counts.succeeded:
        screen.say(f"{files.path}: {counted(counts.succeeded, 'result')}, in input order")
    if counts.errored:
        of = record.job_id if first is None else f"{first.job_id} --merged"
        _say_errors(screen, counts, files, of=of)
        _say_how_to_retry(screen, record, counts)


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


def say_headline(screen: Screen, outcome: BulkOutcome, counts: ResultCounts | None = None) -> None:
    """Say how many items were done, by which version, how fast, and with what labels."""
    record = outcome.record
    by = _done_by(record, counts)
    number = done = record.counts.succeeded
    if outcome.is_rest and counts is not None:
        number = counts.succeeded
    line = f"{count(number)} {KINDS[record.kind].done} by {by}"
    seconds = seconds_of(record)
    if seconds is not None and seconds >= _RATE_FROM_S:
        line += f", {count(done)} of them" if number != done else ""
        line += f" in {duration(seconds)}"
        if outcome.was_paused:
            line += ", its pauses included"
        elif done / seconds >= _LEAST_RATE:
            line += f", {rate(done / seconds)} a second"
    screen.say(line + ("" if counts is None else _shares(counts)))


def _done_by(record: JobRecord, counts: ResultCounts | None) -> str:
    """Return the version that computed a job's results; of a canary each, with how many."""
    if counts is None and record.rollout is not None and record.rollout.kind == "canary":
        return f"{model_of(record)} and its canary {record.model}@{record.rollout.version}"
    done = Counter[int | None]()
    for version, number in () if counts is None else counts.versions.items():
        done[record.version if version is None else version] += number
    if len(done) < 2:
        return model_of(record)
    told = (f"{record.model}@{version} ({count(n)})" for version, n in done.most_common())
    return " and ".join(told)


def say_training_summary(
    screen: Screen, result: TrainingResult, entry: CatalogEntry | None, says_what_next: bool = True
) -> None:
    """Say which version a training made, how good it is, and what to do with it.

    `entry` is what the catalog has of the model.
    """
    ref = ModelReference(result.model, result.version)
    in_service = None if entry is None else entry.labels.get("production")
    where = "in service" if in_service == result.version else "trained and not in service"
    screen.say(f"{ref} is {where}, after {duration(result.seconds)}.", "bold green")
    figures = [
        f"{name.replace('_', ' ')} {metric(value)}" for name, value in result.metrics.items()
    ]
    if figures:
        screen.say("  " + ", ".join(figures))
    if in_service is not None and in_service != result.version:
        bare = ModelReference(result.model, in_service)
        screen.say(f"{result.model} means {bare}. To change that: seqd models promote {ref}")
    tasks = {} if entry is None or not says_what_next else entry.all_tasks
    for task, schema in tasks.items():
        if task != TRAIN:
            command = _NEXT.get(task, _RUN["text" if schema.input is None else "record"])
            screen.say(f"Try it: {command.format(ref=ref, task=task)}")


def _say_uncertain(screen: Screen, record: JobRecord, counts: ResultCounts) -> None:
    """Say how many results are uncertain, where the job has a least score."""
    least = record.job.min_score if isinstance(record.job, ClassifyJob) else None
    if least is not None:
        screen.say(
            f"Uncertain, with a score below {least:g}: {count(counts.uncertain)} of "
            f"{counted(counts.succeeded, 'result')}"
        )


def _say_accuracy(screen: Screen, counts: ResultCounts) -> None:
    if counts.accuracy is not None:
        screen.say(
            f"Accuracy {counts.accuracy:.2%} on {counted(counts.labelled, 'labelled item')}", "bold"
        )
    elif counts.labels_differ:
        pairs = suggested_options(counts.predicted, counts.true_labels)
        advice = f". To call them so: {pairs}" if pairs else ""
        screen.say(
            f"No accuracy: the input's labels are {', '.join(counts.true_labels[:8])}; the model "
            f"gave {', '.join(sorted(counts.predicted)[:8])}{advice}"
        )


def _shares(counts: ResultCounts) -> str:
    most = sorted(counts.predicted.most_common(_SHOWN_LABELS))
    shares = ", ".join(f"{count(number)} {label}" for label, number in most)
    more = len(counts.predicted) - len(most)
    if more:
        shares += f" and {counted(more, 'more label')}"
    return f": {shares}" if shares else ""


def _say_errors(
    screen: Screen, counts: ResultCounts, files: "ResultFiles | None", *, of: str
) -> None:
    """Show the first errors, and where all are: `of` is what `jobs results` is to be given."""
    total = counted(counts.succeeded + counts.errored, "item")
    have = "has" if counts.errored == 1 else "have"
    more = ", the first ones" if counts.errored > len(counts.first_errors) else ""
    screen.say(f"{count(counts.errored)} of {total} {have} no result{more}:", "red")
    for failure in counts.first_errors:
        screen.say(f"  {failure.custom_id}  {failure.error.code}: {failure.error.message}")
    if files is not None and files.errors_path is not None:
        screen.say(f"{files.errors_path}: {counted(counts.errored, 'error')}, in input order")
    elif counts.errored > len(counts.first_errors):
        screen.say(f"All of them: seqd jobs results {of} --out results.jsonl")


def _say_how_to_retry(screen: Screen, record: JobRecord, counts: ResultCounts) -> None:
    """Say how to do what an ended job left undone, where doing it again may help."""
    if record.state is JobState.EXPIRED:
        screen.say(expiry_of(record), "red")
    elif (
        record.sealed
        and record.continued_by is None
        and counts.worth_a_retry
        and not engine_of(record.job)
    ):
        screen.say(f"Once more: seqd jobs retry {record.job_id}")

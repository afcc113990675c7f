"""An evaluation as people see it: figures with intervals, classes, confusions, examples."""

from collections.abc import Sequence
from typing import Final

from seqd.cli.label_map import named_labels, suggested_options
from seqd.cli.ui.charts import reliability_chart
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import cut, print_facts, print_rows, print_table, values_line
from seqd.escaping import one_line
from seqd.kinds import CLASSIFY, kind_of_task
from seqd.views.columns import Column
from seqd.views.numbers import count, counted, metric
from seqd_schemas import (
    Classification,
    EvaluatedClass,
    EvaluatedExample,
    EvaluatedMetric,
    Generation,
    VersionEvaluation,
    WrittenSample,
)

#: Classes whose whole confusion matrix fits on a screen.
_MATRIX_CLASSES: Final = 8

#: Confusions that are listed of a larger matrix, the most frequent.
_LISTED_CONFUSIONS: Final = 10

#: Characters of an example's label that are shown, and the least of its text.
_LABEL_CHARS: Final = 20
_LEAST_TEXT_CHARS: Final = 20

#: Figures that are shares, and shown as such.
_SHARES: Final = frozenset(
    {
        "accuracy",
        "calibration_error",
        "exact_match",
        "kept_accuracy",
        "kept_share",
        "neighbour_accuracy",
    }
)

#: Figures as people call them, where their names are not what to show.
_SPOKEN: Final = {
    "f1_macro": "macro F1",
    "brier_score": "Brier score",
    "f1_micro": "micro F1",
    "precision_micro": "micro precision",
    "recall_micro": "micro recall",
    "overlap_f1": "F1 of characters",
    "pearson": "Pearson's r",
    "spearman": "Spearman's rho",
    "chrf": "chrF",
    "neighbour_accuracy": "nearest neighbour is of the class",
}


def print_evaluation(
    screen: Screen, evaluation: VersionEvaluation, *, model: str = "", made: str = ""
) -> None:
    """Print an evaluation; `model` is the version's name, `made` when and by whom."""
    _say_unknown_labels(screen, evaluation)
    kind = kind_of_task(evaluation.task)
    is_classified = kind.output is Classification
    what = "character" if kind.output is Generation else "labelled item"
    facts = {
        "model": model,
        "task": evaluation.task if evaluation.output else "",
        "data": f"{one_line(evaluation.data.description)}, {counted(evaluation.items, what)}",
        "made": made,
        "parameters": values_line(evaluation.parameters),
    }
    figures = {spoken(name): _figure(name, one) for name, one in evaluation.metrics.items()}
    if evaluation.min_score is not None:
        figures["min score"] = f"{evaluation.min_score:g}"
    if is_classified and "log_loss" not in evaluation.metrics:
        figures["log loss"] = "not known: the model gives no probability of the true class"
    print_facts(screen, facts | figures)
    if evaluation.sample is not None:
        _print_sample(screen, evaluation.sample)
    if evaluation.classes or is_classified:
        _print_classes(screen, evaluation)
    if is_classified:
        _print_confusions(screen, evaluation)
        _print_calibration(screen, evaluation)
        _print_examples(screen, evaluation.right, "Right with the highest score")
        _print_examples(screen, evaluation.wrong, "Wrong with the highest score")
    _say_what_was_left_out(screen, evaluation)


def _say_unknown_labels(screen: Screen, evaluation: VersionEvaluation) -> None:
    """Say first which items cannot be right, as the figures are of them, too."""
    if not evaluation.unknown_labels:
        return
    names = [one.label for one in evaluation.classes if not one.is_known]
    # Of classes that the data has not: it would not call one of them by two names.
    unused = [one.label for one in evaluation.classes if one.is_known and not one.items]
    pairs = suggested_options(names, unused)
    advice = f" To map them: {pairs}" if pairs else ""
    screen.say(
        f"{counted(evaluation.unknown_labels, 'item')} of classes that the model does not know "
        f"({named_labels(names)}) counted as wrong, and not in the log loss.{advice}",
        "yellow",
    )
    screen.say()


def spoken(name: str) -> str:
    """Return what people call a figure."""
    return _SPOKEN.get(name, name.replace("_", " "))


def figure_with_interval(name: str, figure: EvaluatedMetric) -> str:
    """Return a figure in a few characters, such as `91.20% (89.11-92.90)`."""
    if figure.low is None or figure.high is None:
        return _number(name, figure.value)
    ends = (_number(name, end).removesuffix("%") for end in (figure.low, figure.high))
    return f"{_number(name, figure.value)} ({'-'.join(ends)})"


def _figure(name: str, figure: EvaluatedMetric) -> str:
    if figure.low is None or figure.high is None:
        return _number(name, figure.value)
    low, high = _number(name, figure.low), _number(name, figure.high)
    return f"{_number(name, figure.value)}  (95%: {low} to {high})"


def _number(name: str, value: float) -> str:
    return f"{value:.2%}" if name in _SHARES else metric(value)


def _print_sample(screen: Screen, sample: WrittenSample) -> None:
    screen.say()
    print_facts(
        screen,
        {"it continues": one_line(sample.prompt), "with": one_line(sample.text)},
    )


def _print_classes(screen: Screen, evaluation: VersionEvaluation) -> None:
    columns: tuple[Column[EvaluatedClass], ...] = (
        Column("class", lambda one: one_line(one.label)),
        Column("items", lambda one: one.items),
        Column("predicted", lambda one: one.predicted),
        Column("precision", lambda one: _share(one.precision)),
        Column("recall", lambda one: _share(one.recall)),
        Column("f1", lambda one: _share(one.f1)),
    )
    screen.say()
    print_table(screen, columns, evaluation.classes)


def _print_confusions(screen: Screen, evaluation: VersionEvaluation) -> None:
    screen.say()
    if len(evaluation.classes) <= _MATRIX_CLASSES:
        _print_matrix(screen, evaluation)
        return
    wrong = [one for one in evaluation.confusion if one.truth != one.predicted]
    rows = [(one.truth, one.predicted, one.items) for one in wrong[:_LISTED_CONFUSIONS]]
    print_rows(screen, ("truth", "taken for", "items"), rows, title="Most frequent mistakes")


def _print_matrix(screen: Screen, evaluation: VersionEvaluation) -> None:
    labels = [one.label for one in evaluation.classes]
    items = {(one.truth, one.predicted): one.items for one in evaluation.confusion}
    rows = [(truth, *(items.get((truth, given), 0) for given in labels)) for truth in labels]
    print_rows(screen, ("truth \\ predicted", *map(one_line, labels)), rows)


def _print_calibration(screen: Screen, evaluation: VersionEvaluation) -> None:
    """Print the reliability plot, and a row for each bin with what is kept from its score on."""
    bins = evaluation.calibration
    chart = reliability_chart(bins, screen.console.width)
    if chart:
        screen.say()
        screen.block(chart)
    screen.say()
    total = sum(part.items for part in bins)
    rows, kept, right = [], 0, 0.0
    for part in reversed(bins):
        kept, right = kept + part.items, right + part.items * part.accuracy
        own = f"{part.lower:.2f}-{part.upper:.2f}", part.items, part.mean_score, part.accuracy
        rows.append((*own, f"{kept / total:.1%}", _share(right / kept)))
    names = ("score", "items", "mean score", "accuracy", "kept from here up", "their accuracy")
    print_rows(screen, names, rows[::-1])


def _print_examples(screen: Screen, examples: Sequence[EvaluatedExample], title: str) -> None:
    """Print examples, a line each: of a text what there is room for."""
    if not examples:
        return
    is_wrong = any(one.truth != one.predicted for one in examples)
    truth = Column[EvaluatedExample]("truth", lambda one: cut(one.truth, _LABEL_CHARS))
    columns: tuple[Column[EvaluatedExample], ...] = (
        Column("score", lambda one: one.score),
        *((truth,) if is_wrong else ()),
        Column(
            "taken for" if is_wrong else "class",
            lambda one: cut(one.predicted, _LABEL_CHARS),
        ),
        Column("text", lambda one: one.text, least=_LEAST_TEXT_CHARS),
    )
    screen.say()
    print_table(screen, columns, examples, title=title)


def _say_what_was_left_out(screen: Screen, evaluation: VersionEvaluation) -> None:
    if evaluation.unlabelled:
        screen.say(f"{counted(evaluation.unlabelled, 'item')} without a label left out.", "yellow")
    if evaluation.errored:
        command = f"run MODEL {evaluation.task}" if evaluation.output else CLASSIFY
        screen.say(
            f"{counted(evaluation.errored, 'item')} left out, as the model gave an error: `seqd "
            f"{command}` on the file shows which.",
            "yellow",
        )
    if evaluation.beyond_limit:
        screen.say(
            f"{counted(evaluation.beyond_limit, 'item')} left out: the figures are of the first "
            f"{count(evaluation.items)} alone.",
            "yellow",
        )
    listed = sum(one.items for one in evaluation.classes)
    is_classified = kind_of_task(evaluation.task).output is Classification
    if is_classified and listed < evaluation.items:
        screen.say(
            f"Classes of {counted(evaluation.items - listed, 'item')} are not listed: there are "
            "too many. --json has them all."
        )
    if evaluation.is_training_data:
        screen.say(
            "The version was trained on these very texts: the figures are better than on new ones.",
            "yellow",
        )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

"""`seqd models compare`: two versions on the same data, and whether the second is better."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, cast

import typer
from pydantic_core import from_json

from seqd.analysis.comparison import (
    AnswersCompared,
    ChangedItem,
    Comparison,
    Difference,
    LabelSets,
    MetricId,
    Verdict,
    verdict_of,
)
from seqd.analysis.sweeps import is_less_better
from seqd.cli import options, readers
from seqd.cli.exits import NO, OK
from seqd.cli.label_map import LabelPairs, read_label_map
from seqd.cli.models import measuring
from seqd.cli.models.comparing import Changed, compare_versions
from seqd.cli.models.measured_items import Asked
from seqd.cli.showing import Found, shown
from seqd.cli.ui.evaluations import spoken
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import cut, print_facts, print_rows
from seqd.errors import InvalidRequest
from seqd.views.numbers import count, counted, rate, size


@shown
def compare(
    first: measuring.Version,
    second: measuring.Version,
    data: measuring.Data,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            help="What decides: accuracy, f1_macro or log_loss; of a text bits_per_char; of a "
            "plugin's own task such as f1_micro, chrf or mean_absolute_error. Exit status 3 when "
            "the second version is not better.",
        ),
    ] = None,
    by: measuring.By = None,
    changed: Annotated[
        Path | None,
        typer.Option("--changed", help="File for the items whose label changed: .jsonl."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace that file.")] = False,
    last: measuring.Last = None,
    format_name: options.InputFormatName = "auto",
    text_field: options.TextField = "text",
    label_field: measuring.TruthField = None,
    map_label: LabelPairs = None,
    param: options.Parameters = None,
    task: measuring.Task = None,
    *,
    screen: Screen,
) -> Found:
    """Compare two versions on the same labelled data, or two that write text on a text.

    Differences are the second's figure less the first's, with 95% intervals. With --metric the exit
    status is 0 when the second is better, and 3 when not. It is better when its figure is better by
    at least --by, the whole interval is on the better side of 0, and it gives no more errors.
    """
    decides, least = _read_decision(metric, by)
    if changed == Path("-"):
        if screen.is_beside_json:
            raise InvalidRequest("--changed is '-' and --json is given; both print on stdout")
        screen = screen.on_stderr()
    asked = Asked(
        file=data,
        fields={"format": format_name, "text_field": text_field},
        label_field=label_field,
        label_map=read_label_map(map_label),
        parameters=readers.parameters(param),
        last=last,
        task=task,
    )
    comparison = compare_versions(first, second, asked, screen, decides, Changed(changed, force))
    verdict = None if decides is None else verdict_of(comparison, decides, least)
    return Found(
        comparison_record(comparison, verdict),
        lambda _: print_comparison(screen, comparison, verdict, changed),
        status=OK if verdict is None or verdict.is_better else NO,
    )


def _read_decision(metric: str | None, by: float | None) -> tuple[MetricId | None, float]:
    """Return the metric that decides, if one does, and the least gain. Raises InvalidRequest."""
    if metric is None and by is not None:
        raise InvalidRequest("--by is the least gain in a metric, and no --metric is given")
    return measuring.read_metric(metric), by or 0.0


def comparison_record(comparison: Comparison, verdict: Verdict | None) -> dict[str, object]:
    """Return a comparison as `--json` prints it; what is infinite is null."""
    record = cast("dict[str, object]", from_json(comparison.model_dump_json()))
    decided = None if verdict is None else from_json(verdict.model_dump_json())
    return record | {"verdict": decided}


#: Longest name of a version that heads a column; longer ones are `first` and `second` there.
_HEADING_CHARS: Final = 16

#: Changed items that are shown, and the characters of their texts and labels.
_SHOWN_CHANGES: Final = 5
_TEXT_CHARS: Final = 22
_LABEL_CHARS: Final = 10

#: Labels that a sentence names.
_NAMED_LABELS: Final = 5

#: Least p that is shown as it is.
_LEAST_P: Final = 0.0001


def print_comparison(
    screen: Screen, comparison: Comparison, verdict: Verdict | None, changed: Path | None
) -> None:
    """Print a comparison; `changed` is the file that the changed items were written to."""
    answers = comparison.answers
    if answers is not None:
        _say_unknown_labels(screen, answers, comparison)
        _say_what_was_left_out(screen, answers, comparison)
    _print_what(screen, comparison)
    if comparison.errored is not None and any(comparison.errored):
        first, second = comparison.errored
        screen.say(
            f"Errors left out: {count(first)} of {comparison.first.ref}, {count(second)} of "
            f"{comparison.second.ref}.",
            "yellow",
        )
    screen.say()
    _print_figures(screen, comparison)
    if answers is not None:
        screen.say()
        _print_right(screen, answers, comparison)
        screen.say()
        _print_changes(screen, answers, comparison, changed)
    if verdict is not None:
        screen.say()
        _say_verdict(screen, comparison, verdict)


def _print_what(screen: Screen, comparison: Comparison) -> None:
    is_of_items = comparison.answers is not None or comparison.output is not None
    noun = "labelled item" if is_of_items else "character"
    facts = {
        "first": comparison.first.ref,
        "second": comparison.second.ref,
        "task": comparison.task if comparison.output is not None else "",
        "data": f"{comparison.data}, {counted(comparison.items, noun)}",
    }
    print_facts(screen, facts)


def _print_figures(screen: Screen, comparison: Comparison) -> None:
    """Print a row for each figure; what is not known of a version is left out."""
    rows = [_figure_row(name, found) for name, found in comparison.metrics.items()]
    first, second = comparison.first, comparison.second
    if first.items_per_s is not None and second.items_per_s is not None:
        rows.append(("items a second", rate(first.items_per_s), rate(second.items_per_s), "", ""))
    if first.size_bytes is not None and second.size_bytes is not None:
        rows.append(("size", size(first.size_bytes), size(second.size_bytes), "", ""))
    if first.memory_bytes is not None and second.memory_bytes is not None:
        rows.append(("memory", size(first.memory_bytes), size(second.memory_bytes), "", ""))
    print_rows(screen, ("", *_headings(comparison), "difference", "95% interval"), rows)
    losses = [spoken(name) for name in comparison.metrics if is_less_better(name)]
    if losses:
        screen.say(f"Less is better of {' and '.join(losses)}.", "dim")


def _figure_row(name: MetricId, found: Difference) -> tuple[str, str, str, str, str]:
    ends = "" if found.interval is None else " to ".join(map(_signed, found.interval))
    figures = _figure(found.first), _figure(found.second)
    return (spoken(name), *figures, _signed(found.difference), ends)


def _figure(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "infinite"


def _signed(value: float) -> str:
    return (
        f"{value + 0.0:+.4f}" if math.isfinite(value) else f"{value:+}".replace("inf", "infinite")
    )


def _print_right(screen: Screen, answers: AnswersCompared, comparison: Comparison) -> None:
    first, second = _headings(comparison)
    right = answers.right
    rows = [
        (name, number, f"{number / comparison.items:.1%}")
        for name, number in (
            ("both", right.both),
            (f"{first} alone", right.first_only),
            (f"{second} alone", right.second_only),
            ("neither", right.neither),
        )
    ]
    print_rows(screen, ("right", "items", "share"), rows)
    p = answers.mcnemar_p
    told = f"p = {p:.4f}" if p >= _LEAST_P else f"p < {_LEAST_P:.4f}"
    screen.say(f"McNemar's exact test, two-sided: {told}")


def _print_changes(
    screen: Screen, answers: AnswersCompared, comparison: Comparison, changed: Path | None
) -> None:
    kappa = "" if answers.kappa is None else f" (Cohen's kappa {answers.kappa:.4f})"
    screen.say(
        f"Same label: {answers.agreement:.2%} of the items{kappa}; "
        f"{counted(answers.changed, 'item')} changed."
    )
    if not answers.changed:
        return
    shown = comparison.changes[:_SHOWN_CHANGES]
    columns = ("changed", "truth", *_headings(comparison), "text")
    print_rows(screen, columns, [_change_row(one) for one in shown])
    if changed is not None:
        screen.say(f"{changed}: {counted(answers.changed, 'changed item')}, in input order")
    elif answers.changed > len(shown):
        screen.say("All of them: --changed FILE")


def _change_row(changed: ChangedItem) -> tuple[str, ...]:
    return (
        cut(changed.custom_id, _LABEL_CHARS),
        cut(changed.truth, _LABEL_CHARS),
        *(
            f"{cut(one.label, _LABEL_CHARS)} {one.score:.2f}"
            for one in (changed.first, changed.second)
        ),
        cut(" ".join(changed.text.split()), _TEXT_CHARS),
    )


def _headings(comparison: Comparison) -> tuple[str, str]:
    refs = comparison.first.ref, comparison.second.ref
    return refs if max(map(len, refs)) <= _HEADING_CHARS else ("first", "second")


def _say_unknown_labels(screen: Screen, answers: AnswersCompared, comparison: Comparison) -> None:
    """Say first which labels a version cannot get right, as the figures are of them, too."""
    first, second = comparison.first.ref, comparison.second.ref
    labels = answers.labels
    if answers.unknown_items:
        which = "" if labels is None else f" ({_named(labels.unknown_to_both)})"
        screen.say(
            f"{counted(answers.unknown_items, 'item')} with labels that neither version knows"
            f"{which} count as wrong for both. Are they classes by other names? --map-label "
            "LABEL=CLASS",
            "yellow",
        )
    if labels is None:
        return
    for unknown, one, other in (
        (labels.unknown_to_first, first, second),
        (labels.unknown_to_second, second, first),
    ):
        if unknown:
            screen.say(
                f"{one} has no class {_named(unknown)}, which the data and {other} have: it is "
                "wrong about such items, and they are not in the log loss.",
                "yellow",
            )
    _say_other_classes(screen, labels, first, second)


def _say_other_classes(screen: Screen, labels: LabelSets, first: str, second: str) -> None:
    sides = [
        f"{one} alone has {_named(only)}"
        for one, only in ((first, labels.only_first), (second, labels.only_second))
        if only
    ]
    if sides:
        screen.say(f"The versions have different classes: {', '.join(sides)}.", "yellow")


def _named(labels: Sequence[str]) -> str:
    more = ", …" if len(labels) > _NAMED_LABELS else ""
    return ", ".join(repr(label) for label in labels[:_NAMED_LABELS]) + more


def _say_what_was_left_out(
    screen: Screen, answers: AnswersCompared, comparison: Comparison
) -> None:
    if answers.unlabelled:
        screen.say(f"{counted(answers.unlabelled, 'item')} without a label left out.", "yellow")
    if answers.errored:
        screen.say(
            f"{counted(answers.errored, 'item')} left out of both, as a version gave an error: "
            f"{comparison.first.ref} {count(answers.errored_first)}, {comparison.second.ref} "
            f"{count(answers.errored_second)}.",
            "yellow",
        )


def _say_verdict(screen: Screen, comparison: Comparison, verdict: Verdict) -> None:
    ref = comparison.second.ref
    if verdict.is_better:
        screen.say(f"{ref} is better: {verdict.reason}.", "bold green")
    else:
        screen.say(f"{ref} is not better: {verdict.reason}.", "bold yellow")

"""`seqd models compare`: two versions on the same data, and whether the second is better."""

from pathlib import Path
from typing import Annotated, cast

import typer
from pydantic_core import from_json

from seqd.analysis.comparison import Comparison, MetricId, Verdict, verdict_of
from seqd.cli import options, readers
from seqd.cli.exits import NO, OK
from seqd.cli.label_map import LabelPairs, read_label_map
from seqd.cli.models import measuring
from seqd.cli.models.comparing import Changed, compare_versions
from seqd.cli.models.measured_items import Asked
from seqd.cli.showing import Found, shown
from seqd.cli.ui.comparison import print_comparison
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidRequest


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

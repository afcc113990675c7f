"""The condition on which a version goes into service: better than the one there, on some data."""

from math import isfinite
from typing import TYPE_CHECKING

from seqd.cli import options
from seqd.cli.models.measuring import read_gain

if TYPE_CHECKING:
    from seqd.analysis.comparison import Verdict
    from seqd.cli.models.measured_items import Asked
    from seqd.cli.ui.screen import Screen


def judged_on(
    first: str, second: str, asked: "Asked", metric: str, by: float | None, screen: "Screen"
) -> "tuple[Verdict, dict[str, float]]":
    """Return whether the second version is better, and the figures of both that are finite.

    `metric` is '' for the first figure that the versions have: accuracy, of a text bits per
    character, of a plugin's own task micro F1, chrF or the mean absolute error. Raises
    InvalidRequest, and what `compare_versions` does.
    """
    from seqd.analysis.comparison import CLASSIFY_METRICS, TASK_METRICS, TEXT_METRICS, verdict_of
    from seqd.cli.models.comparing import compare_versions

    least = read_gain(by)
    metrics = (*CLASSIFY_METRICS, *TEXT_METRICS, *TASK_METRICS)
    if metric:
        options.choice("--metric", metric, metrics)
    wanted = next((one for one in metrics if one == metric), None)
    comparison = compare_versions(first, second, asked, screen, wanted)
    there = [one for one in metrics if one in comparison.metrics]
    decides = there[0] if wanted is None else wanted
    found = comparison.metrics[decides]
    figures = {f"{decides}_before": found.first, f"{decides}_after": found.second}
    # A text that a version cannot write at all has infinite bits per character.
    finite = {name: figure for name, figure in figures.items() if isfinite(figure)}
    return verdict_of(comparison, decides, least), {**finite, "items": float(comparison.items)}

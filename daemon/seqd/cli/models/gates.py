"""The condition on which a version goes into service: better than the one there, on some data."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from seqd.cli import options
from seqd.cli.models.measuring import read_gain

if TYPE_CHECKING:
    from seqd.cli.ui.screen import Screen


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of a comparison."""

    is_better: bool
    #: Why, as a part of a sentence.
    reason: str
    #: The figures of both versions, those that are finite, and the items that were compared.
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Condition:
    """The data on which a version has to be better, and by what."""

    file: str
    #: '' for the first figure that the versions have: accuracy, of a text bits per character, of a
    #: plugin's own task micro F1, chrF or the mean absolute error.
    metric: str
    by: float | None
    #: `format` and `text_field` of the data.
    fields: Mapping[str, str]
    label_field: str | None
    #: What the model calls the labels of the data that it calls otherwise.
    label_map: Mapping[str, str]

    def decide(self, first: str, second: str, screen: "Screen") -> Decision:
        """Compare two versions. Raises InvalidRequest, and what `compare_versions` does."""
        from seqd.analysis.comparison import (
            CLASSIFY_METRICS,
            TASK_METRICS,
            TEXT_METRICS,
            verdict_of,
        )
        from seqd.cli.models.comparing import compare_versions
        from seqd.cli.models.measured_items import Asked

        least = read_gain(self.by)
        metrics = (*CLASSIFY_METRICS, *TEXT_METRICS, *TASK_METRICS)
        if self.metric:
            options.choice("--metric", self.metric, metrics)
        wanted = next((one for one in metrics if one == self.metric), None)
        asked = Asked(
            file=self.file,
            fields=self.fields,
            label_field=self.label_field,
            label_map=self.label_map,
        )
        comparison = compare_versions(first, second, asked, screen, wanted)
        there = [one for one in metrics if one in comparison.metrics]
        decides = there[0] if wanted is None else wanted
        verdict = verdict_of(comparison, decides, least)
        found = comparison.metrics[decides]
        figures = {f"{decides}_before": found.first, f"{decides}_after": found.second}
        return Decision(
            is_better=verdict.is_better,
            reason=f"on {Path(self.file).name}, {verdict.reason}",
            figures={
                # A text that a version cannot write at all has infinite bits per character.
                **{name: figure for name, figure in figures.items() if isfinite(figure)},
                "items": float(comparison.items),
            },
        )

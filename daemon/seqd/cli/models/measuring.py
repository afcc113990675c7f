"""Options of the commands that measure versions: `evaluate`, `compare`, and a gate of `promote`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import completion, readers

if TYPE_CHECKING:
    from seqd.analysis.comparison import MetricId

Version = Annotated[
    str,
    typer.Argument(
        help="A version: name@3, name@label or a name.", autocompletion=completion.models
    ),
]
Data = Annotated[
    str,
    typer.Option("--data", help="Labelled records, or a text for models that write; - is stdin."),
]
Last = Annotated[
    float | None,
    typer.Option("--last", help="Share of a text to measure, from its end: 0.1 is the last tenth."),
]
Adaptive = Annotated[
    bool,
    typer.Option(
        "--adaptive",
        help="Have a model that writes learn from each character once it has predicted it. The "
        "version stays as it is.",
    ),
]
TruthField = Annotated[
    str | None,
    typer.Option(
        "--label-field",
        help="Field with the true class (label), or with the true output of a plugin's task: "
        "labels, score, spans, reference or label, by what it gives.",
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        "--task",
        help="Task to measure, of a model with several of its plugin's own.",
        autocompletion=completion.tasks,
    ),
]
By = Annotated[
    float | None,
    readers.typed(
        "--by",
        by=readers.number(0, sys.float_info.max, "0 or more, such as 0.002", "GAIN"),
        help="Least gain, in the unit of the metric, such as 0.002.",
    ),
]


def read_metric(name: str | None) -> "MetricId | None":
    """Return the figure of `--metric`, None without it. Raises InvalidRequest."""
    from seqd.analysis.comparison import METRICS

    if name is None:
        return None
    readers.choice("--metric", name, METRICS)
    return next(one for one in METRICS if one == name)

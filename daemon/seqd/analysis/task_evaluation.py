"""How good the outputs of a plugin's own task are beside true ones: what is measured of each type.

The figures go by the type of output, not by the task's name: whatever gives `Labels` is measured
alike. Each class of `METRICS` takes items one by one; what memory it needs its docstring says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar, cast

from pydantic import JsonValue

from seqd.analysis.embedding_figures import EmbeddingFigures
from seqd.analysis.label_figures import LabelFigures
from seqd.analysis.score_figures import ScoreFigures
from seqd.analysis.span_figures import SpanFigures
from seqd.analysis.task_report import TaskReport
from seqd.analysis.text_figures import TextFigures
from seqd.errors import InvalidRequest
from seqd_schemas import Embedding, Labels, Score, Spans, TaskOutput, TaskSchema, Text

Truth = TypeVar("Truth")
Out = TypeVar("Out", bound=TaskOutput, contravariant=True)


class Figures(Protocol[Truth, Out]):
    """The figures of one set of items."""

    def truth(self, value: object) -> Truth:
        """Return a true output as a file has it. Raises ValueError, which says what is allowed."""

    def add(self, truth: Truth, output: Out) -> None:
        """Count one item."""

    def report(self) -> TaskReport:
        """Return the figures; there is one item at least."""


@dataclass(frozen=True, slots=True)
class Metric(Generic[Truth, Out]):
    """What is measured of outputs of one type."""

    #: What an output is read as.
    output: type[Out]
    #: The field with the true output, where none is named.
    truth_field: str
    #: Begins to count.
    figures: type[Figures[Truth, Out]]


#: By the `type` of the output.
METRICS: Final[Mapping[str, "Metric[object, TaskOutput]"]] = {
    name: cast("Metric[object, TaskOutput]", metric)
    for name, metric in {
        "labels": Metric(Labels, "labels", LabelFigures),
        "score": Metric(Score, "score", ScoreFigures),
        "spans": Metric(Spans, "spans", SpanFigures),
        "text": Metric(Text, "reference", TextFigures),
        "embedding": Metric(Embedding, "label", EmbeddingFigures),
    }.items()
}


def output_type(schema: TaskSchema) -> str | None:
    """Return the `type` of a task's outputs; None where they have none."""
    fields = (schema.result or {}).get("properties")
    kind = fields.get("type") if isinstance(fields, Mapping) else None
    name = cast("Mapping[str, JsonValue]", kind).get("const") if isinstance(kind, Mapping) else None
    return name if isinstance(name, str) else None


def metric_of(model: str, task: str, schema: TaskSchema) -> "Metric[object, TaskOutput]":
    """Return what is measured of a task's outputs. Raises InvalidRequest where nothing can be."""
    kind = output_type(schema)
    if kind is not None and kind in METRICS:
        return METRICS[kind]
    title = (schema.result or {}).get("title")
    known = ", ".join(metric.output.__name__ for metric in METRICS.values())
    raise InvalidRequest(
        f"the outputs of {model} {task} are {title or kind or 'of no known type'}, for which there "
        f"are no figures; allowed: {known}, and classes that derive from them"
    )

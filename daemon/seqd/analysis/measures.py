"""Which measure is that of a task: by the type of its outputs."""

from collections.abc import Mapping
from typing import Final, cast

from pydantic import JsonValue

from seqd.analysis.classification import Classifying
from seqd.analysis.embeddings import Embedded
from seqd.analysis.evaluation import Measure
from seqd.analysis.evaluation import Report as Report
from seqd.analysis.task_outputs import OUTPUT_MEASURES
from seqd.errors import InvalidRequest
from seqd_schemas import TaskSchema

#: That of versions that classify.
CLASSIFICATION: Final[Measure] = Classifying()

#: Those of plugins' own tasks, by the `type` of the output.
MEASURES: Final[Mapping[str, Measure]] = {**OUTPUT_MEASURES, "embedding": Embedded()}


def output_type(schema: TaskSchema) -> str | None:
    """Return the `type` of a task's outputs; None where they have none."""
    fields = (schema.result or {}).get("properties")
    kind = fields.get("type") if isinstance(fields, Mapping) else None
    name = cast("Mapping[str, JsonValue]", kind).get("const") if isinstance(kind, Mapping) else None
    return name if isinstance(name, str) else None


def measure_of(model: str, task: str, schema: TaskSchema) -> Measure:
    """Return what is measured of a task's outputs. Raises InvalidRequest where nothing can be."""
    kind = output_type(schema)
    if kind is not None and kind in MEASURES:
        return MEASURES[kind]
    title = (schema.result or {}).get("title")
    known = ", ".join(one.output.__name__ for one in MEASURES.values())
    raise InvalidRequest(
        f"the outputs of {model} {task} are {title or kind or 'of no known type'}, for which there "
        f"are no figures; allowed: {known}, and classes that derive from them"
    )

"""What is said of results: columns of a table, and a whole one as text."""

import json

from seqd.escaping import one_line
from seqd.views.columns import Cell, Column
from seqd.views.numbers import count, metrics_line
from seqd_schemas import (
    Classification,
    Generation,
    ItemFailure,
    ItemOutput,
    ItemSuccess,
    TrainedVersion,
)

#: Characters of an output that a table shows.
_SHOWN_CHARS = 240

_Result = ItemSuccess | ItemFailure


def output_text(output: ItemOutput) -> str:
    """Return all of an output: the texts of a generation, else its JSON."""
    if isinstance(output, Generation):
        return "\n\n".join(sample.text for sample in output.samples)
    whole = output if isinstance(output, dict) else output.model_dump(mode="json")
    return json.dumps(whole, ensure_ascii=False, indent=2)


def _label(result: _Result) -> str:
    output = result.output if result.ok else None
    if not isinstance(output, Classification):
        return "-"
    return f"{output.label} (uncertain)" if output.uncertain else output.label


def _score(result: _Result) -> float | str:
    output = result.output if result.ok else None
    return output.score if isinstance(output, Classification) else "-"


def _prompt(result: _Result) -> str:
    output = result.output if result.ok else None
    return one_line(output.prompt, _SHOWN_CHARS) if isinstance(output, Generation) else "-"


def _output(result: _Result) -> str:
    return one_line(_told(result.output), _SHOWN_CHARS) if result.ok else "-"


def _told(output: ItemOutput) -> str:
    match output:
        case Classification():
            return "-"
        case Generation(samples=samples):
            more = f" (and {count(len(samples) - 1)} more)" if len(samples) > 1 else ""
            return " ".join(samples[0].text.split()) + more if samples else ""
        case TrainedVersion():
            return f"{output.model}@{output.version}: {metrics_line(output.metrics)}"
    return json.dumps(output, ensure_ascii=False)


def _error(result: _Result) -> Cell:
    if isinstance(result, ItemSuccess):
        return Cell("-")
    return Cell(one_line(f"{result.error.code}: {result.error.message}", _SHOWN_CHARS), "red")


#: What a table says of a result.
RESULT_COLUMNS = (
    Column[_Result]("item", lambda result: result.custom_id),
    Column("label", _label, is_left_out_empty=True),
    Column("score", _score, is_number=True, is_left_out_empty=True),
    Column("prompt", _prompt, is_left_out_empty=True),
    Column("output", _output, is_left_out_empty=True),
    Column("error", _error, is_left_out_empty=True),
)

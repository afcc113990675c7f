"""Plugins in a few lines: a function, or a class, becomes a model.

    from seqd.plugin import Label, classifier

    @classifier("hello", summary="Tells greetings from the rest.")
    def hello(text: str, word: str = "hello") -> Label:
        \"\"\"word: What counts as a greeting.\"\"\"
        return Label("greeting" if word in text.lower() else "other")

The entry point is `hello = "seqd_hello:hello"`. `classifier`, `generator` and `task` take a
function of one text, or of a list of texts; `model` takes a class, which may learn. What is
decorated stays as it is, and can be called and tested as before. The whole contract is
`seqd.hookspecs`, which these stand on; `plugins/README.md` is the guide.
"""

from seqd.errors import InvalidData, Stopped
from seqd.hookspecs import (
    Dataset,
    Device,
    Inspection,
    LabelledRecord,
    Needs,
    RunContext,
    TrainContext,
)
from seqd.plugin.arrays import load_arrays, save_arrays
from seqd.plugin.classes import model
from seqd.plugin.functions import classifier, generator, task
from seqd.plugin.running import BadItem, Label
from seqd.plugin.signatures import Random
from seqd_schemas import (
    Dimensions,
    Embedding,
    Labels,
    OutputBound,
    Score,
    Spans,
    TaskOutput,
    Text,
    Vector,
)

__all__ = [
    "BadItem",
    "Dataset",
    "Device",
    "Dimensions",
    "Embedding",
    "Inspection",
    "InvalidData",
    "Label",
    "LabelledRecord",
    "Labels",
    "Needs",
    "OutputBound",
    "Random",
    "RunContext",
    "Score",
    "Spans",
    "Stopped",
    "TaskOutput",
    "Text",
    "TrainContext",
    "Vector",
    "classifier",
    "generator",
    "load_arrays",
    "model",
    "save_arrays",
    "task",
]

"""A plugin for tests of tasks that a plugin names: five small models, each with one of its own.

`vectors` embeds, `stars` scores, `topics` gives several labels, `places` finds spans, `mirror`
makes a text of a text, and `pairs` takes records. What they give is plain to compute by hand. A
text that is one of the words in `TRICKS` gets an outcome that no result can hold.

A version whose file has a `prefix` begins each text of `mirror` with it; one that `refuses` gives
an error for each text.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from seqd.errors import Stopped
from seqd.hookspecs import (
    Artifact,
    Device,
    LoadedModel,
    Model,
    PluginParameters,
    RunContext,
    TaskSpec,
    WorkItem,
    hookimpl,
)
from seqd_schemas import (
    Dimensions,
    Embedding,
    ItemError,
    ItemErrorCode,
    Labels,
    Score,
    ScoredLabel,
    Span,
    Spans,
    TaskOutput,
    Text,
    Vector,
)

#: Numbers of a vector, and items in one unit.
DIMENSIONS = 256
UNIT_ITEMS = 64

WEIGHTS = "tasks.json"


class Parameters(PluginParameters):
    delay_ms: float = Field(default=0, ge=0, le=60_000, description="Milliseconds an item takes.")


class Embedding256(Embedding):
    """The item as a vector of 256 numbers."""

    vector: Annotated[Vector, Dimensions(DIMENSIONS)] = Field(description="The vector.")


class Pair(BaseModel):
    """Two texts to compare."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    left: str = Field(max_length=10_000, description="One text.")
    right: str = Field(max_length=10_000, description="The other one.")
    weight: float = Field(default=1.0, ge=0, le=100, description="What the score is times.")


class Comparison(TaskOutput):
    """How alike two texts are; an output that no class of `seqd_schemas` is."""

    overlap: float = Field(ge=0, le=100, description="Share of the words in both, times weight.")
    shared: tuple[Annotated[str, Field(max_length=256)], ...] = Field(
        max_length=1_000, description="The words in both, sorted."
    )


def embed(text: str) -> Embedding256:
    """Return the digest of a text as a vector: one number for each of its bytes, repeated."""
    digest = hashlib.sha256(text.encode()).digest()
    return Embedding256(vector=Vector([byte / 255 for byte in digest] * (DIMENSIONS // 32)))


def score(text: str) -> Score:
    """Return the share of vowels in a text."""
    return Score(score=sum(letter in "aeiou" for letter in text.lower()) / max(1, len(text)))


def label(text: str) -> Labels:
    """Return a label for each word of three or more letters, the longest first."""
    words = sorted(set(re.findall(r"\w{3,20}", text.lower())), key=lambda word: (-len(word), word))
    return Labels(labels=tuple(ScoredLabel(label=word, score=len(word) / 20) for word in words))


def find(text: str) -> Spans:
    """Return the capitalised words of a text, as names."""
    found = re.finditer(r"\b[A-Z]\w*", text)
    return Spans(spans=tuple(Span(start=one.start(), end=one.end(), label="NAME") for one in found))


def compare(pair: Pair) -> Comparison:
    """Return what two texts share."""
    left, right = set(pair.left.split()), set(pair.right.split())
    shared = sorted(left & right)
    overlap = len(shared) / max(1, len(left | right)) * pair.weight
    return Comparison(overlap=overlap, shared=tuple(shared))


def _exits(text: str) -> BaseModel:
    os._exit(9)


def _raises(text: str) -> BaseModel:
    raise ValueError("this text was made to break the plugin")


#: By text: what the plugin gives in the place of an outcome.
TRICKS: Mapping[str, Callable[[str], object]] = {
    "short": lambda text: Embedding256.model_construct(vector=Vector([1.0]), truncated=False),
    "nan": lambda text: Score.model_construct(score=float("nan"), truncated=False),
    "dict": lambda text: {"score": 1.0},
    "other": lambda text: Text(text="not what is due"),
    "huge": lambda text: Text.model_construct(text="x" * 10_000_000, truncated=False),
    "refuse": lambda text: ItemError(code=ItemErrorCode.INVALID_INPUT, message="not this one"),
    "bad": _raises,
    "exit": _exits,
}


class Loaded(LoadedModel):
    """A version in memory."""

    memory_bytes = 1_000

    def __init__(self, artifact: Artifact) -> None:
        content = json.loads((artifact.folder / WEIGHTS).read_text())
        self._prefix = str(content.get("prefix", ""))
        self._refuses = bool(content.get("refuses"))

    def warm_up(self) -> None:
        """Nothing to warm up."""

    def run(self, task, items, parameters, context):
        """Do one of the tasks with each item."""
        return [self._one(task, item, parameters, context) for item in items]

    def _one(self, task: str, item: WorkItem, parameters: Parameters, context: RunContext):
        if context.stop_requested():
            raise Stopped("asked to stop")
        time.sleep(parameters.delay_ms / 1000)
        if task == "mirror":
            return self._mirror(item, parameters, context)
        if item.record is not None:
            assert isinstance(item.record, Pair)
            return compare(item.record)
        trick = TRICKS.get(item.text)
        return TASKS[task](item.text) if trick is None else trick(item.text)

    def _mirror(self, item: WorkItem, parameters: Parameters, context: RunContext):
        trick = TRICKS["refuse"] if self._refuses else TRICKS.get(item.text)
        if trick is not None:
            return trick(item.text)
        text = self._prefix + item.text[::-1]
        for place in range(0, len(text), 4):
            context.stream(item, 0, text[place : place + 4])
        return Text(text=text)


TASKS: Mapping[str, Callable[[str], BaseModel]] = {
    "embed": embed,
    "score": score,
    "tag": label,
    "find": find,
}


#: A model for each type of output, with its task.
FIVE = (
    ("vectors", "embed"),
    ("stars", "score"),
    ("topics", "tag"),
    ("places", "find"),
    ("mirror", "mirror"),
)


def due(task: str, text: str) -> BaseModel:
    """Return what a task is to give for a text."""
    return Text(text=text[::-1]) if task == "mirror" else TASKS[task](text)


class TaskModel(Model):
    """A model with a task of its own; tests publish its versions."""

    needs_weights = True

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        """Return what does all of the tasks."""
        return Loaded(artifact)


def _model(model: str, task: str, spec: TaskSpec) -> TaskModel:
    class OneTask(TaskModel):
        name = model
        summary = f"A model of tests that does {task}."
        tasks: ClassVar = {task: spec}

    return OneTask()


MODELS: Sequence[Model] = [
    _model("vectors", "embed", TaskSpec(Parameters, 512, Embedding256, summary="Embeds texts.")),
    _model("stars", "score", TaskSpec(Parameters, UNIT_ITEMS, Score, summary="Scores texts.")),
    _model("topics", "tag", TaskSpec(Parameters, UNIT_ITEMS, Labels, summary="Labels texts.")),
    _model("places", "find", TaskSpec(Parameters, UNIT_ITEMS, Spans, summary="Finds names.")),
    _model(
        "mirror",
        "mirror",
        TaskSpec(Parameters, UNIT_ITEMS, Text, summary="Turns texts round.", allows_empty=True),
    ),
    _model(
        "pairs",
        "compare",
        TaskSpec(Parameters, UNIT_ITEMS, Comparison, input=Pair, summary="Compares two texts."),
    ),
]


@hookimpl
def seqd_register_models() -> Sequence[Model]:
    """Hand over the models."""
    return MODELS

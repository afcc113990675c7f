"""A plugin for tests of versions that were not trained: built in, and added.

`rule` has neither training nor files: its version 0 is this module. `words` needs files, which say
which word gives which label; where they name a `trick`, loading them fails in that way. `learner`
is trained, and nothing runs on it.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from seqd.errors import ArtifactDamaged
from seqd.hookspecs import (
    Artifact,
    Device,
    LoadedModel,
    Model,
    PluginParameters,
    TaskSpec,
    TrainContext,
    TrainedModel,
    hookimpl,
)
from seqd_schemas import Classification

WEIGHTS = "words.json"


class LoadedWords(LoadedModel):
    """Gives a text the label of its first word that has one."""

    memory_bytes = 1_000

    def __init__(self, labels: Mapping[str, str], trick: str = "") -> None:
        self._labels = labels
        self._trick = trick

    def warm_up(self) -> None:
        if self._trick == "warm_up":
            raise ValueError("these words were made to break when they are warmed up")

    def classify(self, items, parameters, context):
        return [self._label(item.text) for item in items]

    def _label(self, text: str) -> Classification:
        known = (self._labels[word] for word in text.lower().split() if word in self._labels)
        return Classification(label=next(known, "other"), score=1.0, truncated=False)


class Rule(Model):
    """A model that is its code."""

    name: ClassVar[str] = "rule"
    summary: ClassVar[str] = "Labels greetings; for tests."
    tasks: ClassVar = {"classify": TaskSpec(PluginParameters)}

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        path = artifact.folder / WEIGHTS
        if artifact.manifest.version and path.is_file():  # an added version
            return load_words(path)
        return LoadedWords({"hello": "greeting"})


class Words(Rule):
    """A model that needs files."""

    name: ClassVar[str] = "words"
    summary: ClassVar[str] = "Labels words by a list; for tests."
    needs_weights: ClassVar[bool] = True

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        return load_words(artifact.folder / WEIGHTS)


class Learner(Model):
    """A model that is trained, and runs nothing."""

    name: ClassVar[str] = "learner"
    summary: ClassVar[str] = "Learns; for tests."
    tasks: ClassVar = {"train": TaskSpec(PluginParameters)}

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        return LoadedWords({})

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        (context.folder / WEIGHTS).write_text("{}")
        return TrainedModel(metrics={})


def load_words(path: Path) -> LoadedModel:
    """Read a list of words; does what its trick says."""
    content = json.loads(path.read_text())
    if not isinstance(content, dict):
        raise ArtifactDamaged(f"{WEIGHTS} is no object of words with their labels.")
    trick = content.pop("trick", "")
    if trick == "raise":
        raise ValueError("these words were made to break when they are loaded")
    if trick == "exit":
        sys.exit(3)
    if trick == "die":
        os._exit(9)
    if trick == "hang":
        time.sleep(600)
    if trick == "write":
        path.with_name("cache.json").write_text("{}")
    return LoadedWords(content, trick)


@hookimpl
def seqd_register_models() -> list[Model]:
    return [Rule(), Words(), Learner()]

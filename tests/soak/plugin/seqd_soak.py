"""Two faulty plugins for the soak: `raising` raises for some texts, `dying` ends its process.

Each is a plugin of its own, so that a host can load one and not the other. Found by their entry
points in the dist-info folder beside this file. Their versions are published by the soak.
"""

import json
import os
from collections.abc import Sequence
from typing import ClassVar

from seqd.hookspecs import (
    Artifact,
    Device,
    LoadedModel,
    Model,
    PluginParameters,
    RunContext,
    TaskSpec,
    TrainContext,
    TrainedModel,
    WorkItem,
    hookimpl,
)
from seqd_schemas import Classification

UNIT_ITEMS = 64
FAULT = "fault"


class NoParameters(PluginParameters):
    pass


class Faulty(LoadedModel):
    """Labels each text with its first word, but for those that begin with `fault`."""

    memory_bytes = 1_000

    def __init__(self, *, ends_its_process: bool) -> None:
        self._ends_its_process = ends_its_process

    def warm_up(self) -> None:
        return None

    def classify(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Classification]:
        return [self._label(item.text) for item in items]

    def _label(self, text: str) -> Classification:
        if text.startswith(FAULT):
            if self._ends_its_process:
                os._exit(9)
            # The text is in the message, as plugins have it: each fault reads differently.
            raise ValueError(f"this plugin cannot take {text!r}")
        return Classification(label=text.split()[0][:64], score=1.0, truncated=False)


class FaultyModel(Model):
    """What both have in common."""

    tasks: ClassVar = {
        "classify": TaskSpec(NoParameters, unit_items=UNIT_ITEMS),
        "train": TaskSpec(NoParameters),
    }

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        return Faulty(ends_its_process=self.name == "dying")

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        list(context.data.records())
        (context.folder / "faulty.json").write_text(json.dumps({}))
        return TrainedModel(metrics={})


class RaisingModel(FaultyModel):
    name = "raising"
    summary = "Raises for some texts."


class DyingModel(FaultyModel):
    name = "dying"
    summary = "Ends its process at some texts."


class _Plugin:
    def __init__(self, model: type[FaultyModel]) -> None:
        self._model = model

    @hookimpl
    def seqd_register_models(self) -> list[Model]:
        return [self._model()]


raising = _Plugin(RaisingModel)
dying = _Plugin(DyingModel)

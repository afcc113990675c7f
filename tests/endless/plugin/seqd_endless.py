"""Two plugins that label each text with itself: `pace` as slowly as asked, `dying` may die of it.

Nothing but the daemon is at work around them, so whatever is lost or doubled is the daemon's doing.
At a text that begins with `fault`, `pace` raises and `dying` ends its process. A version's file may
have a prefix, with which its labels begin. Each is a plugin of its own, so that a host can load one
alone; they are found by the dist-info folder beside this file.
"""

import json
import os
import time
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

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
from seqd_schemas import Classification

FAULT = "fault"

#: As `store_builders.publish` calls it.
WEIGHTS = "echo.json"


class PaceParameters(PluginParameters):
    unit_ms: float = Field(default=0, ge=0, le=10_000, description="Milliseconds a batch takes.")


class Pace(LoadedModel):
    memory_bytes = 1_000

    def __init__(self, prefix: str, *, ends_its_process: bool) -> None:
        self._prefix = prefix
        self._ends_its_process = ends_its_process

    def warm_up(self) -> None:
        return None

    def classify(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Classification]:
        assert isinstance(parameters, PaceParameters)
        time.sleep(parameters.unit_ms / 1000)
        return [self._label(item.text) for item in items]

    def _label(self, text: str) -> Classification:
        if text.startswith(FAULT):
            if self._ends_its_process:
                os._exit(9)
            # The text is in the message, as plugins have it: each fault reads differently.
            raise ValueError(f"this plugin cannot take {text!r}")
        return Classification(label=self._prefix + text, score=1.0, truncated=False)


class PaceModel(Model):
    name = "pace"
    summary = "Gives each text back, as slowly as it is asked to."
    needs_weights = True  # a store that is taken away is missed
    tasks: ClassVar = {"classify": TaskSpec(PaceParameters, unit_items=512)}

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        content = json.loads((artifact.folder / WEIGHTS).read_text())
        return Pace(content.get("prefix", ""), ends_its_process=self.name == "dying")


class DyingModel(PaceModel):
    name = "dying"
    summary = "Ends its process at some texts."
    tasks: ClassVar = {"classify": TaskSpec(PaceParameters, unit_items=64)}


class _Plugin:
    def __init__(self, model: type[PaceModel]) -> None:
        self._model = model

    @hookimpl
    def seqd_register_models(self) -> list[Model]:
        return [self._model()]


pace = _Plugin(PaceModel)
dying = _Plugin(DyingModel)

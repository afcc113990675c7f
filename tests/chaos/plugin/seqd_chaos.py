"""A plugin for the chaos run: labels each text with itself, at a pace that a test can choose.

Nothing but the daemon is at work around it, so whatever is lost or doubled is the daemon's
doing. Found by its entry point in the dist-info folder beside it.
"""

import json
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
    TrainContext,
    TrainedModel,
    WorkItem,
    hookimpl,
)
from seqd_schemas import Classification

UNIT_ITEMS = 512


class PaceParameters(PluginParameters):
    unit_ms: float = Field(default=0, ge=0, le=10_000, description="Milliseconds a batch takes.")


class NoParameters(PluginParameters):
    pass


class Pace(LoadedModel):
    def warm_up(self) -> None:
        return None

    def classify(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Classification]:
        assert isinstance(parameters, PaceParameters)
        time.sleep(parameters.unit_ms / 1000)
        return [Classification(label=item.text, score=1.0, truncated=False) for item in items]


class PaceModel(Model):
    name = "pace"
    summary = "Gives each text back, as slowly as it is asked to."
    tasks: ClassVar = {
        "classify": TaskSpec(PaceParameters, unit_items=UNIT_ITEMS),
        "train": TaskSpec(NoParameters),
    }

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        return Pace()

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        list(context.data.records())
        (context.folder / "pace.json").write_text(json.dumps({}))
        return TrainedModel(metrics={})


@hookimpl
def seqd_register_models() -> list[Model]:
    return [PaceModel()]

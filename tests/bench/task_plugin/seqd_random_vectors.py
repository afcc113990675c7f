"""A plugin for `bench run`: a model that does nothing, by a label and by a vector of 256 numbers.

Its vectors are drawn when it is loaded, so that they compress as those of a real model do: hardly.
"""

from itertools import cycle, islice
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from seqd.hookspecs import (
    Artifact,
    Device,
    LoadedModel,
    Model,
    PluginParameters,
    TaskSpec,
    hookimpl,
)
from seqd_schemas import Classification, Dimensions, Embedding, Vector

DIMENSIONS = 256
VECTORS = 1_024
UNIT_ITEMS = 512


class NoParameters(PluginParameters):
    pass


class Embedding256(Embedding):
    """The item as a vector of 256 numbers."""

    vector: Annotated[Vector, Dimensions(DIMENSIONS)] = Field(description="The vector.")


class Loaded(LoadedModel):
    memory_bytes = VECTORS * DIMENSIONS * 4

    def __init__(self) -> None:
        drawn = np.random.default_rng(7).standard_normal((VECTORS, DIMENSIONS), dtype=np.float32)
        self._drawn = drawn

    def warm_up(self) -> None:
        return None

    def classify(self, items, parameters, context):
        return [Classification(label=item.text, score=1.0, truncated=False) for item in items]

    def run(self, task, items, parameters, context):
        rows = islice(cycle(self._drawn), items[0].index % VECTORS, None)
        return [Embedding256(vector=Vector(row)) for row, _ in zip(rows, items, strict=False)]


class RandomVectors(Model):
    name = "random_vectors"
    summary = "Gives each text a label and a vector that mean nothing."
    tasks: ClassVar = {
        "classify": TaskSpec(NoParameters, unit_items=UNIT_ITEMS),
        "embed": TaskSpec(
            NoParameters, unit_items=UNIT_ITEMS, output=Embedding256, summary="Embeds texts."
        ),
    }

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        return Loaded()


@hookimpl
def seqd_register_models() -> list[Model]:
    return [RandomVectors()]

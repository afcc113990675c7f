"""A plugin for seqd: embeddings of texts by hashed words and n-grams of characters.

Its model `ngrams` has two tasks of its own: `embed` makes a vector of a text, and `similar` finds
the texts that are most like a query. `train` learns which words and n-grams are common.
"""

from typing import ClassVar

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
from seqd_embed.records import (
    Embedding256,
    EmbedParameters,
    Matches,
    Query,
    SimilarParameters,
    TrainParameters,
)


class Ngrams(Model):
    """The description of `ngrams`."""

    name = "ngrams"
    summary = "Embeds texts by their words and n-grams of characters, and finds the most similar."
    tasks: ClassVar = {
        "train": TaskSpec(TrainParameters, unit_items=1),
        "embed": TaskSpec(
            EmbedParameters,
            unit_items=4_096,
            output=Embedding256,
            summary="Makes a vector of 256 numbers and length 1 of a text.",
        ),
        "similar": TaskSpec(
            SimilarParameters,
            unit_items=64,
            input=Query,
            output=Matches,
            summary="Finds the candidates that are most like a query.",
        ),
    }

    #: The starter's.
    presets: ClassVar = {"best": {"min_texts": 5}}

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        """Load a version into memory; it computes in NumPy on any device."""
        from seqd_embed.serving import LoadedNgrams
        from seqd_embed.weights import load

        return LoadedNgrams(load(artifact.folder))

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        """Learn from texts how common each word and n-gram is, and write a version."""
        from seqd_embed.training import train

        assert isinstance(parameters, TrainParameters)
        return train(parameters, context)


@hookimpl
def seqd_register_models() -> list[Model]:
    """Return the model of this plugin."""
    return [Ngrams()]

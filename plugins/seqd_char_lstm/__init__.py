"""The plugin `char_lstm`: writes text with an LSTM that predicts the next character.

    parameters   of a training, with its presets; `generate_parameters` of a generation
    data         a text as ids: alphabet, corpus, windows, streams
    artifact     a version: config, weights, mixture, and their files
    network      the networks in Keras; `engine` serves and `learner` trains, both compiled
    training     from a text to a version
    decoding     many chains at once, from prompts to sampled ids
    generation   a loaded version: prompts in, texts out
    evaluation   log-probabilities and bits per character of a text

This module is the description alone: it imports neither Keras nor any of the above.
"""

from collections.abc import Mapping
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
from seqd_char_lstm.parameters import PRESETS, GenerateParameters, TrainParameters
from seqd_schemas import ParameterValue

__all__ = [
    "CharLstm",
    "GenerateParameters",
    "TrainParameters",
    "seqd_claim_device",
    "seqd_register_models",
]


class CharLstm(Model):
    """Description of `char_lstm`."""

    name = "char_lstm"
    summary = (
        "Writes text character by character, with an LSTM that reads all before it or a window."
    )
    tasks: ClassVar = {
        "train": TaskSpec(TrainParameters, unit_items=1),
        # 32 prompts of the default length are 0.7 s of one core with mixed contexts, and 0.1 s for
        # the network of `fast`; neither is much faster in a larger batch.
        "generate": TaskSpec(GenerateParameters, unit_items=32, bound=GenerateParameters.output()),
    }
    presets: ClassVar[Mapping[str, Mapping[str, ParameterValue]]] = PRESETS

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        """Bring a version into memory; Keras is imported only where Numba cannot be."""
        from seqd_char_lstm.artifact import load
        from seqd_char_lstm.generation import Generator

        return Generator(load(artifact.folder))

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        """Train on the data's running text. Without Numba and on a GPU it imports Keras."""
        from seqd_char_lstm.training import train_version

        assert isinstance(parameters, TrainParameters)
        return train_version(parameters, context)


@hookimpl
def seqd_register_models() -> list[Model]:
    """Hand over the one model of this plugin."""
    return [CharLstm()]


@hookimpl
def seqd_claim_device(device: Device) -> None:
    """Have Keras's backend compute on the GPU; `network` builds its layers there."""
    from seqd_modelkit import accelerator  # which imports the backend

    accelerator.claim(device)

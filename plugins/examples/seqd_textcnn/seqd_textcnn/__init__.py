"""A plugin for seqd: classifies texts by a convolutional network, in PyTorch.

This module has the description alone. torch is imported by `network`, when a version is trained or
loaded.
"""

from typing import ClassVar

from pydantic import Field

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
from seqd_modelkit.classification_parameters import ClassificationParameters
from seqd_modelkit.training_parameters import (
    BatchSize,
    Dropout,
    Epochs,
    LearningRate,
    Patience,
    Seed,
    ValidationSplit,
)


class TrainParameters(PluginParameters):
    """How to train."""

    vocabulary_size: int = Field(
        default=10_000, ge=1, le=200_000, description="Words that the model knows."
    )
    max_tokens: int = Field(
        default=200, ge=1, le=2_000, description="Words of a text that it reads: the first ones."
    )
    embedding_dim: int = Field(default=64, ge=1, le=1_024, description="Size of the embedding.")
    filters: int = Field(
        default=100, ge=1, le=1_024, description="Filters of each width: 3, 4 and 5 words."
    )
    dropout: Dropout = Field(default=0.3, description="Dropout of the output layer's inputs.")
    batch_size: BatchSize = 32
    epochs: Epochs = 4
    learning_rate: LearningRate = 0.002
    patience: Patience = 1
    validation_split: ValidationSplit = 0.1
    seed: Seed = 7


class TextCnn(Model):
    """The description of `textcnn`."""

    name = "textcnn"
    summary = "Tells classes of text apart by a convolutional network."
    tasks: ClassVar = {
        "train": TaskSpec(TrainParameters),
        "classify": TaskSpec(ClassificationParameters, unit_items=256),
    }

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        """Return a version in memory. Raises ArtifactDamaged."""
        from seqd_textcnn.network import LoadedTextCnn

        return LoadedTextCnn.read(artifact.folder, device)

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        """Train a version, and write its files."""
        from seqd_textcnn.training import train

        assert isinstance(parameters, TrainParameters)
        return train(parameters, context)


@hookimpl
def seqd_register_models() -> list[Model]:
    """Return the model of this plugin."""
    return [TextCnn()]


@hookimpl
def seqd_claim_device(device: Device) -> None:
    """Have torch compute on the slot's GPU, within its share of the memory."""
    from seqd_modelkit import accelerator

    accelerator.claim(device, "torch")

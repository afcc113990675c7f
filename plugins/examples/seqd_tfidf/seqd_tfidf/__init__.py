"""A plugin for seqd: classifies texts by logistic regression on tf-idf, in scikit-learn.

This module has the description alone. scikit-learn is imported by `estimators`, when a version is
trained or loaded.
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
from seqd_modelkit.training_parameters import Epochs, Patience, Seed, ValidationSplit


class TrainParameters(PluginParameters):
    """How to train."""

    vocabulary_size: int = Field(
        default=100_000, ge=1, le=1_000_000, description="Terms that the model knows at most."
    )
    ngram_order: int = Field(
        default=2, ge=1, le=5, description="Words of the longest term: 2 has pairs of words, too."
    )
    inverse_l2: float = Field(
        default=10.0,
        gt=0.0,
        le=1_000_000.0,
        allow_inf_nan=False,
        description="Inverse strength of the L2 regularization, the C of scikit-learn.",
    )
    epochs: Epochs = Field(
        default=8, description="Epochs of 15 iterations of L-BFGS, each over all of the data."
    )
    patience: Patience = 2
    validation_split: ValidationSplit = 0.1
    seed: Seed = Field(default=7, description="Seed of which texts are held out.")


class Tfidf(Model):
    """The description of `tfidf`."""

    name = "tfidf"
    summary = "Tells classes of text apart by logistic regression on tf-idf."
    tasks: ClassVar = {
        "train": TaskSpec(TrainParameters),
        "classify": TaskSpec(ClassificationParameters, unit_items=2_048),
    }

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        """Return a version in memory. Raises ArtifactDamaged."""
        from seqd_tfidf.estimators import LoadedTfidf

        return LoadedTfidf.read(artifact.folder)

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        """Train a version, and write its files."""
        from seqd_tfidf.training import train

        assert isinstance(parameters, TrainParameters)
        return train(parameters, context)


@hookimpl
def seqd_register_models() -> list[Model]:
    """Return the model of this plugin."""
    return [Tfidf()]

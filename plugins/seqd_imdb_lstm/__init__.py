"""The `imdb_lstm` plugin: classifies texts with an LSTM, and with n-grams beside it.

Read it in the order in which a text goes through it:

    parameters   what a caller may set, and the presets
    tokenizer    texts → words
    vocabulary   words → token ids
    data         a training set → ids and classes, and what is odd about it
    batches      an epoch's batches
    learner      a training step: compiled kernels on a CPU, `network` (Keras) on a GPU
    learning     the epochs: validation, early stopping, checkpoints
    ngrams       the linear branch: served, and fitted
    engine       ids → probabilities: compiled kernels on a CPU, `network` on a GPU
    artifact     a version's files
    training     all of that in order: data → version
    serving      a version → outcomes of items, and tables for a person

This module has the description alone, so it imports nothing of these but `parameters`.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from seqd.hookspecs import (
    Artifact,
    Device,
    Inspection,
    LoadedModel,
    Model,
    PluginParameters,
    TaskSpec,
    TrainContext,
    TrainedModel,
    hookimpl,
)
from seqd_imdb_lstm.parameters import KERAS_IMDB, PRESETS, ClassifyParameters, TrainParameters
from seqd_schemas import ParameterValue, Task

__all__ = [
    "ClassifyParameters",
    "ImdbLstm",
    "TrainParameters",
    "seqd_claim_device",
    "seqd_register_models",
]


class ImdbLstm(Model):
    """The description; `load`, `train` and `inspect` import what is heavy."""

    name = "imdb_lstm"
    summary = "Tells classes of text apart, such as good and bad film reviews, with an LSTM."
    tasks: ClassVar[Mapping[Task, TaskSpec]] = {
        "classify": TaskSpec(ClassifyParameters, unit_items=512),
        "train": TaskSpec(TrainParameters),
    }
    presets: ClassVar[Mapping[str, Mapping[str, ParameterValue]]] = PRESETS
    datasets = (KERAS_IMDB,)

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        """Return a version in memory; on a CPU no Keras is imported. Raises ArtifactDamaged."""
        from seqd_imdb_lstm.artifact import read_version
        from seqd_imdb_lstm.engine import engine_for
        from seqd_imdb_lstm.serving import LoadedImdbLstm

        version = read_version(artifact.folder)
        return LoadedImdbLstm(version, engine_for(version, device))

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        """Write a version into `context.folder`; return its metrics. See `training`."""
        from seqd_imdb_lstm.training import train_version

        return train_version(TrainParameters.model_validate(parameters), context)

    def inspect(self, artifact: Artifact, focus: str | None) -> Sequence[Inspection]:
        """Return tables of sizes, labels and frequent words; with a text as `focus`, its words."""
        from seqd_imdb_lstm.serving import inspect_version

        return inspect_version(artifact.folder, focus)


@hookimpl
def seqd_register_models() -> Sequence[Model]:
    """Return the one model."""
    return [ImdbLstm()]


@hookimpl
def seqd_claim_device(device: Device) -> None:
    """Have Keras's backend compute on the GPU; `network` builds its layers there."""
    from seqd_modelkit import accelerator  # which imports the backend

    accelerator.claim(device)

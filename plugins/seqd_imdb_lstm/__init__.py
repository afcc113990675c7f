"""The `imdb_lstm` plugin: tells classes of text apart with an LSTM.

    reviews      text → words → ids, by the rule of Keras's IMDB set or by `unicode_words`
    corpus       training data → vocabulary and ids; `classes`, `repeats` and `remarks` look at it
    version      a version's files
    engine       what computes probabilities: compiled on a CPU, `network` on a GPU, with `ngrams`
                 beside the LSTM where there are some
    classifier   a loaded version: items in, outcomes out
    training     data in, files out; `learning` goes through the epochs, `batches` cuts them
    learner      what computes a step: compiled on a CPU, `network` on a GPU;
                 `ngram_fitting` fits the other branch
    network      the network in Keras

This module is the description alone: it imports neither Keras nor any of the above but
the parameters.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
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

__all__ = ["ClassifyParameters", "ImdbLstm", "TrainParameters", "seqd_register_models"]


class ImdbLstm(Model):
    """The description; `load` and `train` bring in what is heavy."""

    name = "imdb_lstm"
    summary = "Tells classes of text apart, such as good and bad film reviews, with an LSTM."
    tasks: ClassVar[Mapping[Task, TaskSpec]] = {
        "classify": TaskSpec(ClassifyParameters, unit_items=512),
        "train": TaskSpec(TrainParameters),
    }
    presets: ClassVar[Mapping[str, Mapping[str, ParameterValue]]] = PRESETS
    datasets = (KERAS_IMDB,)

    @property
    def starter(self) -> Path | None:
        """The version that ships with the plugin; None in a tree where it was not made yet."""
        folder = Path(__file__).parent / "starter"
        return folder if (folder / "manifest.json").is_file() else None

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        """See `Model.load`. On a CPU no Keras is imported."""
        from seqd_imdb_lstm.classifier import LoadedImdbLstm
        from seqd_imdb_lstm.engine import engine_for
        from seqd_imdb_lstm.version import read_version

        version = read_version(artifact.folder)
        return LoadedImdbLstm(version, engine_for(version, device))

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        """See `Model.train`. The version is that of the last epoch."""
        from seqd_imdb_lstm.training import train_version

        return train_version(TrainParameters.model_validate(parameters), context)

    def inspect(self, artifact: Artifact, focus: str | None) -> Sequence[Inspection]:
        """Show sizes, labels and the most frequent words; with a word as `focus`, its rank."""
        from seqd_imdb_lstm.inspection import inspect_version

        return inspect_version(artifact.folder, focus)


@hookimpl
def seqd_register_models() -> Sequence[Model]:
    """Hand over the one model."""
    return [ImdbLstm()]

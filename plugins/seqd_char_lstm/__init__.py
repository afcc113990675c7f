"""The plugin `char_lstm`: writes text with an LSTM that predicts the next character.

    text         characters as ids
    config       what a version says of itself; `artifact` has all of its files
    generation   a loaded version: prompts in, texts out
    corpus       training data as ids, and what of it is held out
    training     the epochs; `window_training` learns as the tutorial does, from `windows`,
                 `stream_training` from contiguous `streams`
    engine       what serves a version, over `chains`; compiled in `compiled_chains`
    learner      what learns a stream; on a CPU compiled
    network      all that is Keras's: both networks, and what serves and learns without Numba

This module is the description alone: it imports neither Keras nor any of the above.
"""

from collections.abc import Mapping
from pathlib import Path
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
from seqd_char_lstm.generate_parameters import GenerateParameters
from seqd_char_lstm.presets import PRESETS
from seqd_char_lstm.train_parameters import TrainParameters
from seqd_schemas import ParameterValue

__all__ = ["CharLstm", "GenerateParameters", "TrainParameters", "seqd_register_models"]


class CharLstm(Model):
    """Description of `char_lstm`."""

    name = "char_lstm"
    summary = (
        "Writes text character by character, with an LSTM that reads all before it or a window."
    )
    tasks: ClassVar = {
        "train": TaskSpec(TrainParameters, unit_items=1),
        # 32 prompts of the default length are 0.2 s of one core for a stream of 512 units, which is
        # no faster in a larger batch, and 0.5 s for the tutorial's windows.
        "generate": TaskSpec(GenerateParameters, unit_items=32),
    }
    presets: ClassVar[Mapping[str, Mapping[str, ParameterValue]]] = PRESETS

    @property
    def starter(self) -> Path | None:
        """Folder of the version that ships with the plugin, where it was built in."""
        folder = Path(__file__).parent / "starter"
        return folder if (folder / "manifest.json").is_file() else None

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        """Bring a version into memory; Keras is imported only where Numba is missing."""
        from seqd_char_lstm.artifact import load
        from seqd_char_lstm.generation import Generator

        return Generator(load(artifact.folder))

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        """Train on the data's running text. Of streams, only on a GPU with Keras."""
        from seqd_char_lstm.corpus import read_corpus

        assert isinstance(parameters, TrainParameters)
        corpus = read_corpus(parameters, context)
        if parameters.mode == "stream":
            from seqd_char_lstm.stream_training import StreamTraining

            return StreamTraining(parameters, context, corpus).run()
        from seqd_char_lstm.window_training import WindowTraining

        return WindowTraining(parameters, context, corpus).run()


@hookimpl
def seqd_register_models() -> list[Model]:
    """Hand over the one model of this plugin."""
    return [CharLstm()]

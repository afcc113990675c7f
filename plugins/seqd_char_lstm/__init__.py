"""The plugin `char_lstm`: an LSTM that reads a window of characters and writes the next one.

Only the description is here, and it imports neither Keras nor the training; `generation` and
`training` do the work and are imported on first use. The preset `tutorial` is the model of the
Keras text-generation example.
"""

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
from seqd_char_lstm.parameters import GenerateParameters, TrainParameters

__all__ = ["CharLstm", "GenerateParameters", "TrainParameters", "seqd_register_models"]


class CharLstm(Model):
    """Description of `char_lstm`."""

    name = "char_lstm"
    summary = "Writes text character by character, with an LSTM that reads the last 40."
    tasks: ClassVar = {
        "train": TaskSpec(TrainParameters, unit_items=1),
        # 8 prompts of the default length are 0.2 s of one core, with 16 samples each 3.5 s.
        "generate": TaskSpec(GenerateParameters, unit_items=8),
    }
    presets: ClassVar = {
        "tutorial": {
            "epochs": 10,
            "lower_case": True,
            "window": 40,
            "step": 3,
            "units": 128,
            "batch_windows": 128,
            "learning_rate": 0.01,
            "sample_temperatures": [0.2, 0.5, 1.0, 1.2],
        }
    }

    @property
    def starter(self) -> Path | None:
        """Folder of the version that ships with the plugin, where it was built in."""
        folder = Path(__file__).parent / "starter"
        return folder if (folder / "manifest.json").is_file() else None

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        """Bring a version into memory, for writing in NumPy on any device."""
        from seqd_char_lstm.artifact import load
        from seqd_char_lstm.generation import Generator

        return Generator(*load(artifact.folder))

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        """Train on the data's running text; the only thing here that needs Keras."""
        from seqd_char_lstm.training import Training

        assert isinstance(parameters, TrainParameters)
        return Training(parameters, context).run()


@hookimpl
def seqd_register_models() -> list[Model]:
    """Hand over the one model of this plugin."""
    return [CharLstm()]

"""The plugin `markov`: a first-order chain over characters.

Only the description is here; `training`, `generation` and `inspection` do the work, in NumPy,
and are imported on first use. The preset `tutorial` is the chain of the tutorial.
"""

from collections.abc import Sequence
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
from seqd_markov.parameters import GenerateParameters, TrainParameters

__all__ = ["GenerateParameters", "Markov", "TrainParameters", "seqd_register_models"]


class Markov(Model):
    """Description of `markov`."""

    name = "markov"
    summary = "Writes text character by character, each drawn by what follows the one before."
    tasks: ClassVar = {
        "train": TaskSpec(TrainParameters, unit_items=1),
        "generate": TaskSpec(GenerateParameters, unit_items=8),
    }
    presets: ClassVar = {"tutorial": {"lower_case": True}}

    @property
    def starter(self) -> Path | None:
        """Folder of the version that ships with the plugin, where it was built in."""
        folder = Path(__file__).parent / "starter"
        return folder if (folder / "manifest.json").is_file() else None

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        """Bring a version into memory, for drawing in NumPy on any device."""
        from seqd_markov.artifact import load
        from seqd_markov.generation import Generator

        config, chain = load(artifact.folder)
        return Generator(chain, lower_case=config.lower_case)

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        """Count the data's running text."""
        from seqd_markov.training import train

        assert isinstance(parameters, TrainParameters)
        return train(parameters, context)

    def inspect(self, artifact: Artifact, focus: str | None) -> Sequence[Inspection]:
        """Show the transitions out of the character `focus`, or an overview."""
        from seqd_markov.artifact import load
        from seqd_markov.inspection import overview, transitions

        _, chain = load(artifact.folder)
        return [overview(chain) if focus is None else transitions(chain, focus)]


@hookimpl
def seqd_register_models() -> list[Model]:
    """Hand over the one model of this plugin."""
    return [Markov()]

"""A plugin with a preset that its own parameters refuse."""

from typing import ClassVar

from pydantic import Field

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl


class Parameters(PluginParameters):
    """One parameter."""

    epochs: int = Field(default=3, ge=1, le=100, description="Passes over the data.")


class Preset(Model):
    """A model with a training task."""

    name = "bad_preset"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"train": TaskSpec(Parameters)}
    presets: ClassVar = {"tutorial": {"epochs": 0}}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError

    def train(self, parameters, context):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Preset()]

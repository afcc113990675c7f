"""A plugin with defaults outside their own bounds, which pydantic does not notice."""

from typing import ClassVar

from pydantic import Field

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl


class Parameters(PluginParameters):
    """Two parameters."""

    epochs: int = Field(default=0, ge=1, le=100, description="Passes over the data.")
    rate: float = Field(default=2.0, ge=0, le=1)


class Preset(Model):
    """A model with a training task."""

    name = "bad_default"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"train": TaskSpec(Parameters)}
    presets: ClassVar = {}

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

"""A plugin with a parameter that nobody explains."""

from typing import ClassVar

from pydantic import Field

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl


class Parameters(PluginParameters):
    """A parameter without a description."""

    epochs: int = Field(default=3, ge=1, le=100)


class Careless(Model):
    """A model with these parameters."""

    name = "undescribed"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"classify": TaskSpec(Parameters)}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Careless()]

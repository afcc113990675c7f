"""A plugin with a number that may be anything."""

from typing import ClassVar

from pydantic import Field

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl


class Parameters(PluginParameters):
    """A number without an upper bound."""

    epochs: int = Field(default=3, ge=1, description="Passes over the data.")


class Careless(Model):
    """A model with these parameters."""

    name = "unbounded_number"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"classify": TaskSpec(Parameters)}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Careless()]

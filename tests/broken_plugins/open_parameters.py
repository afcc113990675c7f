"""A plugin that takes parameters which it does not know, so that typing mistakes pass."""

from typing import ClassVar

from pydantic import ConfigDict

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl


class Parameters(PluginParameters):
    """Takes anything."""

    model_config = ConfigDict(extra="allow")


class Careless(Model):
    """A model with these parameters."""

    name = "open_parameters"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"classify": TaskSpec(Parameters)}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Careless()]

"""A plugin that brings a model which another plugin, `sound`, brings already."""

from typing import ClassVar

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl


class Parameters(PluginParameters):
    """No parameters."""


class Taken(Model):
    """A model whose name is taken."""

    name = "sound"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"classify": TaskSpec(Parameters)}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Taken()]

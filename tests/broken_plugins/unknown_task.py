"""A plugin whose model offers a task that seqd does not have."""

from typing import ClassVar

from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl


class Parameters(PluginParameters):
    """No parameters."""


class Poet(Model):
    """A model with a task of its own."""

    name = "poet"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"summarise": TaskSpec(Parameters)}

    def load(self, artifact, device):
        """Never called."""
        raise NotImplementedError


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [Poet()]
